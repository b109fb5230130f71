import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, UserError, cost
from imcjax.cost.activity import between
from imcjax.mapping import slices

from .example import HARDWARE, data


def codes_of(values: np.ndarray, bits: int, signed: bool = True) -> np.ndarray:
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    return np.clip(np.rint(values / np.abs(values).max() * top), -top if signed else 0, top)


@pytest.mark.parametrize("signed", [True, False])
def test_activity_against_digits_taken_apart_one_by_one(signed):
    x, _ = data()
    x = x if signed else np.abs(x)
    found = cost.measure(jnp.asarray(x, jnp.float32), Settings(input_signed=signed), HARDWARE).volts_squared
    assert found.shape == (8, 40)
    for bits in range(1, 9):
        magnitude = np.abs(codes_of(x, max(bits, 2) if signed else bits, signed)).astype(int)
        digits = [(magnitude >> (3 * p)) % 8 for p in range(3)]
        volts_squared = sum((0.2 * d / 7) ** 2 for d in digits).mean(0)
        np.testing.assert_allclose(found[bits - 1], volts_squared, rtol=2e-5)


def test_between_is_exact_at_whole_bits_linear_between_and_differentiable():
    table = jnp.asarray([1.0, 4.0, 5.0, 9.0])
    assert [float(between(table, b)) for b in (1.0, 2.0, 3.0, 4.0)] == [1.0, 4.0, 5.0, 9.0]
    assert float(between(table, 2.25)) == pytest.approx(4.25)
    slope = jax.grad(lambda b: between(table, b))
    assert [float(slope(b)) for b in (1.5, 2.0, 3.0, 3.5)] == [3.0, 2.0, 2.5, 4.0]
    assert [float(slope(b)) for b in (1.0, 4.0)] == [3.0, 4.0]  # the side there is
    assert [float(between(table, b)) for b in (0.5, 6.0)] == [1.0, 9.0]


def test_activity_at_interpolates_each_row():
    x, _ = data()
    activity = cost.measure(jnp.asarray(x, jnp.float32), Settings(), HARDWARE)
    np.testing.assert_allclose(activity.at(6.0), activity.volts_squared[5], rtol=2e-6)
    np.testing.assert_allclose(activity.at(6.5), activity.volts_squared[5:7].mean(0), rtol=1e-6)
    slope = jax.jacobian(activity.at)(6.0)
    np.testing.assert_allclose(slope, (activity.volts_squared[6] - activity.volts_squared[4]) / 2, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_row_conductance_is_the_sum_over_cells_in_use(bits):
    _, w = data()
    found = cost.row_conductance(jnp.asarray(w, jnp.float32), HARDWARE, Settings(weight_bits=bits))
    codes, used = codes_of(w, bits), slices.count(bits - 1, 2)
    expected = np.zeros(40)
    for s in range(used):
        digit = np.abs(codes.astype(int)) >> (2 * s) & 3
        expected += (2 * 1e-6 + digit * (40e-6 - 1e-6) / 3).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_row_conductance_has_a_gradient_to_the_weights():
    _, w = data()
    settings = Settings(weight_bits=8.0, weight_range=4.0)
    grad = jax.grad(lambda w: jnp.sum(cost.row_conductance(w, HARDWARE, settings)))(jnp.asarray(w, jnp.float32))
    assert np.isfinite(grad).all()
    used = np.abs(w) > 0.5  # large weights: growing away from zero costs energy
    assert (np.asarray(grad * np.sign(w))[used] > 0).all()


def test_continuous_inputs_are_refused():
    with pytest.raises(UserError, match="input_bits"):
        cost.measure(jnp.ones((2, 3)), Settings(), Hardware.ideal())
    with pytest.raises(UserError, match="samples"):
        cost.measure(jnp.ones(3), Settings(), HARDWARE)
