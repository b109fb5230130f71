"""Constraints on widths, each against updates computed by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from imcjax.codesign.bitwidths import by_gate, gate_shape, spread_gates
from imcjax.codesign.constraints import (
    DIRECTIONS,
    absolute_gap,
    constraint_guided,
    fixed_penalty,
    freeze_oscillating,
    gate_bits,
    hysteresis,
    keep_in_box,
    keep_in_budget,
    lock_settled,
    squared_hinge,
)
from imcjax.cost import Work, bops


PRICES = np.array([3.0, 1.0, 2.0])


def cost(bits):
    """A sum of prices, in a unit of its own."""
    return 10.0 * jnp.sum(jnp.asarray(PRICES, bits.dtype) * bits)


BITS = jnp.array([4.0, 2.0, 3.0])  # costs 200
GIVEN = jnp.array([0.5, -0.5, 0.0])


def updated(constraint, updates=GIVEN, bits=BITS, state=None, **extra):
    state = constraint.init(bits) if state is None else state
    return constraint.update(updates, state, bits, **extra)


@pytest.mark.parametrize(
    "make, budget, slope",
    [
        (fixed_penalty, 100.0, 0.5 * 10 / 100),
        (fixed_penalty, 400.0, 0.5 * 10 / 400),
        (squared_hinge, 100.0, 0.5 * 2 * (2 - 1) * 10 / 100),
        (squared_hinge, 160.0, 0.5 * 2 * 0.25 * 10 / 160),
        (squared_hinge, 400.0, 0.0),
        (absolute_gap, 100.0, 0.5 * 10 / 100),
        (absolute_gap, 400.0, -0.5 * 10 / 400),
    ],
)
def test_penalties_add_their_slope(make, budget, slope):
    updates, _ = updated(make(cost, weight=0.5), budget=budget)
    np.testing.assert_allclose(updates, GIVEN + slope * PRICES, rtol=1e-5, atol=1e-7)


def test_box_cuts_what_goes_beyond():
    updates, _ = updated(keep_in_box(jnp.array([1.0, 2.0, 1.0]), jnp.full(3, 4.0)), jnp.array([0.5, -0.5, -1.0]))
    np.testing.assert_allclose(updates, [0, 0, -1])


LOW, HIGH = jnp.array([1.0, 2.0, 1.0]), jnp.full(3, 8.0)


@jax.jit
def in_budget(updates, bits, budget):
    equal = keep_in_budget(lambda b: jnp.sum(b), LOW, HIGH)
    return bits + equal.update(updates, equal.init(bits), bits, budget=budget)[0]


def test_projection_on_a_sum_is_the_euclidean_one():
    """By Karush, Kuhn and Tucker: one common shift where neither end of the box is met."""
    np.testing.assert_allclose(in_budget(GIVEN, BITS, 100.0), np.clip(BITS + GIVEN, LOW, HIGH), atol=1e-6)
    # 4.5, 1.5, 3 -> the second at its low end of 2, the others share the rest: 5 in all for them
    np.testing.assert_allclose(in_budget(GIVEN, BITS, 7.0), [3.25, 2.0, 1.75], atol=1e-5)
    # a step beyond the high end, of which nothing is left after the shift
    np.testing.assert_allclose(in_budget(jnp.array([9.0, 0.0, 0.0]), BITS, 12.0), [8.0, 2.0, 2.0], atol=3e-5)
    np.testing.assert_allclose(in_budget(GIVEN, BITS, 3.0), LOW, atol=1e-5)  # nothing fits


# --- CGMQ -------------------------------------------------------------------------------------------------------------------

GRADIENT, VALUE = jnp.array([0.1, 0.2, 0.4]), jnp.array([1.0, 3.0, 2.0])


@pytest.mark.parametrize(
    "name, matters", [("gradient", [0.1, 0.2, 0.4]), ("gradient_and_value", [1.1, 3.2, 2.4]), ("product", [0.1, 0.6, 0.8])]
)
def test_gates_fall_by_what_matters_little_and_rise_by_what_matters_much(name, matters):
    matters = np.array(matters)
    guided = constraint_guided(cost, LOW, HIGH, rate=0.1, direction=DIRECTIONS[name])
    extra = {"gradient": GRADIENT, "value": VALUE}
    down, state = updated(guided, budget=199.0, **extra)
    np.testing.assert_allclose(down, np.clip(-0.1 * (1 / matters) / np.mean(1 / matters), LOW - BITS, 0), rtol=1e-5)
    assert not bool(state.found)
    up, state = updated(guided, budget=200.0, **extra)
    np.testing.assert_allclose(up, 0.1 * matters / matters.mean(), rtol=1e-5)
    assert bool(state.found)
    np.testing.assert_array_equal(state.kept, BITS)


def test_changes_are_held_between_floor_and_ceiling():
    guided = constraint_guided(cost, jnp.zeros(3), HIGH, rate=0.1, floor=0.5, ceiling=2.0)
    extra = {"gradient": jnp.array([1e-6, 1.0, 0.0]), "value": VALUE}
    down, _ = updated(guided, budget=10.0, **extra)  # means of 1 / |gradient|: the last takes all
    np.testing.assert_allclose(down, [-0.05, -0.05, -0.2], rtol=1e-5)
    up, _ = updated(guided, budget=1000.0, **extra)
    np.testing.assert_allclose(up, [0.0, 0.2, 0.0], atol=1e-6)


def guided_run(budget, seed, steps):
    """Whole costs and states of a run with random magnitudes; one compiled step for all budgets and seeds."""
    rng, bits = np.random.default_rng(seed), jnp.full(3, 8.0, jnp.float32)
    state, costs = GUIDED.init(bits), []
    for _ in range(steps):
        costs.append(float(cost(jnp.round(bits))))
        moves, state = GUIDED_STEP(bits, state, budget, jnp.asarray(rng.exponential(size=3), jnp.float32))
        bits = bits + moves
    return np.array(costs), state


GUIDED = constraint_guided(cost, LOW, HIGH, rate=0.3)
GUIDED_STEP = jax.jit(
    chex.assert_max_traces(lambda b, s, budget, g: GUIDED.update(b, s, b, budget=budget, gradient=g, value=g), n=1)
)


@pytest.mark.parametrize("budget, seed", [(70.0, 0), (70.0, 1), (150.0, 2), (350.0, 3)])
def test_every_feasible_bound_is_met_and_the_last_satisfying_gates_are_kept(budget, seed):
    costs, state = guided_run(budget, seed, 240)  # 7 bits at a tenth of 0.3 each
    first = int(np.argmax(costs <= budget))
    assert costs[first] <= budget
    assert (np.diff(costs[: first + 1]) <= 0).all()
    assert bool(state.found)
    kept = float(cost(jnp.round(state.kept)))
    assert kept <= budget
    assert kept == costs[np.flatnonzero(costs <= budget)[-1]]


def test_an_infeasible_bound_is_never_said_to_be_met():
    _, state = guided_run(65.0, 0, 240)  # the smallest widths cost 70
    assert not bool(state.found)


def test_gate_map_is_the_papers():
    found = gate_bits(jnp.array([0.5, 1.0, 1.01, 2.5, 3.9, 4.2, 5.5, -1.0]), (2, 4, 8, 16, 32))
    np.testing.assert_array_equal(found, [2, 2, 4, 8, 16, 32, 32, 2])


# --- freezing ---------------------------------------------------------------------------------------------------------------


def oscillation(path, threshold, momentum, steps=None):
    """Nagel's algorithm for one weight, in plain Python: where each step puts it."""
    before = turn = mean = None
    frequency, frozen, at, found = 0.0, False, 0.0, []
    for value, step in zip(path, steps if steps is not None else [1.0] * len(path), strict=True):
        code = at if frozen else float(np.round(value / step))
        if before is None:
            before, turn, mean = code, 0.0, code
        change = np.sign(code - before)
        frequency = momentum * float(change * turn == -1) + (1 - momentum) * frequency
        if frequency > threshold and not frozen:
            frozen, at = True, float(np.round(mean))
        mean = momentum * code + (1 - momentum) * mean
        turn = change if change else turn
        before = code
        found.append(at * step if frozen else value)
    return found


