"""FeFET: a threshold spread through the transistor's law, and a memory window that closes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.devices import Fefet


DRAWS = 100_000
PROGRAM, READ = jax.random.split(jax.random.key(12))
UT = 0.02585


def law(u):
    return np.log1p(np.exp(u))


def inverse(y):
    return np.log(np.expm1(y))


@jax.jit
def read(cell, target, key, time):
    return cell.read(cell.program(jnp.full(DRAWS, target), key), None, time)


@pytest.mark.parametrize("overdrive", [0.0, 0.5])
@pytest.mark.parametrize("target", [0.1e-6, 1e-6])
def test_threshold_spread_becomes_a_conductance_spread(overdrive, target):
    cell = Fefet(vth_sigma=0.005, overdrive=overdrive)
    g = np.sort(np.asarray(read(cell, target, PROGRAM, 0.0), float))
    top = law(overdrive / UT)
    u = inverse(target / 1e-6 * top)
    # The law rises, so the quantiles of the threshold are those of the conductance.
    for deviations in (-1.0, 0.0, 1.0):
        expected = law(u + deviations * 0.005 / UT) / top * 1e-6
        found = g[int(DRAWS * {-1.0: 0.158655, 0.0: 0.5, 1.0: 0.841345}[deviations])]
        assert found == pytest.approx(expected, rel=4e-3)


def test_far_above_threshold_the_spread_is_the_same_in_every_state_and_below_it_is_relative():
    above = [float(np.std(read(Fefet(vth_sigma=0.005, overdrive=1.0), g, PROGRAM, 0.0))) for g in (0.5e-6, 1e-6)]
    assert above[0] == pytest.approx(above[1], rel=1e-3)
    below = [float(np.std(read(Fefet(vth_sigma=0.005, overdrive=-0.3), g, PROGRAM, 0.0))) / g for g in (0.1e-6, 1e-6)]
    assert below[0] == pytest.approx(below[1], rel=1e-3)


def test_the_memory_window_closes_with_the_logarithm_of_time():
    cell = Fefet(overdrive=0.4, retention_loss=0.1, retention_t0=2.0)
    top = law(0.4 / UT)
    low, high = inverse(0.1 * top), 0.4 / UT
    for target, u in ((0.1e-6, low), (1e-6, high)):
        for decades in (1.0, 4.0):
            moved = u - 0.1 * decades * (u - (low + high) / 2)
            found = read(cell, target, None, 2.0 * (10**decades - 1))[0]
            assert float(found) == pytest.approx(law(moved) / top * 1e-6, rel=1e-5)
    closed = [float(read(cell, g, None, 1e30)[0]) for g in (0.1e-6, 1e-6)]
    assert closed[0] == pytest.approx(closed[1], rel=1e-4)


def test_ideal_until_spreads_are_chosen():
    target = jnp.linspace(0.1e-6, 1e-6, 7)
    cell = Fefet(overdrive=0.3)
    for key in (None, PROGRAM):
        np.testing.assert_array_equal(cell.read(cell.program(target, key), key, 1e8), target)

    def run(cell, target):
        return cell.read(cell.program(target, PROGRAM), READ, 100.0)

    to_cell, to_target = jax.jit(jax.jacobian(run, (0, 1)))(cell, target)
    np.testing.assert_allclose(to_target, np.eye(7), atol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(to_cell))
    assert (to_cell.vth_sigma != 0).all()
    assert (to_cell.retention_loss[jnp.array([0, -1])] != 0).all()


def test_gradient_to_the_threshold_spread_agrees_with_finite_differences():
    with jax.enable_x64(True):

        @jax.jit
        def run(sigma, time):
            cell = Fefet(vth_sigma=sigma, overdrive=0.1, retention_loss=0.05)
            return jnp.sum(cell.read(cell.program(jnp.array([0.2e-6, 0.9e-6]), PROGRAM), None, time) * 1e6)

        found = jax.jit(jax.grad(run, (0, 1)))(0.01, 50.0)
        assert found[0] == pytest.approx(float(run(0.010001, 50.0) - run(0.009999, 50.0)) / 2e-6, rel=1e-6)
        assert found[1] == pytest.approx(float(run(0.01, 50.1) - run(0.01, 49.9)) / 0.2, rel=1e-4)


def test_negative_times():
    cell = Fefet()
    with pytest.raises(UserError, match="fefet is described from 0 to inf s"):
        cell.read(cell.program(jnp.full(1, 1e-6), None), None, -1.0)
    assert np.isnan(read(cell, 1e-6, None, -1.0)).all()
