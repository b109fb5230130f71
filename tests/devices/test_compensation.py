"""Compensation: exact where drift is uniform, smaller errors where it is not; columns that avoid stuck cells."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imcjax
from imcjax import Hardware, UserError, answers, pipeline
from imcjax.devices import Cell, Generic, compensation, effects, with_faults


KEY, READ = jax.random.split(jax.random.key(12))
RNG = np.random.default_rng(0)
W = RNG.normal(size=(40, 12)).astype(np.float32)
X = RNG.normal(size=(50, 40)).astype(np.float32)


def drifting(nu, nu_sigma):
    base = Generic(g_min=0.0, g_max=25e-6, program_sigma=0.02)
    return Hardware(rows=64, cols=64, device=Cell(base=base, drift=effects.Drift(nu=nu, nu_sigma=nu_sigma, t0=20.0)))


def errors(hardware, time):
    """rms errors of a product: aged, scaled as a whole, scaled by columns; relative to the product itself."""
    chip = imcjax.program(W, hardware, key=KEY)
    before = pipeline.conductances(chip, hardware)
    now = pipeline.conductances(chip, hardware, time=time)

    def product(g):
        return pipeline.multiply(pipeline.columns(chip, answers.of_cells(g, hardware), hardware), X, hardware)

    fresh = product(before)
    columns = compensation.column_scale(now, before, pair_axis=1)
    assert columns.shape == (1, 1, 1, 1, 1, 12)
    found = product(now), compensation.global_scale(now, before) * product(now), product(now * columns)
    return [float(jnp.sqrt(jnp.mean((y - fresh) ** 2) / jnp.mean(fresh**2))) for y in found]


def test_uniform_drift_is_undone_exactly():
    aged, scaled, by_column = errors(drifting(0.06, 0.0), 1e6)
    assert aged == pytest.approx(1 - (1e6 / 20 + 1) ** -0.06, rel=1e-4)
    assert scaled < 1e-5
    assert by_column < 1e-5


def test_drift_with_a_spread_of_exponents_is_undone_in_part():
    aged, scaled, by_column = errors(drifting(0.06, 0.02), 1e6)
    assert scaled < 0.5 * aged
    assert by_column < 0.5 * aged
    assert scaled > 0.01


def test_columns_that_age_differently_need_a_factor_each():
    before = jnp.asarray(RNG.uniform(1e-6, 2e-5, (2, 8, 5)), jnp.float32)
    factors = jnp.array([0.5, 0.6, 0.7, 0.8, 0.9])
    now = before * factors
    np.testing.assert_allclose(compensation.column_scale(now, before), np.broadcast_to(1 / factors, (2, 1, 5)), rtol=1e-5)
    np.testing.assert_allclose(compensation.column_scale(now, before, pair_axis=0), (1 / factors)[None, None], rtol=1e-5)
    expected = np.asarray(before, float).sum() / np.asarray(now, float).sum()
    np.testing.assert_allclose(compensation.global_scale(now, before), expected, rtol=1e-5)


def test_columns_without_current_are_left_alone_with_finite_slopes():
    g = jnp.zeros((4, 3)).at[:, 1].set(1e-6)
    found = compensation.column_scale(g / 2, g)
    np.testing.assert_allclose(found, [[1, 2, 1]])
    slopes = jax.grad(lambda now: compensation.column_scale(now, g).sum() * 1e-6)(g / 2)
    assert np.isfinite(slopes).all()
    assert compensation.global_scale(jnp.zeros((2, 2)), jnp.zeros((2, 2))) == 1


G_MIN, G_MAX = 1e-6, 1e-4


def error(target, on, off, places):
    """Squared error of the conductances with columns at `places`, counted cell by cell."""
    total = 0.0
    for i, j in enumerate(places):
        column = np.where(on[..., j], G_MAX, np.where(off[..., j], G_MIN, target[..., i]))
        total += ((column - target[..., i]) ** 2).sum()
    return total / G_MAX**2


def problem(shape, places, rate, seed):
    rng = np.random.default_rng(seed)
    target = rng.uniform(G_MIN, G_MAX, shape)
    u = rng.uniform(size=(*shape[:-1], places))
    return target, u < rate, u > 1 - rate


@pytest.mark.parametrize("seed", range(5))
def test_remapping_comes_close_to_the_best_of_all_assignments(seed):
    target, on, off = problem((6, 4), 6, 0.15, seed)
    places = compensation.remap(target, on, off, G_MIN, G_MAX)
    assert sorted(set(places)) == sorted(places)
    assert places.max() < 6
    every = [error(target, on, off, one) for one in itertools.permutations(range(6), 4)]
    start = error(target, on, off, range(4))
    found = error(target, on, off, places)
    assert min(every) <= found + 1e-12
    assert found - min(every) <= 0.35 * (start - min(every)) + 1e-12


def test_spare_columns_without_faults_take_all_that_hurts():
    target = np.full((2, 5, 4), 5e-5)
    on, off = np.zeros((2, 5, 6), bool), np.zeros((2, 5, 6), bool)
    on[0, 1, 0], off[1, 2, 3] = True, True
    places = compensation.remap(target, on, off, G_MIN, G_MAX)
    assert error(target, on, off, places) == 0
    np.testing.assert_array_equal(places[1:3], [1, 2])  # what does not hurt stays
    np.testing.assert_array_equal(places, compensation.remap(target, on, off, G_MIN, G_MAX))
    without = compensation.remap(target, np.zeros_like(on), np.zeros_like(on), G_MIN, G_MAX)
    np.testing.assert_array_equal(without, range(4))


def test_columns_exchange_where_a_fault_is_what_another_wants():
    target = np.array([[5e-5, G_MAX], [5e-5, 5e-5]])
    on = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(compensation.remap(target, on, np.zeros_like(on), G_MIN, G_MAX), [1, 0])


def test_rows_are_remapped_as_columns_of_the_transpose():
    target, on, off = problem((5, 30), 8, 0.1, 3)
    on, off = (np.random.default_rng(s).uniform(size=(8, 30)) < 0.1 for s in (1, 2))
    off &= ~on
    places = compensation.remap(target.T, on.T, off.T, G_MIN, G_MAX)
    assert error(target.T, on.T, off.T, places) < 0.8 * error(target.T, on.T, off.T, range(5))


def test_a_product_on_a_remapped_array_is_nearer():
    device = Cell(base=Generic(g_min=G_MIN, g_max=G_MAX))
    target, on, off = problem((24, 10), 14, 0.05, 7)
    x = np.random.default_rng(5).uniform(size=(20, 24))

    def product(places):
        g = compensation.place_columns(target, places, 14, G_MIN)
        assert g.shape == (24, 14)
        state = with_faults(device.program(g, None), on, off)
        return x @ np.asarray(device.read(state), float)[:, places]

    exact = x @ target
    plain, mapped = product(np.arange(10)), product(compensation.remap(target, on, off, G_MIN, G_MAX))
    assert ((mapped - exact) ** 2).mean() < 0.6 * ((plain - exact) ** 2).mean()


def test_wrong_input_to_remap_is_refused():
    target, on, off = problem((6, 4), 6, 0.1, 0)
    with pytest.raises(UserError, match=r"target has shape \(6, 4\), the fault maps \(6, 3\) and \(6, 3\)"):
        compensation.remap(target, on[:, :3], off[:, :3], G_MIN, G_MAX)
    with pytest.raises(UserError, match=r"the fault maps \(6, 6\) and \(6, 5\)"):
        compensation.remap(target, on, off[:, :5], G_MIN, G_MAX)
    with pytest.raises(UserError, match=r"cannot run inside jax.jit"):
        jax.jit(lambda g: compensation.remap(g, on, off, G_MIN, G_MAX))(target)