def test_oscillating_values_are_frozen_where_they_mostly_were():
    rng = np.random.default_rng(0)
    paths = np.stack([
        2.5 + 0.2 * (-1.0) ** np.arange(60),  # flips in every step
        2.0 + 0.4 * rng.normal(size=60),
        np.linspace(1, 5, 60),  # passes through, and never back
        2.5 + 0.2 * np.where(np.arange(60) % 5 == 2, 1, -1),  # mostly at 2
    ])  # fmt: skip
    freeze = freeze_oscillating(threshold=0.1, momentum=0.05)
    step = jax.jit(lambda u, s, p: freeze.update(u, s, p))
    params, state, found = jnp.asarray(paths[:, 0] - 0.5), None, []
    state = freeze.init(params)
    for column in paths.T:
        updates, state = step(jnp.asarray(column) - params, state, params)
        params = params + updates
        found.append(np.asarray(params))
    expected = np.stack([oscillation(path, 0.1, 0.05) for path in paths])
    np.testing.assert_allclose(np.stack(found, axis=1), expected, atol=1e-5)
    np.testing.assert_array_equal(state.frozen, [True, expected[1, -1] == np.round(expected[1, -1]), False, True])
    assert expected[3, -1] == 2.0


def test_weights_are_frozen_at_codes_of_their_step():
    freeze = freeze_oscillating(threshold=0.2, momentum=0.1)
    path = 0.35 + 0.05 * (-1.0) ** np.arange(30)  # codes 3 or 4 at a step of 0.1, then beyond the largest
    params = {"w": jnp.array([0.35, 0.9])}
    state, found = freeze.init(params), []
    for value in path:
        wanted = {"w": jnp.array([value, 0.9 + 10 * (value - 0.35)])}
        updates = jax.tree.map(jnp.subtract, wanted, params)
        updates, state = freeze.update(updates, state, params, step={"w": jnp.float32(0.1)}, limit={"w": jnp.float32(4.0)})
        params = optax.apply_updates(params, updates)
        found.append(float(params["w"][0]))
    np.testing.assert_allclose(found, oscillation(path, 0.2, 0.1, [0.1] * 30), atol=1e-6)
    assert bool(state.frozen["w"][0])
    assert not bool(state.frozen["w"][1])  # clipped at 4 the whole time
    _, later = freeze.update(updates, state, params, step={"w": jnp.float32(0.1)}, threshold=jnp.float32(-1.0))
    assert bool(later.frozen["w"].all())  # an annealed threshold freezes everything in the end


