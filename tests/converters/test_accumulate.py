"""Input phases put together before conversion, with CrossSim's sums."""

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
        shared, place = accumulate.share_charge(currents, 2, np.ones(4))
        found = Adc(bits=8).convert(shared, 8.0, 6.0 * 127 / 2**8) * place / 127
        np.testing.assert_allclose(found * np.abs(ref["W"]).max() / 0.99, ref["Y"], atol=1e-9)


CURRENTS = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)


def shared_sum(currents, bits, in_use):
    acc, place = accumulate.share_charge(jnp.asarray(currents), bits, in_use)
    return acc * place


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("used", [4, 3, 1])
def test_the_shared_charge_is_the_sum_of_the_phases_in_use(bits, used):
    in_use = (np.arange(4) < used).astype(np.float32)
    place = in_use * 2.0 ** (bits * np.arange(4))
    found = jax.jit(shared_sum, static_argnums=1)(CURRENTS, bits, in_use)
    np.testing.assert_allclose(found, np.tensordot(place, CURRENTS, 1), rtol=1e-5, atol=1e-5)


def test_the_shared_charge_stays_below_one_phase():
    acc, place = accumulate.share_charge(jnp.ones((20, 2)), 2, np.ones(20))
    np.testing.assert_allclose(acc, 1 / 3, rtol=1e-6)
    assert place == 4.0**20


def test_slopes_pass_through_the_shares():
    to_currents = jax.grad(lambda c: shared_sum(c, 2, np.ones(4)).sum())(jnp.asarray(CURRENTS))
    np.testing.assert_allclose(to_currents, np.broadcast_to(4.0 ** np.arange(4)[:, None, None], CURRENTS.shape), rtol=1e-6)
