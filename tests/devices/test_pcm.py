"""Phase-change cells against 10,000 draws a point of IBM aihwkit's model, and what a cell keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from imcjax import UserError
from imcjax.devices import PcmHermes1, PcmHermes2, PcmNandakumar


DAY, YEAR = 86400.0, 365 * 86400.0
DRAWS = 200_000
CELL = PcmNandakumar()
CELLS = [CELL, PcmHermes1(), PcmHermes2()]
PROGRAM, READ = jax.random.split(jax.random.key(3))


@jax.jit
def program(cell, target, key):
    return cell.program(target, key)


@jax.jit
def read(cell, state, key, time):
    return cell.read(state, key, time)


@pytest.fixture(scope="module")
def reference(reference_dir):
    return np.load(reference_dir / "aihwkit_pcm_nandakumar.npz", allow_pickle=False)


@pytest.fixture(scope="module")
def states(reference):
    target = jnp.broadcast_to(reference["g_target"] * np.float32(1e-6), (DRAWS, 26))
    return program(CELL, target, PROGRAM)


def check_moments(ours, reference, name, scale):
    ours = np.asarray(ours, float) * scale
    mean, std = reference[f"{name}_mean"], reference[f"{name}_std"]
    assert (np.abs(ours.mean(0) - mean) < 4 * std / np.sqrt(1e4)).all(), name
    # Four standard errors of a deviation from 10,000 draws are 3 % if they are normal, more for a cell whose target is zero.
    kurtosis = scipy.stats.kurtosis(ours, axis=0, fisher=False)
    assert (np.abs(ours.std(0) / std - 1) < np.maximum(4 * np.sqrt((kurtosis - 1) / 4e4), 0.03)).all(), name


def test_programming_and_drift_exponents_agree_with_aihwkit(reference, states):
    check_moments(states.g, reference, "prog", 1e6)
    check_moments(states.nu, reference, "nu", 1)


@pytest.mark.parametrize("k", range(4))
def test_reads_agree_with_aihwkit(reference, states, k):
    assert reference["times"].tolist() == [1, 3600, DAY, YEAR]
    check_moments(read(CELL, states, jax.random.fold_in(READ, k), reference["times"][k]), reference, f"t{k}", 1e6)


def test_drift_is_a_power_law_from_twenty_seconds(reference):
    g, nu = reference["g_target"] * np.float32(1e-6), np.full(26, reference["det_nu"], np.float32)
    state = program(CELL, g, None)
    assert state.nu.shape == nu.shape
    for time, expected in zip(reference["times"], reference["det_drift"], strict=True):
        found = CELL.read(type(state)(jnp.asarray(g), jnp.asarray(nu)), None, time) * 1e6
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_as_programmed_at_time_zero_with_noise_and_without(cell):
    target = jnp.linspace(0, float(cell.g_max), 9)
    for key in (None, PROGRAM):
        state = cell.program(target, key)
        np.testing.assert_array_equal(cell.read(state), state.g)
        np.testing.assert_array_equal(read(cell, state, None, 0.0), state.g)
        noisy = cell.read(state, READ)
        assert np.isfinite(noisy).all()
        assert (noisy[state.g > 0] != state.g[state.g > 0]).all()
    np.testing.assert_array_equal(cell.program(target, None).g, target)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_without_conductance_stays_without(cell):
    state = program(cell, jnp.zeros(1000), PROGRAM)
    off = np.asarray(state.g) == 0
    assert off.mean() == pytest.approx(0.5, abs=0.1)
    for time in (0.0, DAY):
        for key in (None, READ):
            g = np.asarray(read(cell, state, key, time))
            assert (g[off] == 0).all()
            assert g[~off].max() > 0


def test_a_cell_has_one_exponent_and_one_programmed_conductance_at_all_times():
    state = program(CELL, jnp.full(1000, 10e-6), PROGRAM)
    early, late = (np.asarray(read(CELL, state, None, time), float) for time in (3600.0, YEAR))
    # Both times give back the same exponent, and it is the one kept, cell by cell.
    for g, time in ((early, 3600.0), (late, YEAR)):
        np.testing.assert_allclose(-np.log(g / np.asarray(state.g, float)) / np.log1p(time / 20), state.nu, rtol=1e-3)
    drifted = late / np.asarray(state.g, float)
    assert np.corrcoef(late, state.g)[0, 1] > 0.5  # of the programmed conductance, not drawn anew from the target
    assert drifted.std() > 0.01


def test_the_errors_of_a_cell_do_not_depend_on_the_highest_conductance_in_use():
    target = jnp.linspace(1e-6, 10e-6, 5)
    part, whole = PcmNandakumar(g_max=10e-6), CELL
    for leaf, other in zip(*(jax.tree.leaves(cell.program(target, PROGRAM)) for cell in (part, whole)), strict=True):
        np.testing.assert_array_equal(leaf, other)
    state = whole.program(target, PROGRAM)
    np.testing.assert_array_equal(part.read(state, READ, DAY), whole.read(state, READ, DAY))


def test_scales_switch_each_effect_off_with_finite_gradients():
    target = jnp.array([0.0, 0.1e-6, 12e-6, 25e-6])

    def run(scales, target, time):
        cell = CELL.replace(program_scale=scales[0], drift_scale=scales[1], read_scale=scales[2])
        return cell.read(cell.program(target, PROGRAM), READ, time)

    off = jnp.zeros(3)
    np.testing.assert_array_equal(run(off, target, DAY), target)
    to_scales, to_target, to_time = jax.jit(jax.jacobian(run, (0, 1, 2)))(off, target, DAY)
    np.testing.assert_array_equal(to_target, np.eye(4))
    assert np.isfinite(to_scales).all()
    assert (np.abs(to_scales[1:]) > 0).all()
    np.testing.assert_array_equal(to_time, np.zeros(4))


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        target = jnp.array([0.4e-6, 3e-6, 20e-6])

        @jax.jit
        def run(scales, target, time):
            cell = CELL.replace(program_scale=scales[0], drift_scale=scales[1], read_scale=scales[2])
            return jnp.sum(cell.read(cell.program(target, PROGRAM), READ, time) * 1e6)

        at = (jnp.ones(3), target, 7000.0)
        to_scales, to_target, to_time = jax.jit(jax.grad(run, (0, 1, 2)))(*at)
        h = 1e-5
        for k in range(3):
            step = h * np.eye(3)[k]
            found = (run(at[0] + step, *at[1:]) - run(at[0] - step, *at[1:])) / (2 * h)
            assert to_scales[k] == pytest.approx(float(found), rel=1e-6)
            step = step * 1e-6
            found = (run(at[0], target + step, 7000.0) - run(at[0], target - step, 7000.0)) / (2e-6 * h)
            assert to_target[k] == pytest.approx(float(found), rel=1e-5)
        assert to_time == pytest.approx(float(run(*at[:2], 7001.0) - run(*at[:2], 6999.0)) / 2, rel=1e-5)


def test_many_chips_and_many_times_in_one_call():
    keys = jax.random.split(PROGRAM, 3)
    target = jnp.full((4,), 9e-6)
    states = jax.vmap(CELL.program, (None, 0))(target, keys)
    at_times = jax.vmap(lambda time: CELL.read(states, None, time))(jnp.array([0.0, 60.0, DAY]))
    assert at_times.shape == (3, 3, 4)
    np.testing.assert_array_equal(at_times[0], states.g)
    assert (at_times[2] < at_times[1]).all()
    one = CELL.read(CELL.program(target, keys[1]), None, DAY)
    np.testing.assert_allclose(at_times[2, 1], one, rtol=1e-6)


def test_negative_times_are_refused_or_nan():
    state = CELL.program(jnp.full(2, 5e-6), None)
    with pytest.raises(UserError, match=r"pcm_nandakumar is described from 0 to inf s after programming, time is -1"):
        CELL.read(state, None, -1.0)
    assert np.isnan(read(CELL, state, None, -1.0)).all()
    assert np.isnan(read(CELL, state, READ, -1.0)).all()