def test_settled_widths_are_locked_and_others_are_not():
    lock = lock_settled(margin=0.1, patience=3)
    bits = jnp.array([3.05, 3.5])
    state, found = lock.init(bits), []
    for _ in range(6):
        updates, state = lock.update(jnp.array([0.01, 0.01]), state, bits)
        bits = bits + updates
        found.append(np.asarray(bits))
    np.testing.assert_allclose(np.array(found)[:, 0], [3.06, 3.07, 3.08, 3, 3, 3], atol=1e-5)
    np.testing.assert_allclose(np.array(found)[:, 1], 3.5 + 0.01 * np.arange(1, 7), atol=1e-5)


def test_hysteresis_holds_a_width_until_it_is_well_beyond_the_border():
    held = jnp.full(4, 3.0)
    np.testing.assert_array_equal(hysteresis(jnp.array([3.5, 3.59, 3.61, 1.2]), held), [3, 3, 4, 1])


@pytest.mark.parametrize("gates", ["layer", "group", "weight"])
def test_gates_of_tensors_groups_and_weights_meet_a_bound_on_bops(gates):
    """Two layers; what a gate decides about is pooled from gradients of the weights' own shape."""
    works, shapes = (Work("a", 6, 8, positions=3), Work("b", 8, 5)), ((6, 8), (8, 5))
    found = tuple(gate_shape(shape, gates, 4) for shape in shapes)

    def bops_of(bits):
        spread = [spread_gates(b, shape) for b, shape in zip(bits, shapes)]
        return 100 * bops.relative_bops(works, spread, [8.0, 2.0])

    low, high = (tuple(jnp.full(shape, b, jnp.float32) for shape in found) for b in (1.0, 8.0))
    guided = constraint_guided(bops_of, low, high, rate=0.5)

    @jax.jit
    def step(bits, state, weights):
        pooled = tuple(by_gate(w, shape) for w, shape in zip(weights, found))
        moves, state = guided.update(bits, state, bits, budget=1.5, gradient=pooled, value=pooled)
        return jax.tree.map(jnp.add, bits, moves), state

    rng, bits = np.random.default_rng(0), high
    state = guided.init(bits)
    for _ in range(140):  # 7 bits at a tenth of 0.5 each
        bits, state = step(bits, state, tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes))
    assert bool(state.found)
    kept = [np.round(b) for b in state.kept]
    assert [k.shape for k in kept] == list(found)
    by_hand = 0.0
    for work, bits, shape, inputs in zip(works, kept, shapes, (8, 2)):
        size = -(-shape[1] // found[works.index(work)][0]) if gates == "group" else 1  # 4 and 4 columns, 3 and 2
        for i, j in np.ndindex(shape):
            own = bits if gates == "layer" else bits[j // size] if gates == "group" else bits[i, j]
            by_hand += work.positions * float(own) * inputs
    assert 100 * by_hand / (1024 * (3 * 48 + 40)) == pytest.approx(
        float(bops_of(tuple(jnp.asarray(k) for k in kept))), rel=1e-5
    )
    assert 100 * by_hand / (1024 * (3 * 48 + 40)) <= 1.5 * (1 + 1e-6)
