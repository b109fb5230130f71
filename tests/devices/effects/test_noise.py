"""Telegraph and 1/f noise: levels, occupancies, correlations and growth, from their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.devices import Cell, Generic
from imcjax.devices.effects import OneOverF, Telegraph


N = 40_000
KEY, OTHER = jax.random.split(jax.random.key(21))
TARGET = jnp.full(N, 40e-6)
TRAPS = Cell(telegraph=Telegraph(traps=0.6, amplitude=0.1, occupancy=0.3, time_constant=5.0))


@jax.jit
def programmed(cell):
    return cell.program(TARGET, KEY)


def test_telegraph_noise_has_two_levels_about_the_mean():
    state = programmed(TRAPS)
    trap = np.asarray(state.made.trap) > 0
    assert trap.mean() == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / N))
    reads = [np.asarray(TRAPS.read(state, key, time)) for key, time in ((KEY, 0.0), (OTHER, 0.0), (OTHER, 1e3))]
    for g in reads:
        np.testing.assert_array_equal(g[~trap], TARGET[~trap])
        full = np.isclose(g[trap], 40e-6 * (1 - 0.1 * 0.7), rtol=1e-5)
        empty = np.isclose(g[trap], 40e-6 * (1 + 0.1 * 0.3), rtol=1e-5)
        assert (full ^ empty).all()
        assert full.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / trap.sum()))
        assert g.mean() == pytest.approx(40e-6, rel=4 * 0.1 * np.sqrt(0.21 * 0.6 / N))
    assert np.corrcoef(reads[0][trap], reads[1][trap])[0, 1] == pytest.approx(0, abs=0.03)
    np.testing.assert_array_equal(reads[1], reads[2])  # the key alone says whether traps are full
    np.testing.assert_array_equal(TRAPS.read(state), TARGET)
    np.testing.assert_array_equal(TRAPS.read(TRAPS.program(TARGET, None), KEY), TARGET)


def test_a_trace_forgets_with_the_time_constant():
    state = programmed(TRAPS)
    times = [0.0, 1.0, 6.0, 1e4]
    trace = np.asarray(TRAPS.trace(state, OTHER, times), float)
    trap = np.asarray(state.made.trap) > 0
    assert trace.shape == (4, N)
    for i in range(4):
        assert trace[i][trap].mean() == pytest.approx(40e-6, rel=4 * 0.1 * np.sqrt(0.21 / trap.sum()))
        for j in range(i):
            expected = np.exp(-(times[i] - times[j]) / 5.0)
            assert np.corrcoef(trace[i][trap], trace[j][trap])[0, 1] == pytest.approx(expected, abs=0.03)
    with pytest.raises(UserError, match=r"times falls from one read to the next"):
        TRAPS.trace(state, OTHER, [1.0, 0.5])


def test_a_trace_without_traps_is_reads_with_fresh_noise():
    cell = Cell(base=Generic(read_sigma=0.05))
    trace = np.asarray(cell.trace(programmed(cell), OTHER, [0.0, 2.0]), float)
    assert trace[0].std() == pytest.approx(2e-6, rel=0.03)
    assert np.corrcoef(*trace)[0, 1] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("time", [1e-6, 1.0, 86400.0])
def test_one_over_f_noise_is_the_root_of_the_logarithm(time):
    cell = Cell(one_over_f=OneOverF(q=0.01, read_time=2e-7))
    g = np.asarray(jax.jit(cell.read)(programmed(cell), OTHER, time), float)
    sigma = 0.01 * np.sqrt(np.log((time + 2e-7) / 4e-7))
    assert g.std() == pytest.approx(40e-6 * sigma, rel=4 / np.sqrt(2 * N))
    assert g.mean() == pytest.approx(40e-6, rel=4 * sigma / np.sqrt(N))


def test_one_over_f_noise_begins_with_the_first_read_and_needs_a_key():
    cell = Cell(one_over_f=OneOverF(q=0.5))
    state = programmed(cell)
    for key, time in ((OTHER, 0.0), (OTHER, 250e-9), (None, 1e6)):
        np.testing.assert_array_equal(cell.read(state, key, time), TARGET)
    assert np.asarray(cell.read(state, OTHER, 1e9)).min() == 0  # never below


@pytest.mark.slow
def test_gradients_at_zero_and_at_the_first_read():
    target = jnp.array([0.0, 2e-5, 9e-5])

    def read(q, amplitude, traps, time):
        telegraph = Telegraph(traps=traps, amplitude=amplitude)
        cell = Cell(base=Generic(g_min=0.0), one_over_f=OneOverF(q=q), telegraph=telegraph)
        return cell.read(cell.program(target, KEY), OTHER, time)

    slopes = jax.jit(jax.jacfwd(read, (0, 1, 2, 3)))
    for time in (0.0, 250e-9, 3.0):
        for value in slopes(0.0, 0.0, 0.0, time):
            assert np.isfinite(value).all()
    assert all(np.isfinite(value) for value in jax.grad(lambda *a: read(*a).sum(), (0, 3))(0.0, 0.0, 0.0, 250e-9))
    slope = slopes(0.0, 0.0, 0.0, 3.0)[0]
    np.testing.assert_allclose(read(1e-3, 0.0, 0.0, 3.0) - target, 1e-3 * slope, rtol=1e-3, atol=1e-11)
    assert (slope[1:] != 0).all()
    with jax.enable_x64(True):
        target = jnp.array([0.0, 2e-5, 9e-5])
        numeric = (read(0.01, 0.0, 0.0, 3.001) - read(0.01, 0.0, 0.0, 2.999)) / 0.002
        np.testing.assert_allclose(slopes(0.01, 0.0, 0.0, 3.0)[3], numeric, rtol=1e-4)
