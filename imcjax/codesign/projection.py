"""From real bit-widths to a legal design within the budget, by measured losses.

A knapsack with repair and slack spending: while the design costs too much, take the cut with the smallest measured rise of the
loss for what it saves; then spend what is left on the widths whose rise lowers the loss most; last, exchange one against
another. Widths are an array of any shape, and the cost any function that does not fall when a width rises.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from imcjax.codesign.legal import BudgetError, neighbours


Measure = Callable[[np.ndarray], np.ndarray]
"""(designs, ...) -> (designs,)."""


def project(
    bits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    cost_of: Measure,
    loss_of: Measure,
    budget: float,
    *,
    exchanges: int = 2,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> np.ndarray:
    """A legal design whose cost is at most `budget`.

    Args:
      bits: real widths, in any shape.
      low, high: smallest and largest legal widths, in that shape.
      cost_of: exact costs of whole designs.
      loss_of: measured losses of whole designs.
      budget: in the unit of the cost.
      exchanges: how many exchanges of one width against another to try for.
      tell: called after each move with {"bits", "cost", "loss"}.

    Returns:
      Whole widths.

    Raises:
      BudgetError: the budget is below the smallest legal design.
    """
    bits = np.clip(np.round(np.asarray(bits, dtype=float)), low, high)
    cost, here = float(cost_of(bits[None])[0]), float(loss_of(bits[None])[0])
    while cost > budget:
        moves = _cheaper(bits, low, high, cost_of, cost)
        if not len(moves):
            raise BudgetError.of(cost, budget, bits)
        saved = cost - cost_of(moves)
        order = np.argsort((loss_of(moves) - here) / saved)
        # Measuring is dear: take the best cuts together, up to half of what is too much, before measuring anew.
        count = 1 + int(np.searchsorted(np.cumsum(saved[order]), (cost - budget) / 2))
        bits = bits + (moves[order[:count]] - bits).sum(axis=0)
        cost, here = float(cost_of(bits[None])[0]), float(loss_of(bits[None])[0])
        tell({"bits": bits, "cost": cost, "loss": here})
    bits, cost, here = _spend(bits, low, high, cost_of, loss_of, budget, cost, here, tell)
    for _ in range(exchanges):
        better = _exchange(bits, low, high, cost_of, loss_of, budget, cost, here)
        if better is None:
            break
        bits, cost, here = better
        tell({"bits": bits, "cost": cost, "loss": here})
        # An exchange may leave slack.
        bits, cost, here = _spend(bits, low, high, cost_of, loss_of, budget, cost, here, tell)
    return bits


def _cheaper(bits: np.ndarray, low: np.ndarray, high: np.ndarray, cost_of: Measure, cost: float) -> np.ndarray:
    """The nearest cut in each place that lowers the cost: a bit fewer may fill the same cells, then one more goes."""
    found = []
    for place in np.ndindex(bits.shape):
        moves = []
        for width in np.arange(float(bits[place]) - 1, float(low[place]) - 1, -1):
            moved = bits.copy()
            moved[place] = width
            moves.append(moved)
        if moves:
            lower = np.flatnonzero(cost_of(np.stack(moves)) < cost * (1 - 1e-9))
            if len(lower):
                found.append(moves[lower[0]])
    return np.stack(found) if found else np.empty((0, *bits.shape))


def _spend(
    bits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    cost_of: Measure,
    loss_of: Measure,
    budget: float,
    cost: float,
    here: float,
    tell: Callable[[dict[str, Any]], None],
) -> tuple[np.ndarray, float, float]:
    """Raise widths for as long as that lowers the loss and fits the budget."""
    while True:
        fitting = _fitting(_wider(bits, low, high), cost_of, budget)
        if fitting is None:
            return bits, cost, here
        moves, costs = fitting
        losses = loss_of(moves)
        best = int(np.argmin(losses))
        if losses[best] >= here:
            return bits, cost, here
        bits, cost, here = moves[best], float(costs[best]), float(losses[best])
        tell({"bits": bits, "cost": cost, "loss": here})


def _exchange(
    bits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    cost_of: Measure,
    loss_of: Measure,
    budget: float,
    cost: float,
    here: float,
    tries: int = 4,
) -> tuple[np.ndarray, float, float] | None:
    """One width down against another up, if that lowers the loss within the budget.

    Only the pairs whose single moves promise most, added up, are measured together.
    """
    downs, ups = _cheaper(bits, low, high, cost_of, cost), _wider(bits, low, high)
    if not len(downs) or not len(ups):
        return None
    promised = loss_of(downs)[:, None] + loss_of(ups)[None] - here
    pairs = downs[:, None] + ups[None] - bits
    same_place = ((downs != bits)[:, None] & (ups != bits)[None]).any(axis=tuple(range(2, 2 + bits.ndim)))
    order = np.argsort(np.where(same_place, np.inf, promised), axis=None)
    chosen = [pairs.reshape(-1, *bits.shape)[i] for i in order if promised.ravel()[i] < here and not same_place.ravel()[i]]
    fitting = _fitting(np.stack(chosen), cost_of, budget) if chosen else None
    if fitting is None:
        return None
    moves, costs = fitting[0][:tries], fitting[1][:tries]
    losses = loss_of(moves)
    best = int(np.argmin(losses))
    return (moves[best], float(costs[best]), float(losses[best])) if losses[best] < here else None


def _wider(bits: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A bit more in each place, and two: the first of them may gain nothing where the second fills the next cell."""
    moves = neighbours(bits, low, high, 1) + neighbours(bits, low, high, 2)
    return np.stack(moves) if moves else np.empty((0, *bits.shape))


def _fitting(moves: np.ndarray, cost_of: Measure, budget: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The moves within the budget and their costs, or None."""
    if not len(moves):
        return None
    costs = cost_of(moves)
    fits = np.flatnonzero(costs <= budget)
    return (moves[fits], costs[fits]) if len(fits) else None
