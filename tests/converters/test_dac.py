"""The DAC: voltages and phases counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import DACS, Dac, DacFlaws, UniformDac
from imcjax.fast_random import fast_key


@pytest.mark.parametrize(
    "input_bits, bits, phases, top", [(None, 1, 1, 1), (8, 1, 8, 1), (8, 4, 2, 15), (8, 8, 1, 255), (7, 3, 3, 7), (1, 1, 1, 1)]
)
def test_phases_and_largest_digit(input_bits, bits, phases, top):
    dac = Dac(input_bits=input_bits, bits=bits)
    assert dac.phases == phases
    assert dac.top_digit == top


def test_voltages_are_digits_of_the_read_voltage():
    dac = Dac(input_bits=6, bits=3, v_read=0.35)
    digits = jnp.arange(-7.0, 8)
    np.testing.assert_allclose(dac.voltages(digits), np.arange(-7, 8) * 0.05, rtol=1e-6)
    assert dac.volt_per_digit == pytest.approx(0.05)
    assert Dac(v_read=0.35).voltages(jnp.float32(0.5)) == pytest.approx(0.175)


def test_gradient_to_the_read_voltage():
    found = jax.grad(lambda v: Dac(input_bits=4, bits=2, v_read=v).voltages(jnp.float32(2.0)))(0.3)
    assert found == pytest.approx(2 / 3)


FLAWS = DacFlaws(gain_sigma=0.03, offset_sigma=0.02, inl=0.05)


def test_flaws_are_each_rows_own_and_have_their_sizes():
    state = Dac(flaws=FLAWS).draw((20_000,), fast_key(0))
    for leaf, sigma in ((state.gain, 0.03), (state.offset, 0.02)):
        assert leaf.mean() == pytest.approx(0, abs=4 * sigma / np.sqrt(20_000))
        assert leaf.std() == pytest.approx(sigma, rel=0.03)
    assert set(np.unique(state.bow)) == {-1, 1}


def test_flawed_voltages_by_hand():
    dac = Dac(input_bits=8, bits=4, v_read=0.3, flaws=FLAWS)
    state = dac.draw((3,), None).replace(
        gain=jnp.array([0.1, 0, 0]), offset=jnp.array([0, -0.2, 0]), bow=jnp.array([0.0, 0, -1])
    )
    digits = np.array([[-15, -15, -15], [-6, -6, -6], [0, 0, 0], [3, 3, 3], [15, 15, 15]], np.float32)
    level = digits[:, 0] / 15
    bow = 4 * level * (1 - np.abs(level))  # odd: either sign has a scale of its own
    expected = 0.3 * np.stack([1.1 * level, level - 0.2, level - 0.05 * bow], axis=1)
    np.testing.assert_allclose(dac.voltages(jnp.asarray(digits), state), expected, atol=1e-7)


def test_without_flaws_or_their_state_voltages_are_ideal():
    digits = jnp.arange(-7.0, 8)
    for dac in (Dac(input_bits=6, bits=3), Dac(input_bits=6, bits=3, flaws=FLAWS)):
        np.testing.assert_array_equal(dac.voltages(digits), Dac(input_bits=6, bits=3).voltages(digits))
        nominal = dac.draw((15,), None)
        np.testing.assert_array_equal(dac.voltages(digits, nominal), Dac(input_bits=6, bits=3).voltages(digits))
    assert Dac().draw((4,), fast_key(0)) is None


def test_a_uniform_dac_has_no_zero_and_all_codes():
    dac = UniformDac(input_bits=3, v_read=0.7)
    x = jnp.linspace(-2.1, 2.1, 8)
    level, step = dac.nearest(x + 0.1, jnp.float32(2.1), 3.0, signed=True)
    np.testing.assert_allclose(dac.voltages(level), np.linspace(-0.7, 0.7, 8), rtol=1e-6)
    np.testing.assert_allclose(level * step, x, rtol=1e-6)
    unsigned, _ = dac.nearest(jnp.linspace(0, 2.1, 8) - 0.1, jnp.float32(2.1), 3.0, signed=False)
    np.testing.assert_allclose(unsigned, np.linspace(0, 1, 8), atol=1e-6)
    flawed = dac.replace(flaws=FLAWS)
    state = flawed.draw((), None).replace(gain=jnp.asarray(0.1), offset=jnp.asarray(0.02), bow=jnp.asarray(1.0))
    level = np.linspace(-1, 1, 8)
    expected = 0.7 * (1.1 * level + 0.02 + 0.05 * np.sign(level) * 4 * np.abs(level) * (1 - np.abs(level)))
    np.testing.assert_allclose(flawed.voltages(jnp.asarray(level), state), expected, atol=1e-6)
    np.testing.assert_array_equal(flawed.voltages(jnp.asarray(level)), dac.voltages(jnp.asarray(level)))


def test_slopes_to_flaws_that_are_zero():
    digits = jnp.array([-3.0, 0.0, 2.0])

    def voltages(numbers):
        dac = Dac(input_bits=4, bits=2, flaws=DacFlaws(**numbers))
        return dac.voltages(digits, dac.draw((3,), fast_key(1)))

    zero = dict.fromkeys(("gain_sigma", "offset_sigma", "inl"), 0.0)
    slopes = jax.jacobian(voltages)(zero)
    state = DacFlaws(gain_sigma=1.0, offset_sigma=1.0).draw((3,), fast_key(1), jnp.float32)
    level = digits / 3
    np.testing.assert_allclose(slopes["gain_sigma"], 0.2 * level * state.gain, rtol=1e-5)
    np.testing.assert_allclose(slopes["offset_sigma"], 0.2 * state.offset, rtol=1e-5)
    np.testing.assert_allclose(slopes["inl"], 0.2 * state.bow * 4 * level * (1 - jnp.abs(level)), atol=1e-7)


def test_every_dac_is_a_family():
    assert set(DACS.classes().values()) == {Dac, UniformDac}
