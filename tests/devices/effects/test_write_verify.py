"""Write-verify: how many pulses and how close, from the geometric law, and what it keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from imcjax import UserError
from imcjax.devices import Cell, Generic, ReramWan2022, mean_pulses
from imcjax.devices.effects import Stuck, Variation, WriteVerify


N = 20_000
KEY = jax.random.key(3)
BASE = Generic(g_min=1e-6, g_max=1e-4, program_sigma=0.05)
TARGET = jnp.full(N, 50e-6)


@jax.jit
def written(cell, key):
    return cell.program(TARGET, key)


def test_pulses_follow_the_geometric_law_and_accepted_devices_the_truncated_normal_one():
    state = written(Cell(base=BASE, write_verify=WriteVerify(tolerance=0.03, pulses=8)), KEY)
    accept = 1 - 2 * scipy.stats.norm.sf(0.03 / 0.05)
    pulses = np.asarray(state.pulses)
    for k in range(1, 9):
        expected = accept * (1 - accept) ** (k - 1) if k < 8 else (1 - accept) ** 7
        assert (pulses == k).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / N))
    expected = (1 - (1 - accept) ** 8) / accept
    assert float(mean_pulses(state)) == pytest.approx(expected, rel=0.02)
    error = (np.asarray(state.base.g, float) - 50e-6) / 1e-4
    inside = np.abs(error) <= 0.03
    assert (~inside).mean() == pytest.approx((1 - accept) ** 8, abs=4 * np.sqrt((1 - accept) ** 8 / N))
    law = scipy.stats.truncnorm(-0.6, 0.6, scale=0.05)
    assert error[inside].std() == pytest.approx(law.std(), rel=0.03)


def test_a_device_within_tolerance_keeps_its_value():
    few = written(Cell(base=BASE, write_verify=WriteVerify(tolerance=0.03, pulses=2)), KEY)
    more = written(Cell(base=BASE, write_verify=WriteVerify(tolerance=0.03, pulses=8)), KEY)
    done = np.abs(np.asarray(few.base.g) - 50e-6) < 0.02999e-4
    assert 0.5 < done.mean() < 0.9
    np.testing.assert_array_equal(more.base.g[done], few.base.g[done])
    assert (more.base.g != few.base.g)[~done].mean() > 0.99


def test_the_verifying_read_is_noisy_as_the_cell_is():
    noisy = Generic(g_min=1e-6, g_max=1e-4, program_sigma=0.05, read_sigma=0.04)
    state = written(Cell(base=noisy, write_verify=WriteVerify(tolerance=0.02, pulses=30)), KEY)
    # Verified is the sum of two errors, of 5 and 2 uS: the first, given the sum, is its share of it and a rest of its own.
    both = np.hypot(5e-6, 2e-6)
    seen = scipy.stats.truncnorm(-2e-6 / both, 2e-6 / both, scale=both).std()
    expected = np.hypot(seen * (5e-6 / both) ** 2, 5e-6 * 2e-6 / both)
    assert np.asarray(state.base.g, float).std() == pytest.approx(expected, rel=0.04)


def test_without_a_key_one_pulse_is_exact():
    cell = Cell(base=BASE, variation=Variation(cycle=0.1), write_verify=WriteVerify(tolerance=0.0, pulses=5))
    state = cell.program(TARGET[:4], None)
    np.testing.assert_array_equal(state.pulses, np.ones(4))
    np.testing.assert_array_equal(cell.read(state), TARGET[:4])


@pytest.mark.slow
def test_cycle_variation_is_drawn_at_each_pulse_and_stuck_cells_use_all():
    cell = Cell(variation=Variation(cycle=0.3), stuck=Stuck(off=0.2), write_verify=WriteVerify(tolerance=0.02, pulses=40))
    state = written(cell, KEY)
    good = np.asarray(state.made.faults.off) == 0
    assert (np.asarray(state.pulses)[~good] == 40).all()
    g = np.asarray(cell.read(state), float)[good]
    assert (np.abs(g - 50e-6) <= 2.0001e-6).mean() > 0.9
    assert 1 < np.asarray(state.pulses)[good].mean() < 40


def test_gradients_go_through_the_kept_attempt():
    def mean(target, sigma, tolerance):
        base = Generic(g_min=0.0, g_max=1e-4, program_sigma=sigma)
        cell = Cell(base=base, write_verify=WriteVerify(tolerance=tolerance, pulses=4))
        return cell.read(cell.program(target, KEY))

    target = jnp.array([0.0, 4e-5, 9e-5])
    to_target, to_sigma, to_tolerance = jax.jacobian(mean, (0, 1, 2))(target, 0.02, 0.01)
    g = mean(target, 0.02, 0.01)
    np.testing.assert_allclose(to_target, np.diag(np.asarray(g) > 0), atol=1e-6)
    np.testing.assert_allclose(to_sigma, np.where(g > 0, (g - target) / 0.02, 0), rtol=1e-4, atol=1e-12)
    np.testing.assert_array_equal(to_tolerance, np.zeros(3))
    np.testing.assert_allclose(jax.jacobian(mean)(target, 0.0, 0.0), np.eye(3))


def test_other_families_are_verified_too():
    cell = Cell(base=ReramWan2022(read_sigma=0.0), write_verify=WriteVerify(tolerance=0.05, pulses=20))
    target = jnp.full(2000, 20e-6)
    g = np.asarray(cell.read(cell.program(target, KEY)))
    assert np.abs(g - 20e-6).max() <= 0.0500001 * 40e-6
    open_loop = np.asarray(cell.base.read(cell.base.program(target, KEY)))
    assert g.std() < 0.6 * open_loop.std()


def test_pulses_that_were_not_counted_are_refused():
    with pytest.raises(UserError, match="written without write-verify"):
        mean_pulses(Cell().program(TARGET[:3], KEY))
