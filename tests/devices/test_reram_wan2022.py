"""NeuRRAM's cells against 10,000 draws a point of IBM aihwkit's model, and what our model adds: a history for each device."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from imcjax import UserError
from imcjax.devices import Generic, ReramWan2022, reram_wan2022


DAY = 86400.0
DRAWS = 10_000
CELL = ReramWan2022()
PROGRAM, READ = jax.random.split(jax.random.key(11))


@jax.jit
def draws(target_us, time):
    """(draws, targets) microsiemens, programmed with a key and read without one: relaxation, but no read noise."""
    state = CELL.program(jnp.broadcast_to(target_us * 1e-6, (DRAWS, *target_us.shape)), PROGRAM)
    return CELL.read(state, None, time) * 1e6


def test_statistics_agree_with_aihwkit(reference_dir):
    # Its columns t0, t1, t2 are our reads at those times without a key: its model has no read noise, ours adds 1 % with one.
    # Its prog column is drawn as t0 is: "as programmed" is the spread at 1 s, which is ours at time 0.
    reference = np.load(reference_dir / "aihwkit_reram_wan2022.npz", allow_pickle=False)
    target = reference["g_target"]
    np.testing.assert_array_equal(reference["times"], reram_wan2022.TIMES_S)
    assert reference["n_draws"] == DRAWS
    for name, time in (("prog", 0.0), *((f"t{k}", time) for k, time in enumerate(reference["times"]))):
        ours = np.asarray(draws(target, time), float)
        mean, std = reference[f"{name}_mean"], reference[f"{name}_std"]
        # Both are means of 10,000 draws, so their difference has sqrt(2) times the standard error of one.
        error = np.sqrt(2) * np.maximum(std, ours.std(0)) / np.sqrt(DRAWS)
        assert (np.abs(ours.mean(0) - mean) / error).max() < 4, name
        np.testing.assert_allclose(ours.std(0, ddof=1), std, rtol=0.05)
        np.testing.assert_allclose(ours.std(0, ddof=1)[1:].mean(), std[1:].mean(), rtol=0.01)
        quantiles = np.quantile(ours, [0.05, 0.5, 0.95], axis=0)
        np.testing.assert_allclose(quantiles, reference[f"{name}_q05_50_95"], atol=0.35, err_msg=name)


def test_moments_agree_with_aihwkit_without_our_own_sampling_error(reference_dir):
    # The model is max(0, target + sigma N): its exact mean and deviation, from our sigma, against the sampled reference.
    reference = np.load(reference_dir / "aihwkit_reram_wan2022.npz", allow_pickle=False)
    target = reference["g_target"].astype(float)
    for k, time in enumerate(reference["times"]):
        sigma = np.asarray(reram_wan2022.spread_siemens(target.astype(np.float32) * 1e-6, time)) * 1e6
        below, density = scipy.stats.norm.cdf(target / sigma), scipy.stats.norm.pdf(target / sigma)
        mean = target * below + sigma * density
        std = np.sqrt((target**2 + sigma**2) * below + target * sigma * density - mean**2)
        assert (np.abs(mean - reference[f"t{k}_mean"]) < 4 * std / np.sqrt(DRAWS)).all()
        np.testing.assert_allclose(std, reference[f"t{k}_std"], rtol=0.03)


def test_spread_is_the_polynomial_at_measured_times_and_between_them_linear_in_log_time():
    target = np.linspace(0, 40, 9, dtype=np.float32)
    found = [np.asarray(reram_wan2022.spread_siemens(target * 1e-6, t)) * 1e6 for t in (1.0, np.sqrt(DAY), DAY)]
    for row, spread in zip(reram_wan2022.SIGMA_US[:2], found[::2], strict=True):
        np.testing.assert_allclose(spread, np.polynomial.polynomial.polyval(target / 40.0, row), rtol=1e-4)
    np.testing.assert_allclose(found[1], (found[0] + found[2]) / 2, rtol=1e-5)


def test_without_a_key_the_cell_stays_at_its_target():
    target = jnp.linspace(1e-6, 40e-6, 5)
    state = CELL.program(target, None)
    for time in (0.0, 1.0, 2 * DAY):
        np.testing.assert_array_equal(CELL.read(state, None, time), target)


def test_read_noise_acts_if_and_only_if_there_is_a_key():
    state = CELL.program(jnp.full(20_000, 30e-6), None)
    noisy = np.asarray(jax.jit(CELL.read)(state, READ), float)
    assert noisy.mean() == pytest.approx(30e-6, rel=4 * 0.01 / np.sqrt(20_000))
    assert noisy.std() == pytest.approx(0.3e-6, rel=0.03)
    np.testing.assert_array_equal(CELL.read(CELL.program(state.g_target[:4], PROGRAM)), CELL.read(CELL.program(
        state.g_target[:4], PROGRAM), None))  # fmt: skip


def test_a_device_keeps_its_deviate_as_its_spread_widens():
    state = CELL.program(jnp.full(500, 20e-6), PROGRAM)
    at = [np.asarray(CELL.read(state, None, time), float) - 20e-6 for time in (0.0, 1.0, 3600.0, DAY, 2 * DAY)]
    np.testing.assert_array_equal(at[0], at[1])
    for earlier, later in itertools.pairwise(at[1:]):
        assert np.corrcoef(earlier, later)[0, 1] > 0.99999
    assert at[3].std() > at[2].std() > 1.1 * at[1].std()


@pytest.mark.parametrize("time", [-1.0, 2 * DAY + 1, np.array([0.0, 1e9])])
def test_times_beyond_the_measurement_are_refused_where_they_are_known(time):
    state = CELL.program(jnp.full(2, 20e-6), None)
    with pytest.raises(
        UserError, match=r"reram_wan2022 is described from 0 to 172800 s \(2 days\).*time is .* choose a time in that range"
    ):
        CELL.read(state, None, time)


@pytest.mark.parametrize("time, finite", [(-1.0, False), (0.0, True), (0.5, True), (2 * DAY, True), (2 * DAY + 1, False)])
def test_traced_times_beyond_the_measurement_give_nan(time, finite):
    for key in (PROGRAM, None):
        state = CELL.program(jnp.full(3, 20e-6), key)
        found = jax.jit(lambda t, state=state: CELL.read(state, None, t))(time)
        assert np.isfinite(found).all() == finite
        if finite:
            np.testing.assert_allclose(found, CELL.read(state, None, time), rtol=1e-5)


def test_gradients_where_every_error_is_switched_off():
    target = jnp.array([0.0, 10e-6, 30e-6])

    def read(target, program_scale, read_sigma, time):
        cell = ReramWan2022(g_min=0.0, program_scale=program_scale, read_sigma=read_sigma)
        return cell.read(cell.program(target, PROGRAM), READ, time)

    np.testing.assert_array_equal(read(target, 0.0, 0.0, 60.0), target)
    to_target, to_scale, to_sigma, to_time = jax.jacobian(read, (0, 1, 2, 3))(target, 0.0, 0.0, 60.0)
    np.testing.assert_array_equal(to_target, np.eye(3))
    spread = reram_wan2022.spread_siemens(target, 60.0)
    np.testing.assert_allclose(to_scale, spread * jax.random.normal(PROGRAM, (3,)), rtol=1e-5)
    np.testing.assert_allclose(to_sigma, target * jax.random.normal(READ, (3,)), rtol=1e-6)
    np.testing.assert_array_equal(to_time, np.zeros(3))


def test_gradient_to_the_time_is_the_slope_of_the_relaxation():
    state = CELL.program(jnp.float32(20e-6), PROGRAM)

    def read(time):
        return CELL.read(state, None, time)

    with jax.enable_x64(True):
        assert jax.grad(read)(3600.0) == pytest.approx((float(read(4320.0)) - float(read(2880.0))) / 1440, rel=0.02)


def test_the_spread_of_a_cell_does_not_depend_on_the_highest_conductance_in_use():
    target = jnp.linspace(1e-6, 20e-6, 5)
    part = ReramWan2022(g_max=20e-6)
    found, expected = (cell.read(cell.program(target, PROGRAM), None, DAY) for cell in (part, CELL))
    np.testing.assert_array_equal(found, expected)


def test_both_families_are_read_alike():
    target = jnp.full((2, 3), 20e-6)
    for cell in (Generic(), CELL):
        state = cell.program(target, PROGRAM)
        assert all(leaf.shape == target.shape for leaf in jax.tree.leaves(state))
        assert cell.read(state, READ, time=0.0).shape == target.shape
