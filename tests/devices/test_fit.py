"""Fits find the numbers that measurements were made with: by closed forms, not by the models themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.devices import Cell, Fit, Generic, Table, effects, fit
from imcjax.devices.fit import numbers


TARGETS = np.linspace(10e-6, 90e-6, 6)


def generic_points(program_sigma, read_sigma):
    spread = np.hypot(program_sigma * 1e-4, read_sigma * TARGETS)
    return np.stack([TARGETS, np.zeros(6), TARGETS, spread], 1)


def drift_points(nu, nu_sigma, t0):
    """The moments of the lognormal g exp(-nu L), nu normal."""
    points = []
    for time in (1.0, 100.0, 1e4, 1e6):
        span = np.log((time + t0) / t0)
        mean = np.exp(-nu * span + (nu_sigma * span) ** 2 / 2)
        spread = mean * np.sqrt(np.expm1((nu_sigma * span) ** 2))
        points += [(g, time, g * mean, g * np.hypot(spread, 0.01 * np.exp(-nu * span) * 1e-4 / g)) for g in TARGETS[1:4]]
    return np.array(points)


def test_generic_sigmas_are_recovered():
    found = fit(Generic(g_min=1e-6), generic_points(0.03, 0.05), draws=2000)
    assert isinstance(found, Fit)
    assert set(found.values) == {"program_sigma", "read_sigma"}  # g_min and g_max are the range of the targets
    assert found.model.program_sigma == pytest.approx(0.03, rel=0.04)
    assert found.model.read_sigma == pytest.approx(0.05, rel=0.04)
    assert isinstance(found.model.read_sigma, float)
    assert found.model.g_max == 1e-4
    assert found.mean_error.shape == found.sigma_error.shape == (6,)
    assert found.rms_mean == pytest.approx(np.sqrt((found.mean_error**2).mean()))
    assert 0 < found.rms_mean < 0.02
    assert 0 < found.rms_sigma < 0.04


def test_a_cell_with_drift_is_recovered():
    cell = Cell(base=Generic(g_min=1e-6), drift=effects.Drift(t0=20.0))
    names = ["base.program_sigma", "drift.nu", "drift.nu_sigma"]
    found = fit(cell, drift_points(0.06, 0.02, 20.0), names=names, draws=1000)
    assert list(found.values) == names
    assert found.values["drift.nu"] == pytest.approx(0.06, rel=0.03)
    assert found.values["drift.nu_sigma"] == pytest.approx(0.02, rel=0.05)
    assert found.values["base.program_sigma"] == pytest.approx(0.01, rel=0.1)
    assert found.model.drift.t0 == 20.0
    assert found.rms_sigma < 0.1


def test_measurements_that_need_a_number_below_its_range_end_at_the_range():
    points = generic_points(0.0, 0.05)
    found = fit(Generic(program_sigma=0.02, read_sigma=0.01), points, draws=500)
    assert found.model.program_sigma == pytest.approx(0, abs=2e-3)
    assert found.model.read_sigma == pytest.approx(0.05, rel=0.05)


def test_arrays_are_fitted_as_numbers_are():
    table = Table(np.array([1e-5, 9e-5]), np.array([[1e-5, 9e-5]]), np.array([[1e-6, 1e-6]]), np.array([0.0]))
    points = [(1e-5, 0.0, 1.2e-5, 2e-6), (5e-5, 0.0, 4.8e-5, 3e-6), (9e-5, 0.0, 8.4e-5, 4e-6)]
    found = fit(table, points, names=["mean", "sigma"], draws=4000)
    np.testing.assert_allclose(found.model.mean, [[1.2e-5, 8.4e-5]], rtol=0.02)
    np.testing.assert_allclose(found.model.sigma, [[2e-6, 4e-6]], rtol=0.05)


def test_the_same_key_gives_the_same_fit():
    points = generic_points(0.03, 0.05)
    one, same, other = (fit(Generic(), points, draws=50, steps=3, key=jax.random.key(k)) for k in (0, 0, 1))
    assert one.values == same.values
    assert one.values != other.values


def test_numbers_have_dotted_names():
    found = numbers(Cell(drift=effects.Drift(nu=0.1)))
    assert found["base.g_max"] == 1e-4
    assert found["drift.nu"] == 0.1
    assert not any(name.startswith("stuck") for name in found)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"measurements": np.ones((3, 3))}, r"measurements have shape \(3, 3\); give rows of target, time, mean and sigma"),
        ({"measurements": np.ones((0, 4))}, r"measurements have shape \(0, 4\)"),
        ({"measurements": -np.ones((2, 4))}, r"negative or not finite; leave that point out"),
        ({"measurements": np.full((2, 4), np.nan)}, r"negative or not finite"),
        ({"names": ["read_sgima"]}, r"has no number 'read_sgima' \(nearest: read_sigma"),
        ({"names": []}, r"No number of the device moves"),
        ({"draws": 1}, r"draws is 1; give at least 2"),
        ({"model": Generic(read_sigma=-1.0)}, r"model.read_sigma is -1"),
    ],
)
def test_wrong_input_is_refused(change, message):
    given = {"model": Generic(), "measurements": generic_points(0.1, 0.1)} | change
    with pytest.raises(UserError, match=message):
        fit(**given)


def test_times_that_the_device_does_not_cover_are_refused():
    table = Table(np.array([1e-5, 9e-5]), np.array([[1e-5, 9e-5]]), np.array([[1e-6, 1e-6]]), np.array([0.0]))
    with pytest.raises(UserError, match="The table covers 0 to 0 s"):
        fit(table, [(1e-5, 5.0, 1e-5, 1e-6)])


@pytest.mark.slow
def test_statistics_are_smooth_in_the_numbers():
    """What makes the gradients true: the same random numbers at every evaluation."""
    from imcjax.devices.fit import _statistics

    statistics = _statistics(drift_points(0.06, 0.02, 20.0), jax.random.key(0), 20, True)

    def sigma(nu_sigma):
        cell = Cell(base=Generic(program_sigma=0.01), drift=effects.Drift(nu=0.05, nu_sigma=nu_sigma, t0=20.0))
        return 1e6 * statistics(cell)[1]

    with jax.enable_x64(True):
        at = jnp.float64(0.02)
        slope = jax.jvp(sigma, (at,), (jnp.float64(1.0),))[1]
        np.testing.assert_allclose(slope, (sigma(at + 1e-5) - sigma(at - 1e-5)) / 2e-5, rtol=1e-4)
