"""Learned bit-widths: forward passes of whole widths, gradients against each method's formula, and bad input."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.codesign.bitwidths import (
    METHODS,
    BayesianBits,
    Noise,
    NoiseThenSampled,
    Sampled,
    StepRange,
    at_width,
    bayesian_bits,
)
from imcjax.codesign.bitwidths.guided import by_gate, gate_shape, spread_gates
from imcjax.keys import fold_name


X = np.random.default_rng(0).normal(size=64).astype(np.float32)
POSITIVE = np.abs(X)
RANGE = jnp.float32(1.3)
KEY = jax.random.key(0)
PLAIN = ("fracbits", "guided", "noise", "noise_then_sampled", "sampled")


def uniform(x, limit, bits, signed):
    """The quantizer in NumPy, by rounding to the nearest of an explicit list of levels."""
    if bits == 0:
        return np.zeros_like(x)
    if signed and bits == 1:
        return np.where(x < 0, -limit, limit)
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    levels = np.linspace(-limit if signed else 0, limit, 2 * top + 1 if signed else top + 1)
    return levels[np.abs(x[:, None] - levels).argmin(axis=1)]


at = jax.jit(lambda x, bits, signed: at_width(x, RANGE, bits, signed=signed), static_argnames="signed")


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [0, 1, 2, 3, 8])
def test_whole_widths_are_the_quantizers(bits, signed):
    x = X if signed else POSITIVE
    for near in (bits - 0.3, bits, bits + 0.3):
        np.testing.assert_allclose(at(x, near, signed), uniform(x, 1.3, bits, signed), atol=2e-6)


def test_one_bit_passes_its_gradient_to_values_and_range():
    slope, ranges = jax.jit(jax.grad(lambda x, r: jnp.sum(at_width(x, r, 1.0, signed=True) * jnp.arange(64.0)), (0, 1)))(
        X, RANGE
    )
    np.testing.assert_allclose(slope, np.arange(64))
    assert float(ranges) == pytest.approx(float(np.sum(np.where(X < 0, -1, 1) * np.arange(64))), rel=1e-5)


def quantized(name, bits, key=None, progress=0.0, signed=True):
    method = METHODS[name]()
    x = X if signed else POSITIVE
    return QUANTIZE(method, x, method.start(jnp.float32(bits), RANGE), key, progress, signed)


QUANTIZE = jax.jit(
    lambda method, x, variables, key, progress, signed: method.quantize(
        x, RANGE, variables, signed=signed, key=key, progress=progress
    ),
    static_argnames=("method", "signed"),
)


@pytest.mark.parametrize("name", PLAIN)
def test_without_a_key_every_method_is_the_hardware(name):
    for bits in (2.3, 4.0):
        np.testing.assert_allclose(quantized(name, bits), uniform(X, 1.3, round(bits), True), atol=2e-6)
    assert METHODS[name]().whole(jnp.float32(2.7)) == 3


@pytest.mark.parametrize("name", ["fracbits", "guided", "sampled"])
def test_with_a_key_the_values_are_still_those_of_one_whole_width(name):
    low, high = uniform(X, 1.3, 3, True), uniform(X, 1.3, 4, True)
    for key in jax.random.split(KEY, 4):
        found = quantized(name, 3.4, key)
        assert np.allclose(found, low, atol=2e-6) or np.allclose(found, high, atol=2e-6)


def slope(name, bits, key=None, progress=0.0):
    """d sum(values * weights) / d bits."""
    weights = jnp.arange(64.0)
    method = METHODS[name]()
    return SLOPE(method, jnp.float32(bits), key, progress, weights)


SLOPE = jax.jit(
    lambda method, bits, key, progress, weights: jax.grad(
        lambda b: jnp.sum(weights * method.quantize(X, RANGE, b, signed=True, key=key, progress=progress))
    )(bits),
    static_argnames="method",
)


@pytest.mark.parametrize("name", ["fracbits", "sampled"])
@pytest.mark.parametrize("bits", [1.4, 3.4])
def test_gradient_to_the_width_is_the_difference_of_its_neighbours(name, bits):
    below = int(bits)
    difference = np.arange(64) @ (uniform(X, 1.3, below + 1, True) - uniform(X, 1.3, below, True))
    assert float(slope(name, bits, KEY)) == pytest.approx(float(difference), rel=1e-4)


def test_noise_is_a_uniform_step_of_the_whole_width_with_the_slope_of_the_real_one():
    held = np.clip(X, -1.3, 1.3)
    found = np.asarray(quantized("noise", 3.4, KEY)) - held
    drawn = found / (2 * 1.3 / 7)
    assert np.abs(drawn).max() <= 0.5
    assert drawn.std() == pytest.approx(12**-0.5, rel=0.2)
    # d Delta / d b = -2 r ln 2 2^b / (2^b - 1)^2 at the whole width, times the draw
    expected = np.arange(64) @ drawn * (-2 * 1.3 * np.log(2) * 8 / 49)
    assert float(slope("noise", 3.4, KEY)) == pytest.approx(float(expected), rel=1e-4)
    positive = np.asarray(quantized("noise", 3.4, KEY, signed=False)) - np.clip(POSITIVE, 0, 1.3)
    np.testing.assert_allclose(positive, drawn * 1.3 / 7, atol=1e-5)


def test_expected_loss_under_noise_sees_the_curvature():
    """For a loss h x^2 / 2 the mean rises by h Delta^2 / 24, and its slope to the width follows."""
    with jax.enable_x64(True):
        x = jnp.zeros(200_000)
        loss = jax.jit(lambda b: 1.7 * jnp.mean(Noise().quantize(x, 1.3, b, signed=True, key=KEY) ** 2) / 2)
        step = 2 * 1.3 / 15
        assert float(loss(jnp.float64(4.0))) == pytest.approx(1.7 * step**2 / 24, rel=0.01)
        expected = 1.7 * step / 12 * (-2 * 1.3 * np.log(2) * 16 / 225)
        assert float(jax.grad(loss)(jnp.float64(4.0))) == pytest.approx(expected, rel=0.01)


def test_widths_are_drawn_with_the_fraction_as_probability_and_sharpen():
    fractions = jnp.linspace(0.05, 0.95, 7)
    sampled = Sampled()
    np.testing.assert_allclose(sampled.probability(fractions, 0.0), fractions, rtol=1e-5)
    late = np.asarray(sampled.probability(fractions, 1.0))
    np.testing.assert_allclose(late, [0, 0, 0, 0.5, 1, 1, 1], atol=2e-3)
    # one draw for each width: a column of widths against rows of values
    bits = jnp.full((400, 1), 3.25)
    found = sampled.quantize(jnp.broadcast_to(X, (400, 64)), RANGE, bits, signed=True, key=KEY)
    above = np.isclose(found, uniform(X, 1.3, 4, True), atol=2e-6).all(axis=1)
    assert (above | np.isclose(found, uniform(X, 1.3, 3, True), atol=2e-6).all(axis=1)).all()
    assert above.mean() == pytest.approx(0.25, abs=0.07)


def test_default_is_noise_and_then_sampled_widths_in_one_program():
    method = NoiseThenSampled(switch=0.5)
    traced = jax.jit(
        chex.assert_max_traces(lambda b, progress: method.quantize(X, RANGE, b, signed=True, key=KEY, progress=progress), n=1)
    )
    np.testing.assert_allclose(traced(jnp.float32(3.4), 0.2), quantized("noise", 3.4, KEY), atol=1e-6)
    np.testing.assert_allclose(traced(jnp.float32(3.4), 0.75), quantized("sampled", 3.4, KEY, 0.5), atol=1e-6)
    assert float(slope("noise_then_sampled", 3.4, KEY, 0.9)) == pytest.approx(float(slope("sampled", 3.4, KEY)), rel=1e-4)


def test_cgmq_sends_no_gradient_to_its_gates():
    assert float(slope("guided", 3.4)) == 0.0


# --- step and range ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_step_and_range_give_their_width_and_a_power_of_two_step(bits, signed):
    method = StepRange(signed=signed)
    variables = method.start(jnp.float32(bits), RANGE)
    assert float(method.whole(variables)) == bits
    step, limit = (float(jnp.exp2(variables[name])) for name in ("log2_step", "log2_range"))
    assert np.log2(step) == pytest.approx(round(np.log2(step)), abs=1e-5)
    x = X if signed else POSITIVE
    found = np.asarray(method.quantize(x, RANGE, variables, signed=signed))
    codes = found / step
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-4)
    np.testing.assert_allclose(found, step * np.round(np.clip(x, -limit if signed else 0, limit) / step), atol=1e-5)
    assert len(np.unique(np.round(codes))) <= 2**bits


def test_width_has_the_slope_of_the_formula():
    with jax.enable_x64(True):
        method = StepRange(signed=True, snap=False)
        variables = {"log2_step": jnp.float64(-2.3), "log2_range": jnp.float64(0.4)}
        slopes = jax.grad(lambda v: method.widths(v))(variables)

        def smooth(step, limit):
            return np.log2(2.0**limit / 2.0**step + 1) + 1

        assert float(method.widths(variables)) == np.ceil(smooth(-2.3, 0.4))
        assert float(slopes["log2_step"]) == pytest.approx(
            (smooth(-2.3 + 1e-6, 0.4) - smooth(-2.3 - 1e-6, 0.4)) / 2e-6, rel=1e-5
        )
        assert float(slopes["log2_range"]) == pytest.approx(
            (smooth(-2.3, 0.4 + 1e-6) - smooth(-2.3, 0.4 - 1e-6)) / 2e-6, rel=1e-5
        )
        # LSQ's gradient to the step: round(x / d) - x / d inside, the largest code outside (Esser et al., eq. 3), times d ln 2
        x = jnp.asarray([0.3, -0.5, 1.9])
        slope = jax.grad(lambda v: jnp.sum(method.quantize(x, 1.0, v, signed=True)))(variables)["log2_step"]
        d, r = 2.0**-2.3, 2.0**0.4
        inside = sum(np.round(v / d) - v / d for v in (0.3, -0.5)) + np.round(r / d) - r / d
        assert float(slope) == pytest.approx(inside * d * np.log(2), rel=1e-6)


# --- Bayesian Bits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_residuals_add_up_to_one_quantizer_of_their_width(bits, signed):
    method = BayesianBits(widest=8)
    variables = method.start(jnp.float32(bits), RANGE)
    x = X if signed else POSITIVE
    found = QUANTIZE(method, x, variables, None, 0.0, signed)
    step = (2 if signed else 1) * 1.3 / (2**bits - 1)
    held = np.clip(x, -1.3 * (1 - 1e-6) if signed else 0, 1.3 * (1 - 1e-6))
    np.testing.assert_allclose(found, step * np.round(held / step), atol=3e-6)
    assert float(method.whole(variables)) == bits
    assert float(method.widths(variables)) == pytest.approx(bits, abs=0.05)


def test_gates_nest_and_prune():
    method = BayesianBits(widest=16, pruning=True)
    full = method.start(jnp.float32(16), RANGE)
    assert float(method.whole(full)) == 16
    assert float(method.whole(full | {"gates": full["gates"].at[0].set(-6.0)})) == 2  # what is above a closed gate is lost
    assert float(method.whole(full | {"prune": jnp.float32(-6.0)})) == 0
    assert not np.asarray(method.quantize(X, RANGE, full | {"prune": jnp.float32(-6.0)}, signed=True)).any()
    p = jax.nn.sigmoid(jnp.array([0.3, -0.2, 0.5, 1.0]) - 2 / 3 * np.log(1 / 11))
    found = method.widths({"prune": jnp.float32(0.3), "gates": jnp.array([-0.2, 0.5, 1.0])})
    assert float(found) == pytest.approx(float(p[0] * (2 + p[1] * (2 + p[2] * (4 + p[3] * 8)))), rel=1e-5)


def test_gates_are_hard_concrete_and_the_forward_pass_rounds_them():
    phi = jnp.full(4000, 0.4)
    z = np.asarray(bayesian_bits.draw(phi, KEY))
    assert (z > 0).mean() == pytest.approx(float(bayesian_bits.probability(0.4)), abs=0.02)
    assert 0 < (z == 1).mean() < 1
    uniforms = np.asarray(jax.random.uniform(KEY, (4000,), jnp.float32, np.finfo(np.float32).tiny), float)
    soft = 1 / (1 + np.exp(-(np.log(uniforms / (1 - uniforms)) + 0.4) * 1.5))
    np.testing.assert_allclose(z, np.clip(1.2 * soft - 0.1, 0, 1), atol=1e-4)
    method = BayesianBits(widest=4)
    variables = {"gates": jnp.array([0.4])}
    two, four = (method.quantize(X, RANGE, {"gates": jnp.array([g])}, signed=True) for g in (-6.0, 6.0))
    for key in jax.random.split(KEY, 2):
        found = QUANTIZE(method, X, variables, key, 0.0, True)
        assert np.allclose(found, two, atol=1e-6) or np.allclose(found, four, atol=1e-6)
        gradient = jax.grad(lambda v, k=key: jnp.sum(method.quantize(X, RANGE, v, signed=True, key=k)))(variables)
        own = jax.grad(lambda v, k=key: bayesian_bits.draw(v, jax.random.fold_in(k, 0))[0])(variables["gates"])
        np.testing.assert_allclose(gradient["gates"], own * jnp.sum(four - two), rtol=1e-4, atol=1e-5)


# --- granularity ------------------------------------------------------------------------------------------------------------


def test_gates_of_layers_groups_and_weights():
    values = np.random.default_rng(1).normal(size=(5, 10)).astype(np.float32)
    assert gate_shape((5, 10), "layer") == ()
    assert gate_shape((5, 10), "group", 4) == (3,)
    assert gate_shape((5, 10), "weight") == (5, 10)
    groups = spread_gates(jnp.array([1.0, 2.0, 3.0]), (5, 10))
    np.testing.assert_array_equal(groups, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3])
    size = np.abs(values)
    assert float(by_gate(values, ())) == pytest.approx(size.mean(), rel=1e-5)
    np.testing.assert_allclose(by_gate(values, (3,)), [size[:, :4].mean(), size[:, 4:8].mean(), size[:, 8:].mean()], rtol=1e-5)
    np.testing.assert_array_equal(by_gate(values, (5, 10)), size)
    assert spread_gates(jnp.ones((5, 10)), (5, 10)).shape == (5, 10)
    with pytest.raises(UserError, match="gates is 'row'; give 'layer', 'group' or 'weight'"):
        gate_shape((5, 10), "row")


def test_a_change_of_widths_compiles_nothing_anew():
    for name in PLAIN:
        chex.clear_trace_counter()  # chex tells functions apart by their names
        method = METHODS[name]()
        call = jax.jit(
            chex.assert_max_traces(lambda b, m=method: m.quantize(X, RANGE, b, signed=True, key=KEY, progress=0.3), n=1)
        )
        for bits in (1.2, 3.0, 7.9):
            assert np.isfinite(call(jnp.float32(bits))).all()


def test_draws_depend_on_the_key():
    assert not np.allclose(quantized("noise", 3.0, KEY), quantized("noise", 3.0, fold_name(KEY, "other")))


@pytest.mark.parametrize(
    "method, bits, says",
    [
        (Noise(), -1.0, r"bits is -1; give finite numbers in \[0, 32\]"),
        (NoiseThenSampled(), np.array([3.0, np.nan]), r"bits is nan"),
        (StepRange(signed=True), 1.0, r"bits is 1; give finite numbers in \[2, 32\]"),
        (StepRange(signed=False), 33.0, r"bits is 33; give finite numbers in \[1, 32\]"),
        (BayesianBits(widest=8), 3.0, r"bits is 3, which gates cannot make; give one of 2, 4, 8"),
        (BayesianBits(widest=8), 0.0, r"bits is 0"),
        (BayesianBits(widest=4, pruning=True), 8.0, r"bits is 8.*one of 0, 2, 4"),
    ],
)
def test_widths_that_a_method_cannot_have_are_refused(method, bits, says):
    with pytest.raises(UserError, match=says):
        method.start(bits, RANGE)


def test_a_range_that_is_not_positive_is_refused():
    with pytest.raises(UserError, match="value_range is 0"):
        StepRange().start(3.0, 0.0)
