"""Allocations that learn nothing: what every search has to beat at the same cost and the same number of training steps."""

from collections.abc import Callable

import numpy as np

from imcjax.codesign.constraints.base import ROUNDING
from imcjax.codesign.legal import BudgetError, neighbours, require_feasible


CostOf = Callable[[np.ndarray], float]
"""The cost of one design of whole widths."""


def widest_uniform(low: np.ndarray, high: np.ndarray, cost: CostOf, budget: float) -> np.ndarray:
    """The same width everywhere, each as near to it as its range allows: the widest within the budget.

    Raises:
      BudgetError: not even the smallest fits.
    """
    require_feasible(low, cost, budget)
    best = np.asarray(low, dtype=float)
    for width in range(int(np.min(low)), int(np.max(high)) + 1):
        bits = np.clip(np.full(np.shape(low), float(width)), low, high)
        if cost(bits) <= budget * (1 + ROUNDING):
            best = bits
    return best


def random_legal(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, cost: CostOf, budget: float) -> np.ndarray:
    """A random allocation without slack: drawn at random, cut at random until it fits, raised at random until nothing does.

    Raises:
      BudgetError: not even the smallest fits.
    """
    require_feasible(low, cost, budget)
    limit = budget * (1 + ROUNDING)
    bits = rng.integers(low.astype(int), high.astype(int) + 1).astype(float)
    while cost(bits) > limit:
        moves = neighbours(bits, low, high, -1)
        bits = moves[rng.integers(len(moves))]
    while fitting := [moved for moved in neighbours(bits, low, high, 1) if cost(moved) <= limit]:
        bits = fitting[rng.integers(len(fitting))]
    return bits


def cut_largest(bits: np.ndarray, low: np.ndarray, counts: np.ndarray, cost: CostOf, budget: float) -> np.ndarray:
    """A bit less for the tensor that takes most memory, until the budget is met.

    After memory-driven mixed precision (Rusci et al., MLSys 2020). Our reading of it: any width between `bits` and `low` will
    do, and of equal tensors the later one is cut.

    Args:
      bits: whole widths to start from.
      low: smallest legal ones.
      counts: how many numbers each width is the width of.
      cost: of a design.
      budget: in the unit of the cost.

    Raises:
      BudgetError: not even the smallest fits.
    """
    require_feasible(low, cost, budget)
    bits = np.array(bits, dtype=float)
    while cost(bits) > budget * (1 + ROUNDING):
        memory = np.where(bits > low, bits * counts, -np.inf).ravel()
        if not np.isfinite(memory).any():
            raise BudgetError.of(float(cost(bits)), budget, bits)
        place = np.unravel_index(len(memory) - 1 - int(np.argmax(memory[::-1])), bits.shape)
        bits[place] -= 1
    return bits
