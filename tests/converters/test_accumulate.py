"""Input phases put together after conversion and before it, with CrossSim's sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Adc, accumulate


def load(reference_dir, name):
    with np.load(reference_dir / f"crosssim_{name}.npz", allow_pickle=False) as file:
        return dict(file)


def phases(x, count, bits):
    """(P, n, B) signed digits of the 7 magnitude bits of inputs in [-1, 1], least significant first."""
    magnitude = np.rint(127 * np.abs(x)).astype(int)
    return np.stack([np.sign(x) * ((magnitude >> (bits * k)) & (2**bits - 1)) for k in range(count)])


def test_analog_accumulation_is_crosssims(reference_dir):
    ref = load(reference_dir, "10_inputslice2_analog_accum")
    g = [0.01 + np.rint((ref[name].astype(float) - 0.01) * 127 / 0.99) * 0.99 / 127 for name in ("gpos", "gneg")]
    with jax.enable_x64(True):
        currents = jnp.asarray((g[0] - g[1]) @ phases(ref["X"], 4, 2))  # of one digit: Gmax Vread / 3
        # Their range is of the sum for inputs in [-1, 1]: 127 digits of the first phase, 2^8 shares.
        limit = 6.0 * 127 / 2**8
        found = accumulate.analog(currents, 2, lambda i: Adc(bits=8).convert(i, 8.0, limit)) / 127
        np.testing.assert_allclose(found * np.abs(ref["W"]).max() / 0.99, ref["Y"], atol=1e-9)


def test_digital_weight_slices_are_crosssims(reference_dir):
    # The same shift and add, over weight slices: one conversion each, place values 4^i.
    ref = load(reference_dir, "02_bitsliced_balanced")
    x = np.rint(ref["X"] * 127) / 127
    with jax.enable_x64(True):
        currents = jnp.asarray((ref["gpos"].astype(float) - ref["gneg"].astype(float)) @ x)
        place = 4.0 ** jnp.arange(4)
        found = accumulate.digital(currents, place, lambda i: Adc(bits=8).convert(i, 8.0, 64.0)) / 0.99
        np.testing.assert_allclose(found * 3 / 127 * np.abs(ref["W"]).max(), ref["Y"], atol=1e-9)


CURRENTS = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("used", [4, 3, 1])
def test_both_are_the_same_sum_without_conversion(bits, used):
    in_use = (np.arange(4) < used).astype(np.float32)
    place = in_use * 2.0 ** (bits * np.arange(4))
    expected = np.tensordot(place, CURRENTS, 1)
    digital = accumulate.digital(jnp.asarray(CURRENTS), jnp.asarray(place, jnp.float32), lambda i: i)
    analog = jax.jit(lambda c, u: accumulate.analog(c, bits, lambda i: i, u))(CURRENTS, in_use)
    np.testing.assert_allclose(digital, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(analog, expected, rtol=1e-5, atol=1e-5)


def test_the_shared_charge_stays_below_one_phase():
    acc, place = accumulate.share_charge(jnp.ones((20, 2)), 2)
    np.testing.assert_allclose(acc, 1 / 3, rtol=1e-6)
    assert place == 4.0**20


def test_one_conversion_in_place_of_one_a_phase():
    seen = []

    def convert(currents):
        seen.append(currents.shape)
        return currents

    accumulate.digital(jnp.asarray(CURRENTS), jnp.ones(4), convert)
    accumulate.analog(jnp.asarray(CURRENTS), 2, convert)
    assert seen == [(4, 3, 5), (3, 5)]


def test_slopes_pass_through_the_shares():
    to_currents = jax.grad(lambda c: accumulate.analog(c, 2, lambda i: i).sum())(jnp.asarray(CURRENTS))
    np.testing.assert_allclose(to_currents, np.broadcast_to(4.0 ** np.arange(4)[:, None, None], CURRENTS.shape), rtol=1e-6)
