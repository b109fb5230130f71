"""SONOS against the published polynomials evaluated by NumPy in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.devices import Sonos, sonos


DAY = 86400.0
DRAWS = 100_000
CELL = Sonos()
PROGRAM, READ = jax.random.split(jax.random.key(6))
CURRENTS = np.array([0.0, 5.0, 60.0, 400.0, 1000.0, 1599.0])
TARGETS = np.asarray(CURRENTS / 0.1 * 1e-9, np.float32)


@jax.jit
def read(cell, state, key, time):
    return cell.read(state, key, time)


def drifted(days):
    """nA, by the plain power series at whole days, linear between them."""
    low, part = int(days), days - int(days)
    by_day = [np.polyval(sonos.DRIFT_NA[k][::-1], CURRENTS) for k in (low, min(low + 1, 5))]
    return CURRENTS + (1 - part) * by_day[0] + part * by_day[1]


def between(days, column):
    return np.interp(days, np.arange(6), sonos.SPREAD_NA[:, column])


def test_table_of_the_first_and_the_last_day():
    assert not sonos.DRIFT_NA[0].any()
    assert (sonos.DRIFT_NA[5, 0], sonos.DRIFT_NA[5, 10], sonos.SPREAD_NA[5, 1]) == (1.15294, -3.11099e-27, 207.34309)
    # The mean falls by some percent over the days in the strong states and rises in the weakest.
    assert drifted(5)[0] > 0
    assert 0.8 < drifted(5)[3] / CURRENTS[3] < 1


@pytest.mark.parametrize("days", [0.0, 0.5, 1.0, 3.25, 5.0])
def test_mean_drift(days):
    found = read(CELL, CELL.program(TARGETS, None), None, days * DAY)
    np.testing.assert_allclose(np.asarray(found, float) * 0.1 * 1e9, drifted(days), rtol=2e-6, atol=2e-4)


@pytest.mark.parametrize("days", [0.0, 2.5, 5.0])
def test_spread_and_read_noise(days):
    target = jnp.broadcast_to(TARGETS, (DRAWS, len(TARGETS)))
    nano = 0.1 * 1e9
    state = CELL.program(target, PROGRAM)
    g = np.asarray(read(CELL, state, None, days * DAY), float) * nano
    mean = drifted(days)
    sigma = between(days, 0) * (1 - np.exp(-mean / between(days, 1)))
    np.testing.assert_allclose(g.mean(0)[2:], mean[2:], atol=4 * 35 / np.sqrt(DRAWS))
    np.testing.assert_allclose(g.std(0)[2:], sigma[2:], rtol=0.01)
    still = CELL.program(target, None)
    noise = np.asarray(read(CELL, still, READ, days * DAY), float) * nano
    np.testing.assert_allclose(noise.std(0)[2:], (12.58037 * (1 - np.exp(-mean / 215.36557)))[2:], rtol=0.01)


def test_as_programmed_and_a_deviate_for_life():
    state = CELL.program(TARGETS, PROGRAM)
    np.testing.assert_array_equal(CELL.read(CELL.program(TARGETS, None)), TARGETS)
    shift = [np.asarray(read(CELL, state, None, d * DAY), float) - drifted(d) * 1e-8 for d in (0.0, 5.0)]
    assert (np.sign(shift[0][2:]) == np.sign(shift[1][2:])).all()
    assert (np.abs(shift[1][2:]) > np.abs(shift[0][2:])).all()


def test_the_statistics_belong_to_the_current_and_not_to_the_voltage_it_is_read_at():
    lower = Sonos(g_max=32e-6, v_read=0.05)
    found = lower.read(lower.program(2 * TARGETS, PROGRAM), READ, 2 * DAY)
    np.testing.assert_allclose(found, 2 * CELL.read(CELL.program(TARGETS, PROGRAM), READ, 2 * DAY), rtol=1e-5)


def test_gradients():
    with jax.enable_x64(True):
        target = jnp.array([1e-6, 9e-6])

        @jax.jit
        def run(numbers, target, time):
            cell = CELL.replace(program_scale=numbers[0], drift_scale=numbers[1], read_scale=numbers[2], v_read=numbers[3])
            return jnp.sum(cell.read(cell.program(target, PROGRAM), READ, time) * 1e6)

        at, time = jnp.array([1.0, 0.0, 0.0, 0.1]), 1.4 * DAY
        to_numbers, to_target, to_time = jax.jit(jax.grad(run, (0, 1, 2)))(at, target, time)
        for k in range(4):
            step = 1e-5 * np.eye(4)[k]
            found = float(run(at + step, target, time) - run(at - step, target, time)) / 2e-5
            assert to_numbers[k] == pytest.approx(found, rel=1e-5)
        for k in range(2):
            step = 1e-11 * np.eye(2)[k]
            found = float(run(at, target + step, time) - run(at, target - step, time)) / 2e-11
            assert to_target[k] == pytest.approx(found, rel=1e-5)
        assert to_time == pytest.approx(float(run(at, target, time + 9) - run(at, target, time - 9)) / 18, rel=1e-5)
    off = jax.jit(jax.jacobian(lambda g: CELL.replace(program_scale=0.0, drift_scale=0.0, read_scale=0.0).read(
        CELL.program(g, PROGRAM), READ, DAY)))(jnp.array([0.0, 1e-6]))  # fmt: skip
    np.testing.assert_allclose(off, np.eye(2), atol=1e-6)


def test_beyond_the_measurement():
    state = CELL.program(TARGETS, None)
    with pytest.raises(UserError, match=r"sonos is described from 0 to 432000 s \(5 days\) after programming, time is 432001"):
        CELL.read(state, None, 5 * DAY + 1)
    assert np.isnan(read(CELL, state, None, 5 * DAY + 1)).all()
    with pytest.raises(UserError, match=r"g_max 3e-05 S read at 0.1 V, but was measured up to 1800 nA; lower one"):
        Sonos(g_max=30e-6).program(jnp.zeros(2), None)
