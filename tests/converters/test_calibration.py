"""Ranges by rule: against NumPy and SciPy, and what training does to one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from imcjax import UserError
from imcjax.converters import (
    Adc,
    Flaws,
    Uniform,
    best_range,
    check_range,
    csnr,
    csnr_range,
    gaussian_range,
    learned_range,
    max_range,
    percentile_range,
)
from imcjax.fast_random import fast_key


VALUES = np.random.default_rng(0).normal(0, 2e-6, 5000).astype(np.float32)


def test_largest_and_percentile():
    assert max_range(VALUES) == np.abs(VALUES).max()
    assert percentile_range(VALUES, 99.0) == pytest.approx(np.percentile(np.abs(VALUES), 99), rel=1e-5)
    assert max_range(jnp.zeros(3), fallback=0.5) == 0.5
    assert percentile_range(jnp.zeros(3), 50.0, fallback=0.5) == 0.5
    np.testing.assert_array_equal(jax.grad(lambda v: max_range(v) + percentile_range(v, 50.0))(jnp.arange(4.0)), np.zeros(4))


@pytest.mark.parametrize("levels", [3, 7, 15, 31, 255, 4095])
def test_the_range_of_normal_sums_is_the_fixed_point(levels):
    noise = (2 / (levels - 1)) ** 2 / 12

    def excess(c):
        tail = 2 * integrate.quad(lambda x: x * stats.norm.pdf(x), c, np.inf)[0]
        return c * (noise * (1 - 2 * stats.norm.sf(c)) + 2 * stats.norm.sf(c)) - tail

    expected = optimize.brentq(excess, 0.2, 10)
    assert gaussian_range(2.0, levels) == pytest.approx(2 * expected, rel=1e-4)


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_the_range_of_normal_sums_is_nearly_the_best_there_is(bits):
    with jax.enable_x64(True):
        # The mean over a normal distribution by its quantiles, the tail well resolved.
        x = np.concatenate([stats.norm.ppf((np.arange(400_000) + 0.5) / 400_000)])

        def error(limit):
            top = 2 ** (bits - 1) - 1
            return np.mean((np.clip(np.round(x / limit * top), -top, top) * limit / top - x) ** 2)

        found = error(float(gaussian_range(1.0, 2**bits - 1)))
    assert found < 1.05 * min(error(limit) for limit in np.linspace(1, 6, 101))


def test_the_range_of_largest_csnr():
    rng = np.random.default_rng(1)
    ideal = rng.normal(0, 1, 4000).astype(np.float32)
    noisy = ideal + rng.normal(0, 0.3, 4000).astype(np.float32)
    circuit = Adc(bits=5)

    def convert(values, limit):
        return circuit.convert(values, 5.0, limit)

    limit = jax.jit(lambda v, i: csnr_range(v, i, convert))(noisy, ideal)
    ratio = float(csnr(convert(noisy, limit), ideal))
    found = np.asarray(convert(noisy, limit))
    assert ratio == pytest.approx(np.var(ideal) / np.mean((found - ideal) ** 2), rel=1e-4)
    others = [float(csnr(convert(noisy, candidate), ideal)) for candidate in np.geomspace(1, 4, 30)]
    assert ratio >= max(others) * 0.995
    # Clipping noise as well: narrower than the range of least error to what arrives.
    assert limit < best_range(noisy, 5.0)
    assert csnr_range(jnp.zeros(4), jnp.zeros(4), convert, fallback=0.5) == 0.5


def test_what_does_not_count_leaves_the_percentile_as_without_it():
    counted = np.random.default_rng(2).random(VALUES.size) < 0.4
    padded = np.where(counted, VALUES, 0).astype(np.float32)
    for percent in (0.0, 37.0, 99.9, 100.0):
        found = percentile_range(padded, percent, weights=counted.astype(np.float32))
        assert found == pytest.approx(np.percentile(np.abs(VALUES[counted]), percent), rel=1e-5)
    assert percentile_range(padded, 50.0, fallback=0.25) == 0.25  # the middle of all values is zero
    assert percentile_range(VALUES, 50.0, weights=jnp.zeros(VALUES.size), fallback=0.5) == 0.5


def test_a_range_learns_at_the_pace_of_its_step():
    # LSQ with SGD, once on the step and once on the range: the relative change of both is the same.
    x, target = jnp.asarray(VALUES[:256] * 1e6), jnp.asarray(VALUES[:256] * 0.9e6)
    bits, top, step, rate = 4.0, 7, 0.3, 1e-3

    def of_range(limit):
        return jnp.sum((Adc().convert(x, bits, learned_range(limit, 256, bits)) - target) ** 2)

    def of_step(step):  # Esser et al., eq. 1 and 3, written out
        scaled = x / step
        codes = jnp.round(jnp.clip(scaled, -top, top))
        slope = jnp.where(jnp.abs(scaled) < top, codes - scaled, codes)
        return jnp.sum(2 * (codes * step - target) * slope) / jnp.sqrt(256 * top)

    moved = -rate * jax.grad(of_range)(top * step) / (top * step)
    assert moved == pytest.approx(float(-rate * of_step(step) / step), rel=1e-4)
    assert learned_range(0.7, 10, 4.0) == np.float32(0.7)


def test_a_learned_range_finds_the_least_error():
    x = jnp.asarray(VALUES[:2000] * 1e6)
    circuit = Uniform(bits=3, flaws=Flaws(offset_sigma=0.0))

    def loss(log_range):
        return jnp.mean((circuit.convert(x, 3.0, jnp.exp(log_range)) - x) ** 2)

    @jax.jit
    def train(log_range):
        return jax.lax.fori_loop(0, 300, lambda _, r: r - 0.1 * jax.grad(loss)(r), log_range)

    for start in (0.5, 9.0):
        assert loss(train(jnp.log(start))) < 1.03 * min(loss(jnp.log(r)) for r in np.geomspace(0.5, 9, 40))


@pytest.mark.parametrize(
    "value, message",
    [
        (0.0, "adc_range is 0 A; give a positive, finite current, or None for the full scale"),
        (np.array([1e-6, -2e-6]), "adc_range is -2e-06 A; give a positive"),
        (float("nan"), "adc_range is nan A"),
        (jnp.inf, "adc_range is inf A"),
        ("wide", "adc_range is 'wide', which is not a number; give a positive current"),
    ],
)
def test_ranges_that_no_converter_has_are_refused(value, message):
    with pytest.raises(UserError, match=message):
        check_range("adc_range", value)


def test_ranges_that_one_can_have_pass():
    check_range("adc_range", None)
    check_range("adc_range", np.array([1e-9, 2.0]))
    jax.jit(lambda r: (check_range("adc_range", r), r)[1])(-1.0)  # a tracer cannot be looked at


def test_drawn_converters_are_calibrated_with_their_flaws():
    circuit = Adc(bits=6, flaws=Flaws(offset_sigma=0.05, dnl_sigma=0.2))
    state = circuit.draw((), fast_key(3))
    x = jnp.asarray(VALUES[:2000])
    limit = csnr_range(x, x, lambda v, r: circuit.convert(v, 6.0, r, state))
    errors = [float(jnp.mean((circuit.convert(x, 6.0, r, state) - x) ** 2)) for r in np.geomspace(2e-6, 8e-6, 9)]
    assert jnp.mean((circuit.convert(x, 6.0, limit, state) - x) ** 2) <= 1.01 * min(errors)
