"""Cells of one bit: SRAM and STT-MRAM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.devices import Sram, SttMram


DRAWS = 100_000
PROGRAM, READ = jax.random.split(jax.random.key(9))


@jax.jit
def program(cell, target, key):
    return cell.program(jnp.full(DRAWS, target), key)


@pytest.mark.parametrize("cell", [Sram(), Sram(g_min=2e-6), SttMram(), SttMram(tmr=1.5, tmr_droop=4.0, v_read=0.1)])
def test_only_two_states_and_gradients_pass_straight_through(cell):
    low, high = float(cell.g_min), float(cell.g_max)
    target = low + (high - low) * jnp.array([0.0, 0.3, 0.7, 1.0])
    expected = np.array([low, low, high, high], np.float32)
    for key in (None, PROGRAM):
        state = cell.program(target, key)
        np.testing.assert_allclose(state.g, expected, rtol=1e-6)  # all spreads are 0.0 until they are chosen
        np.testing.assert_allclose(cell.read(state, key, 1e9), expected, rtol=1e-6)
        jacobian = jax.jacobian(lambda g, key=key: cell.program(g, key).g)(target)
        np.testing.assert_allclose(jacobian, np.eye(4), rtol=1e-5, atol=1e-7)


def test_sram_mismatch_is_a_fraction_of_the_current_and_stays_with_the_cell():
    cell = Sram(g_min=1e-6, current_sigma=0.05, read_sigma=0.01)
    for target in (1e-6, 10e-6):
        state = program(cell, target, PROGRAM)
        g = np.asarray(state.g, float)
        assert g.mean() == pytest.approx(target, rel=4 * 0.05 / np.sqrt(DRAWS))
        assert g.std() == pytest.approx(0.05 * target, rel=0.01)
        np.testing.assert_array_equal(cell.read(state, None, 1e6), state.g)
        noise = np.asarray(cell.read(state, READ), float) / g - 1
        assert noise.std() == pytest.approx(0.01, rel=0.01)


def test_mram_states_are_set_by_the_tmr_at_the_read_voltage():
    cell = SttMram(r_p=2e3, tmr=1.5, tmr_droop=1 / 0.5**2, v_read=0.5)  # at 0.5 V half the ratio is left
    assert float(cell.g_max) == pytest.approx(0.5e-3)
    assert 1 / float(cell.g_min) == pytest.approx(2e3 * 1.75)


@pytest.mark.parametrize("distribution", ["lognormal", "normal", "uniform"])
def test_mram_spreads(distribution):
    cell = SttMram(conductance_sigma=0.04, tmr_sigma=0.1, distribution=distribution)
    parallel = np.asarray(program(cell, 1e-3, PROGRAM).g, float)
    assert parallel.mean() == pytest.approx(1e-3, rel=1e-3)
    assert (np.log(parallel) if distribution == "lognormal" else parallel * 1e3).std() == pytest.approx(0.04, rel=0.01)
    ratio = parallel / np.asarray(program(cell, 0.5e-3, PROGRAM).g, float) - 1  # the same barrier deviates in both states
    assert ratio.mean() == pytest.approx(1.0, rel=2e-3)
    assert ratio.std() == pytest.approx(0.1, rel=0.01)


def test_gradients_to_every_number_of_an_ideal_junction_are_finite():
    target = jnp.array([0.5e-3, 1e-3])
    found = jax.grad(lambda cell: cell.read(cell.program(target, PROGRAM), READ).sum())(SttMram())
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(found))
    assert abs(found.conductance_sigma) > 0
    # The resistance of a parallel cell: d(1/r)/dr.
    to_r = jax.grad(lambda r: SttMram(r_p=r).program(1 / r * jnp.ones(()), None).g)(1e3)
    assert to_r == pytest.approx(-1e-6, rel=1e-5)
