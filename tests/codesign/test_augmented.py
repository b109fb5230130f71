"""The augmented Lagrangian against its formula, finite differences and a problem with a known solution."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from imcjax.codesign.constraints import augmented_lagrangian, homotopy, lagrangian, raise_multiplier, with_homotopy


@pytest.mark.parametrize(
    "ratio, multiplier, rho, expected",
    [
        (0.5, 0.0, 2.0, 0.25),  # rho c^2 / 2
        (0.5, 3.0, 2.0, 1.75),  # mu c + rho c^2 / 2
        (-0.5, 3.0, 2.0, -1.25),  # the same below the target, while the multiplier is up
        (-2.0, 3.0, 2.0, -2.25),  # far below: -mu^2 / (2 rho), whatever the cost
        (-9.0, 0.0, 2.0, 0.0),
    ],
)
def test_added_loss_is_the_formula(ratio, multiplier, rho, expected):
    assert float(lagrangian(jnp.float32(ratio), jnp.float32(multiplier), rho)) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("ratio, multiplier", [(0.3, 0.0), (0.3, 1.5), (-0.4, 1.5), (-2.0, 1.5), (-0.1, 0.0)])
def test_slope_is_the_multiplier_that_the_next_ascent_gives(ratio, multiplier):
    rho, step = 2.0, 1e-2
    slope = float(jax.grad(lagrangian)(ratio, multiplier, rho))
    finite = (lagrangian(ratio + step, multiplier, rho) - lagrangian(ratio - step, multiplier, rho)) / (2 * step)
    assert slope == pytest.approx(float(finite), abs=1e-4)
    assert slope == pytest.approx(max(0.0, multiplier + rho * ratio), rel=1e-6)
    assert slope == pytest.approx(float(raise_multiplier(jnp.float32(multiplier), ratio, rho)), rel=1e-6)


def test_multiplier_rises_above_the_target_and_falls_to_zero_below_it():
    assert float(raise_multiplier(jnp.float32(1.0), jnp.float32(0.25), 2.0)) == pytest.approx(1.5)
    assert float(raise_multiplier(jnp.float32(1.0), jnp.float32(-0.25), 2.0)) == pytest.approx(0.5)
    assert float(raise_multiplier(jnp.float32(1.0), jnp.float32(-3.0), 2.0)) == 0.0


def test_descent_and_ascent_end_at_the_bound_with_the_multiplier_of_kkt():
    """min (b - 5)^2 with log(2^b / 2^3) <= 0: b = 3, where 2 (b - 5) + mu log 2 = 0."""
    rho = 2.0
    slope = jax.jit(jax.grad(lambda b, mu: (b - 5) ** 2 + lagrangian((b - 3) * jnp.log(2.0), mu, rho)))
    b, mu = jnp.float32(5.0), jnp.float32(0.0)
    for _ in range(60):
        for _ in range(20):
            b = b - 0.1 * slope(b, mu)
        mu = raise_multiplier(mu, (b - 3) * jnp.log(2.0), rho)
    assert float(b) == pytest.approx(3.0, abs=1e-3)
    assert float(mu) == pytest.approx(4 / np.log(2), rel=1e-2)


def test_homotopy_goes_from_start_to_end_and_stays_there():
    start, end = np.log(8.0), np.log(2.0)
    assert homotopy(0.0, start, end) == start
    assert homotopy(0.3, start, end, reach=0.6) == pytest.approx(np.log(4.0))
    for progress in (0.6, 0.8, 1.0):
        assert homotopy(progress, start, end, reach=0.6) == pytest.approx(end, rel=1e-12)
    path = [homotopy(p, start, end) for p in np.linspace(0, 1, 21)]
    assert all(a >= b for a, b in itertools.pairwise(path))


# --- as an Optax transformation ---------------------------------------------------------------------------------------------


def price(bits, unit=2.0):
    """2 to the sum of the widths, in a unit of its own."""
    return unit * 2.0 ** (bits["a"] + bits["b"].sum())


BITS = {"a": jnp.float32(1.25), "b": jnp.array([2.0, 0.5], jnp.float32)}
NONE = jax.tree.map(jnp.zeros_like, BITS)


def run(constraint, updates, state, bits, **extra):
    return jax.jit(lambda u, s, b, extra: constraint.update(u, s, b, **extra))(updates, state, bits, extra)


def test_update_adds_the_slope_and_the_multiplier_rises_on_the_whole_widths():
    constraint = augmented_lagrangian(price, rho=2.0, every=2)
    state = constraint.init(BITS)
    given = jax.tree.map(jnp.ones_like, BITS)
    budget = 2.0 * 2.0**3  # log2 cost is 1 + 3.75 and, rounded half to even, 1 + 3
    updates, state = run(constraint, given, state, BITS, budget=budget)
    slope = 2.0 * 0.75 * np.log(2)  # rho log(cost / budget)
    for leaf in jax.tree.leaves(updates):
        np.testing.assert_allclose(leaf, 1 + slope * np.log(2), rtol=1e-5)
    assert float(state.value) == 0.0
    wider = BITS | {"a": jnp.float32(2.25)}
    _, state = run(constraint, given, state, wider, budget=budget)
    assert float(state.value) == pytest.approx(2.0 * np.log(2), rel=1e-5)  # 2 + 2 + 0 bits against 3
    _, state = run(constraint, given, state, wider, budget=budget)
    assert float(state.value) == pytest.approx(2.0 * np.log(2), rel=1e-5)  # between two ascents


def test_cost_of_the_hardware_may_be_given_and_cost_arguments_arrive():
    constraint = augmented_lagrangian(price, rho=1.0, every=1, true_cost=lambda bits, unit: unit * 100.0)
    updates, state = run(constraint, NONE, constraint.init(BITS), BITS, budget=1.0, cost_args={"unit": jnp.float32(1.0)})
    assert float(state.value) == pytest.approx(np.log(100), rel=1e-5)
    np.testing.assert_allclose(updates["a"], 3.75 * np.log(2) ** 2, rtol=1e-5)


def test_multiplier_restarts_once_the_bound_was_kept_long_enough():
    constraint = augmented_lagrangian(price, rho=1.0, every=1, restart=2)
    state = constraint.init(BITS)._replace(value=jnp.float32(50.0))
    _, state = run(constraint, NONE, state, BITS, budget=16.0 + 1)
    assert float(state.value) > 49
    _, state = run(constraint, NONE, state, BITS, budget=16.0 + 1)
    assert (float(state.value), int(state.kept)) == (0.0, 0)


def test_homotopy_hands_on_a_budget_that_falls_on_a_logarithmic_line():
    seen = []

    def update(updates, state, params=None, *, budget, **extra):
        seen.append(float(budget))
        return updates, state

    constraint = with_homotopy(optax.GradientTransformationExtraArgs(lambda p: (), update), steps=10, reach=0.5)
    state = constraint.init(BITS)
    for _ in range(7):
        _, state = constraint.update(NONE, state, BITS, budget=2.0, start=64.0)
    np.testing.assert_allclose(seen, [32, 16, 8, 4, 2, 2, 2], rtol=1e-5)
