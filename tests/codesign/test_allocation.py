"""Widths chosen without learning: sensitivities against known Hessians, integer program and baselines against brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.codesign.bitwidths import at_width, choose, cut_largest, hessian_trace, perturbation, random_legal, widest_uniform
from imcjax.codesign.legal import BudgetError


def test_hessian_traces_of_each_tensor():
    """Of a quadratic loss: exact for the diagonal block, in the mean for the full one; blocks do not mix."""
    rng = np.random.default_rng(0)
    full = rng.normal(size=(4, 4))
    full = full + full.T
    diagonal = rng.normal(size=6)

    def loss(p):
        return (p["a"] @ full @ p["a"] + diagonal @ p["b"] ** 2) / 2 + 0.3 * p["a"][0] * p["b"][0]

    params = {"a": jnp.asarray(rng.normal(size=4), jnp.float32), "b": jnp.zeros(6)}
    found = jax.jit(lambda key: hessian_trace(loss, params, key, samples=4000))(jax.random.key(1))
    spread = np.sqrt(2 * (np.sum(full**2) - np.sum(np.diag(full) ** 2)) / 4000)
    assert float(found["a"]) == pytest.approx(np.trace(full), abs=4 * spread)
    assert float(found["b"]) == pytest.approx(diagonal.sum(), abs=4 * 0.3 / np.sqrt(4000) + 1e-3)


def test_errors_of_a_tensor_at_each_width():
    x = jnp.asarray(np.random.default_rng(2).normal(size=50), jnp.float32)
    ranges = jnp.array([0.8, 1.2, 2.5])
    found = perturbation(x, ranges, (1.0, 2.0, 4.0), signed=True)
    for i, bits in enumerate((1.0, 2.0, 4.0)):
        assert float(found[i]) == pytest.approx(float(jnp.sum((at_width(x, ranges[i], bits, signed=True) - x) ** 2)), rel=1e-6)
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("seed", range(6))
def test_integer_program_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    harm = [1e-9 * rng.exponential(size=n) for n in (3, 4, 2, 5)]
    cost = [1e12 * rng.exponential(size=n) for n in (3, 4, 2, 5)]
    every = list(itertools.product(*[range(len(h)) for h in harm]))
    harms, costs = (np.array([sum(t[i][o] for i, o in enumerate(option)) for option in every]) for t in (harm, cost))
    for share in (0.0, 0.2, 0.6):
        budget = costs.min() * (1 + 1e-9) + share * (costs.max() - costs.min())
        chosen = choose(harm, cost, budget)
        assert sum(c[o] for c, o in zip(cost, chosen)) <= budget * (1 + 2e-6)
        assert sum(h[o] for h, o in zip(harm, chosen)) == pytest.approx(harms[costs <= budget].min(), rel=1e-6)


def test_integer_program_refuses_what_cannot_be():
    with pytest.raises(BudgetError, match="smallest legal design costs 3") as caught:
        choose([np.array([1.0, 0.0])] * 2, [np.array([1.5, 4.0])] * 2, 2.9)
    assert caught.value.cost == 3
    with pytest.raises(UserError, match="give as many of each"):
        choose([np.ones(2)], [np.ones(3)], 1.0)
    with pytest.raises(UserError, match="not a finite number"):
        choose([np.array([1.0, np.nan])], [np.ones(2)], 1.0)


LOW, HIGH = np.array([1.0, 2.0, 1.0, 1.0]), np.array([8.0, 8.0, 4.0, 8.0])
PRICES = np.array([1.0, 3.0, 2.0, 5.0])


def price(bits):
    return float(PRICES @ bits)


def test_widest_uniform_design_within_a_budget():
    np.testing.assert_array_equal(widest_uniform(LOW, HIGH, price, 33.0), [3, 3, 3, 3])
    np.testing.assert_array_equal(widest_uniform(LOW, HIGH, price, 55.0), [5, 5, 4, 5])
    np.testing.assert_array_equal(widest_uniform(LOW, HIGH, price, 14.0), LOW)
    for function in (lambda: widest_uniform(LOW, HIGH, price, 13.9), lambda: cut_largest(HIGH, LOW, PRICES, price, 13.9)):
        with pytest.raises(BudgetError, match="smallest legal design costs 14"):
            function()


def test_random_allocations_are_legal_full_and_different():
    found = [random_legal(np.random.default_rng(seed), LOW, HIGH, price, 40.0) for seed in range(20)]
    for bits in found:
        assert (bits == np.round(bits)).all()
        assert (bits >= LOW).all()
        assert (bits <= HIGH).all()
        assert price(bits) <= 40
        assert all(price(bits) + p > 40 for p, b, h in zip(PRICES, bits, HIGH) if b < h)
    assert len({bits.tobytes() for bits in found}) > 10
    np.testing.assert_array_equal(found[3], random_legal(np.random.default_rng(3), LOW, HIGH, price, 40.0))
    with pytest.raises(BudgetError):
        random_legal(np.random.default_rng(0), LOW, HIGH, price, 13.0)


def test_the_largest_tensor_is_cut_first():
    counts = np.array([10.0, 100.0, 50.0, 10.0])
    # memory 80, 800, 200, 80; the price falls 80, 77, ... 62 with the second alone, then to 56 with the third
    for budget, expected in ((79, [8, 7, 4, 8]), (61, [8, 2, 3, 8]), (57, [8, 2, 1, 8]), (52, [8, 2, 1, 7])):
        np.testing.assert_array_equal(cut_largest(HIGH, LOW, counts, price, budget), expected)
