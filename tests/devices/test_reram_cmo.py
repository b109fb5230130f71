"""CMO/HfOx ReRAM against the published fits, and a relaxation that stays with the cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError, devices


DRAWS = 100_000
FINE, COARSE = devices.preset("reram_cmo_0.2"), devices.preset("reram_cmo_2")
PROGRAM, READ = jax.random.split(jax.random.key(8))
YEAR = 365.25 * 86400


@jax.jit
def program(cell, target, key):
    return cell.program(jnp.full(DRAWS, target), key)


@jax.jit
def read(cell, state, key, time):
    return cell.read(state, key, time)


def moments(g):
    g = np.asarray(g, float) * 1e6
    return g.mean(), g.std()


@pytest.mark.parametrize("cell, line", [(FINE, (0.00106879, 0.00081107)), (COARSE, (0.01129027418, 0.0112185391))])
def test_programming_error_is_a_line_of_the_target(cell, line):
    for us in (20.0, 70.0):
        mean, std = moments(program(cell, us * 1e-6, PROGRAM).g)
        assert mean == pytest.approx(us, abs=4 * np.polyval(line, us) / np.sqrt(DRAWS))
        assert std == pytest.approx(np.polyval(line, us), rel=0.015)


def test_both_presets_share_a_structure():
    assert jax.tree.structure(FINE) == jax.tree.structure(COARSE)


def test_an_acceptance_range_that_was_not_measured_is_refused():
    with pytest.raises(UserError, match=r"no device preset 'reram_cmo_0.02' \(nearest: .*reram_cmo_2"):
        devices.preset("reram_cmo_0.02")


@pytest.mark.parametrize("time", [1.0, 3600.0, 10 * YEAR])
def test_relaxation_and_read_noise(time):
    state = program(FINE, 50e-6, None)
    state = state.replace(deviate=jax.random.normal(PROGRAM, (DRAWS,)))
    mean, std = moments(read(FINE, state, None, time))
    relaxed = 0.04201137 * np.log(time) + 0.41183342
    assert mean == pytest.approx(50 - 0.08900206 * np.log(time), abs=4 * relaxed / np.sqrt(DRAWS))
    assert std == pytest.approx(relaxed, rel=0.01)
    still = program(FINE, 50e-6, None)
    mean, std = moments(read(FINE, still, READ, time))
    around = 50 - 0.08900206 * np.log(time)
    sigma = 0.0277316483 * np.log10(around) * np.sqrt(np.log((time + 1e-6) / 2e-6))
    assert mean == pytest.approx(around, abs=4 * sigma / np.sqrt(DRAWS) + 1e-4)
    assert std == pytest.approx(sigma, rel=0.01)


def test_as_programmed_at_time_zero_and_early_as_at_one_second():
    state = program(COARSE, 30e-6, PROGRAM)
    for found in (read(COARSE, state, None, 0.0), COARSE.read(state)):
        np.testing.assert_array_equal(found, state.g)
    np.testing.assert_array_equal(read(COARSE, state, None, 1e-3), read(COARSE, state, None, 1.0))
    assert (read(COARSE, state, None, 1.0) != state.g).all()
    assert np.isfinite(read(COARSE, state, READ, 0.0)).all()


def test_a_cell_keeps_its_programmed_conductance_and_its_relaxation():
    state = program(COARSE, 60e-6, PROGRAM)
    early, late = (np.asarray(read(COARSE, state, None, time) - state.g, float) for time in (1.0, YEAR))
    assert np.corrcoef(early, late)[0, 1] > 0.9999
    # The programming error is still in what is read: the drift does not start from the target.
    g = np.asarray(read(COARSE, state, None, YEAR), float)
    expected = 0.689**2 / (0.689**2 + (0.41183342 + 0.04201137 * np.log(YEAR)) ** 2)
    assert np.corrcoef(g, state.g)[0, 1] ** 2 == pytest.approx(expected, abs=0.02)


def test_what_is_read_stays_in_the_measured_window():
    for us in (9.0, 88.2):
        g = np.asarray(read(COARSE, program(COARSE, us * 1e-6, PROGRAM), READ, YEAR), float)
        assert g.min() >= 9e-6 * (1 - 1e-6)
        assert g.max() <= 88.2e-6 * (1 + 1e-6)


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        target = jnp.array([15e-6, 80e-6])

        @jax.jit
        def run(numbers, time):
            cell = COARSE.replace(program_slope=numbers[0], drift_scale=numbers[1], read_scale=numbers[2])
            return jnp.sum(cell.read(cell.program(target, PROGRAM), READ, time) * 1e6)

        at = jnp.array([0.0, 1.0, 0.0])
        found = jax.jit(jax.grad(run))(at, 50.0)
        for k in range(3):
            step = 1e-4 * np.eye(3)[k]
            assert found[k] == pytest.approx(float(run(at + step, 50.0) - run(at - step, 50.0)) / 2e-4, rel=1e-4)
        slope = (run(at, 51.0) - run(at, 49.0)) / 2
        assert jax.jit(jax.grad(run, 1))(at, 50.0) == pytest.approx(float(slope), rel=1e-3)


def test_times_beyond_the_model():
    state = COARSE.program(jnp.full(2, 20e-6), None)
    with pytest.raises(UserError, match=r"reram_cmo is described from 0 to 3.15576e\+08 s \(3652.5 days\)"):
        COARSE.read(state, None, 11 * YEAR)
    for time in (-1.0, 11 * YEAR):
        assert np.isnan(jax.jit(COARSE.read)(state, None, time)).all()
