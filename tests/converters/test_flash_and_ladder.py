"""Converters with a comparator for each threshold, counted in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.converters import Flash, Ladder, SenseAmplifier
from imcjax.fast_random import fast_key


def test_a_flash_code_is_the_number_of_comparators_that_are_on():
    circuit = Flash(bits=5, resistor_sigma=0.3, offset_sigma=0.05)
    x = np.random.default_rng(0).uniform(-1.1, 1.1, 2000).astype(np.float32)
    state = circuit.draw((4, 1), fast_key(0))
    thresholds = np.asarray(state.thresholds, float)
    assert (np.diff(thresholds) < 0).any()  # bubbles
    run = jax.jit(lambda bits: circuit.convert(x, bits, 1.0, state))
    for bits in (5, 3):
        used = thresholds[:, :, 2 ** (5 - bits) :: 2 ** (5 - bits)]
        v = x[:, None] * (2**bits - 1) / 2**bits
        assert used.shape[-1] == 2**bits - 1
        codes = (v > used).sum(-1)
        near = np.abs(v - used).min(-1) < 1e-6
        found = np.asarray(run(float(bits)))
        np.testing.assert_allclose(found[~near], (-1 + codes * 2 / (2**bits - 1))[~near], atol=1e-5)


def test_taps_of_a_resistor_ladder():
    # Tap k of n resistors is a Brownian bridge: variance sigma^2 k (n - k) / n in units of a resistor, 2 / n of the reference.
    n, sigma = 32, 0.05
    state = jax.jit(lambda key: Flash(bits=5, resistor_sigma=sigma).draw((20_000,), key))(fast_key(1))
    k = np.arange(1, n)
    np.testing.assert_allclose(state.thresholds.mean(0)[1:], -1 + 2 * k / n, atol=4 * 2 / n * sigma * np.sqrt(n / 4 / 20_000))
    np.testing.assert_allclose(state.thresholds.std(0)[1:], 2 / n * sigma * np.sqrt(k * (n - k) / n), rtol=0.04)


LEVELS = np.array([-1.0, -0.3, -0.1, 0.0, 0.2, 0.7])


def test_a_ladder_reports_the_nearest_level():
    circuit = Ladder.from_levels(LEVELS)
    assert circuit.bits == 3
    x = np.random.default_rng(0).uniform(-1.3, 1.3, 1000)
    found = jax.jit(lambda x: circuit.convert(x, 3.0, 2e-6))(jnp.asarray(x * 2e-6, jnp.float32))
    nearest = LEVELS[np.abs(x[:, None] - LEVELS).argmin(1)]
    np.testing.assert_allclose(np.asarray(found) / 2e-6, nearest, atol=1e-6)


def test_a_narrower_ladder_merges_codes():
    circuit = Ladder.from_levels(LEVELS)
    x = np.random.default_rng(0).uniform(-1.3, 1.3, 1000)
    found = jax.jit(lambda x, bits: circuit.convert(x, bits, 1.0))
    for bits, groups in ((2, ([0, 1], [2, 3], [4, 5])), (1, ([0, 1, 2, 3], [4, 5]))):
        edges = [(LEVELS[g[0] - 1] + LEVELS[g[0]]) / 2 for g in groups[1:]]
        outputs = np.array([LEVELS[g].mean() for g in groups])
        expected = outputs[np.searchsorted(edges, x)]
        np.testing.assert_allclose(found(jnp.asarray(x, jnp.float32), float(bits)), expected, atol=1e-6)


@pytest.mark.slow
def test_slopes_of_a_ladder():
    x = jnp.asarray([-1.2, -0.8, -0.15, 0.05, 0.5, 0.72])
    code = np.array([0, 0, 2, 3, 5, 5])

    def convert(x, outputs, limit):
        return Ladder(jnp.asarray((LEVELS[1:] + LEVELS[:-1]) / 2), outputs, bits=3).convert(x, 3.0, limit)

    to_x, to_outputs, to_limit = jax.vmap(jax.grad(convert, (0, 1, 2)), (0, None, None))(x, jnp.asarray(LEVELS), 1.0)
    inside = np.array([0, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(to_x, inside, rtol=1e-6)
    np.testing.assert_allclose(to_outputs, np.eye(6)[code], atol=1e-6)
    np.testing.assert_allclose(to_limit, LEVELS[code] - inside * np.asarray(x), atol=1e-6)


def test_levels_that_are_none_are_refused():
    with pytest.raises(UserError, match=r"levels has shape \(1,\); give a row of 2 to 256 levels"):
        Ladder.from_levels([0.0])


def test_a_sense_amplifier_tells_the_sign():
    x = jnp.asarray([-0.7, -0.02, 0.03, 0.9])
    np.testing.assert_allclose(SenseAmplifier().convert(x, 5.0, 0.5), [-0.5, -0.5, 0.5, 0.5])
    np.testing.assert_allclose(SenseAmplifier(polarity="unsigned").convert(x + 0.25, 1.0, 0.5), [0, 0, 0.5, 0.5])
    state = SenseAmplifier().draw((), None).replace(offset=jnp.asarray(0.025))  # of a reference of twice the range: 0.025
    np.testing.assert_allclose(SenseAmplifier().convert(x, 1.0, 0.5, state), [-0.5, 0.5, 0.5, 0.5])
