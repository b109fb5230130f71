"""Stuck cells: exact fractions with and without clusters, clusters of the size asked for, wear, and maps that are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from imcjax import Hardware, UserError
from imcjax.devices import Cell, Generic, with_faults
from imcjax.devices.effects import Endurance, Stuck
from imcjax.hardware import check


KEY = jax.random.key(8)
TARGET = jnp.full((64, 128), 50e-6)
CHIPS = jax.random.split(KEY, 60)


@jax.jit
def faults(stuck):
    """(chips, rows, cols) maps of cells that are on, and that are off."""
    return jax.vmap(lambda key: stuck.draw(key, TARGET))(CHIPS)


def correlation(maps, distance):
    """Of cells `distance` columns apart."""
    values = np.asarray(maps, float)
    return np.corrcoef(values[..., :-distance].ravel(), values[..., distance:].ravel())[0, 1]


@pytest.mark.parametrize("cluster", [0.0, 2.0])
def test_fractions_are_exact_everywhere(cluster):
    found = faults(Stuck(on=0.02, off=0.1, cluster=cluster))
    independent = found.on.size / (1 + 4 * np.pi * cluster**2)  # cells in one cluster count as one
    for maps, fraction in ((found.on, 0.02), (found.off, 0.1)):
        assert float(maps.mean()) == pytest.approx(fraction, abs=4 * np.sqrt(fraction / independent))
    assert not (found.on * found.off).any()
    # The borders are no different from the middle: the smoothing does not stop there.
    border, inner = found.off[:, :, [0, 1, -2, -1]].mean(), found.off[:, :, 20:-20].mean()
    assert float(border) == pytest.approx(float(inner), rel=0.15)


def test_clusters_have_the_length_asked_for():
    apart = faults(Stuck(on=0.0, off=0.1, cluster=0.0)).off
    together = faults(Stuck(on=0.0, off=0.1, cluster=2.0)).off
    assert abs(correlation(apart, 1)) < 0.01
    # Smoothing with a Gaussian of deviation s correlates the field over d by exp(-(d / 2 s)^2); the indicator's correlation
    # follows from the bivariate normal distribution.
    level = scipy.stats.norm.ppf(0.1)
    for distance in (1, 3):
        rho = np.exp(-((distance / 4.0) ** 2))
        both = scipy.stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([level, level])
        assert correlation(together, distance) == pytest.approx((both - 0.01) / 0.09, abs=0.03)


def test_a_cell_that_is_stuck_does_not_care_for_target_time_and_noise():
    cell = Cell(base=Generic(g_min=2e-6, g_max=9e-5, read_sigma=0.1), stuck=Stuck(on=0.3, off=0.3))
    state = cell.program(TARGET, KEY)
    on, off = np.asarray(state.made.faults.on) > 0, np.asarray(state.made.faults.off) > 0
    for key, time in ((None, 0.0), (KEY, 0.0), (KEY, 1e6)):
        g = np.asarray(cell.read(state, key, time))
        assert (g[on] == np.float32(9e-5)).all()
        assert (g[off] == np.float32(2e-6)).all()
        assert (np.abs(g[~on & ~off] - 50e-6) < 40e-6).all()
    again = cell.reprogram(state, TARGET / 2, jax.random.key(99))
    np.testing.assert_array_equal(again.made.faults.on, state.made.faults.on)
    assert not np.asarray(cell.program(TARGET, None).made.faults.on).any()


@pytest.mark.slow
def test_shapes_without_rows_or_columns_have_faults_too():
    stuck = Stuck(on=0.5, off=0.5, cluster=1.0)
    for shape in ((), (5,), (2, 3, 4, 5)):
        found = stuck.draw(KEY, jnp.zeros(shape))
        np.testing.assert_array_equal(found.on + found.off, np.ones(shape))


def test_fractions_that_leave_nothing_are_refused():
    with pytest.raises(UserError, match=r"hardware.device.stuck.on is 0.7 and hardware.device.stuck.off 0.6, together above 1"):
        check(Hardware(device=Cell(stuck=Stuck(on=0.7, off=0.6))))
    check(Hardware(device=Cell(stuck=Stuck(on=0.4, off=0.6))))


def test_a_map_that_is_given_is_what_is_read():
    cell = Cell(base=Generic(g_min=2e-6, g_max=9e-5))
    on, off = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    on[0, 1], off[1, 2] = True, True
    state = with_faults(cell.program(jnp.full((4, 2, 3), 5e-5), KEY), on, off)
    expected = np.where(on, 9e-5, np.where(off, 2e-6, 5e-5)).astype(np.float32)
    np.testing.assert_array_equal(cell.read(state), np.broadcast_to(expected, (4, 2, 3)))
    np.testing.assert_array_equal(jax.jit(cell.read)(state), cell.read(state))
    drawn = Cell(stuck=Stuck(on=1.0))
    healed = with_faults(drawn.program(TARGET, KEY), 0, 0)  # a map replaces what was drawn
    np.testing.assert_array_equal(drawn.read(healed), TARGET)
    with pytest.raises(UserError, match=r"stuck_off has shape \(3, 3\), the devices \(4, 2, 3\)"):
        with_faults(state, on, np.zeros((3, 3)))
    with pytest.raises(UserError, match=r"4 devices are stuck on and stuck off at once"):
        with_faults(state, on, on)


def test_wear_follows_weibull_and_the_same_devices_stay_failed():
    @jax.jit
    def failed(cycles, scale, shape):
        cell = Cell(endurance=Endurance(scale=scale, shape=shape, cycles=cycles, on=0.25))
        state = cell.program(TARGET, KEY)
        g = cell.read(state)
        return g == cell.g_max, g == cell.g_min

    earlier = np.zeros(TARGET.shape, bool)
    for cycles in (0.0, 3e5, 1e6, 4e6):
        on, off = (np.asarray(a) for a in failed(cycles, 1e6, 1.7))
        expected = 1 - np.exp(-((cycles / 1e6) ** 1.7))
        assert (on | off).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / on.size))
        assert on.mean() == pytest.approx(expected / 4, abs=4 * np.sqrt(expected / 4 / on.size))
        assert ((on | off) >= earlier).all()
        earlier = on | off
    assert earlier.mean() > 0.9
    cell = Cell(endurance=Endurance(scale=1e6, shape=1.0, cycles=1e9))
    np.testing.assert_array_equal(cell.read(cell.program(TARGET, None)), TARGET)


def test_gradients_are_finite_where_nothing_is_stuck_and_nothing_worn():
    def total(cell):
        return cell.read(cell.program(TARGET, KEY), KEY, 10.0).sum()

    gradient = jax.grad(total)(Cell(stuck=Stuck(), endurance=Endurance(scale=1e5, shape=0.5)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
