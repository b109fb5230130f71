"""Variation, drift and retention: their laws in NumPy, what a device keeps, and slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.devices import Cell, Generic
from imcjax.devices.effects import Drift, Retention, Variation


N = 20_000
KEY, OTHER = jax.random.split(jax.random.key(4))
TARGET = jnp.full(N, 40e-6)


@jax.jit
def programmed(cell, key):
    return cell.program(TARGET, key)


def test_variation_is_lognormal_and_belongs_to_the_device_and_to_the_write():
    cell = Cell(variation=Variation(device=0.2, cycle=0.1))
    state = programmed(cell, KEY)
    log = np.log(np.asarray(cell.read(state), float) / 40e-6)
    assert log.mean() == pytest.approx(0, abs=4 * np.hypot(0.2, 0.1) / np.sqrt(N))
    assert log.std() == pytest.approx(np.hypot(0.2, 0.1), rel=0.03)
    again = np.log(np.asarray(cell.read(cell.reprogram(state, TARGET / 2, OTHER)), float) / 20e-6)
    assert np.corrcoef(log, again)[0, 1] == pytest.approx(0.2**2 / (0.2**2 + 0.1**2), abs=0.03)
    assert (log - again).std() == pytest.approx(0.1 * np.sqrt(2), rel=0.03)
    np.testing.assert_array_equal(cell.read(cell.program(TARGET, None)), TARGET)


def test_drift_is_a_power_law_with_an_exponent_for_each_device():
    cell = Cell(drift=Drift(nu=0.05, nu_sigma=0.02, t0=20.0))
    state = programmed(cell, KEY)
    exponents = []
    for time in (0.0, 20.0, 3600.0, 1e7):
        g = np.asarray(cell.read(state, None, time), float)
        logs = np.log((time + 20.0) / 20.0)
        if time:
            exponents.append(-np.log(g / 40e-6) / logs)
            assert exponents[-1].mean() == pytest.approx(0.05, abs=4 * 0.02 / np.sqrt(N))
            assert exponents[-1].std() == pytest.approx(0.02, rel=0.03)
        else:
            np.testing.assert_array_equal(g, np.asarray(TARGET, float))
    np.testing.assert_allclose(exponents[0], exponents[2], atol=1e-5)
    again = cell.reprogram(state, TARGET / 4, OTHER)
    np.testing.assert_allclose(cell.read(again, None, 1e7), np.asarray(cell.read(state, None, 1e7)) / 4, rtol=1e-5)
    without = cell.read(cell.program(TARGET[:3], None), None, 3600.0)
    np.testing.assert_allclose(without, 40e-6 * 181.0**-0.05, rtol=1e-5)


def test_drift_agrees_with_aihwkits_power_law(reference_dir):
    reference = np.load(reference_dir / "aihwkit_pcm_nandakumar.npz", allow_pickle=False)
    target = jnp.asarray(reference["g_target"] * 1e-6, jnp.float32)
    t0 = float(reference["t0"]) if "t0" in reference else 20.0
    cell = Cell(base=Generic(g_min=0.0, g_max=25e-6), drift=Drift(nu=float(reference["det_nu"]), t0=t0))
    state = cell.program(target, None)
    for time, row in zip(reference["times"], reference["det_drift"], strict=True):
        np.testing.assert_allclose(np.asarray(cell.read(state, None, float(time))) * 1e6, row, rtol=1e-5)


def test_retention_loses_the_same_part_in_every_decade():
    cell = Cell(base=Generic(g_min=1e-6), retention=Retention(loss=0.1, t0=1e3))
    state = cell.program(TARGET[:3], None)
    for time in (0.0, 1e3, 1e6, 1e9):
        expected = 1e-6 + 39e-6 * (1 - 0.1 * np.log10(1 + time / 1e3))
        np.testing.assert_allclose(cell.read(state, None, time), expected, rtol=1e-5)
    gone = Cell(base=Generic(g_min=1e-6), retention=Retention(loss=0.5, t0=1.0))
    np.testing.assert_allclose(gone.read(gone.program(TARGET[:3], None), None, 1e6), 1e-6, rtol=1e-5)


def test_without_the_effects_numbers_the_cell_does_not_age():
    cell = Cell(base=Generic(program_sigma=0.02), variation=Variation(), drift=Drift(), retention=Retention())
    state = programmed(cell, KEY)
    np.testing.assert_array_equal(cell.read(state, None, 1e6), state.base.g)


def test_times_before_the_writing():
    cell = Cell(drift=Drift(nu=0.1))
    state = cell.program(TARGET[:2], KEY)
    with pytest.raises(UserError, match=r"time is -1.0 s, before the device was programmed"):
        cell.read(state, None, -1.0)
    assert np.isnan(jax.jit(cell.read)(state, None, -0.5)).all()


def test_gradients_against_differences():
    def read(numbers):
        device, cycle, nu, nu_sigma, t0, loss, start, time = numbers
        cell = Cell(
            variation=Variation(device=device, cycle=cycle), drift=Drift(nu=nu, nu_sigma=nu_sigma, t0=t0),
            retention=Retention(loss=loss, t0=start),
        )  # fmt: skip
        return 1e6 * cell.read(cell.program(TARGET[:5], KEY), None, time)

    with jax.enable_x64(True):
        for numbers in ([0.2, 0.1, 0.05, 0.02, 20.0, 0.05, 10.0, 300.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]):
            numbers = jnp.asarray(numbers, jnp.float64)
            slopes = jax.jit(jax.jacfwd(read))(numbers)
            assert np.isfinite(slopes).all()
            for i in range(len(numbers) - (not numbers[-1])):  # no time before 0 to take a difference to
                step = jnp.zeros(len(numbers)).at[i].set(1e-6 * max(1.0, float(numbers[i])))
                numeric = (read(numbers + step) - read(numbers - step)) / (2 * step[i])
                np.testing.assert_allclose(slopes[:, i], numeric, rtol=1e-5, atol=1e-7)
