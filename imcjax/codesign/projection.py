"""From real bit-widths to a legal design within the budget, by measured losses.

A knapsack with repair and slack spending: while the design costs too much, take the cut with the smallest measured rise of the
loss per joule saved; then spend what is left on the widths whose rise lowers the loss most; last, exchange one against another.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from imcjax.codesign import menu
from imcjax.codesign.menu import BudgetError
from imcjax.hardware import Hardware


Measure = Callable[[np.ndarray], np.ndarray]
"""(designs, layers, 3) -> (designs,)."""


def project(
    bits: np.ndarray,
    signed: Sequence[bool],
    hardware: Hardware,
    energy: Measure,
    loss: Measure,
    budget_j: float,
    *,
    exchanges: int = 2,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> np.ndarray:
    """A legal design whose energy is at most `budget_j`.

    Args:
      bits: (layers, 3) real widths.
      signed: whether each layer's inputs may be negative.
      hardware: the technology.
      energy: exact energies of whole designs, joule.
      loss: measured losses of whole designs.
      budget_j: joule.
      exchanges: how many exchanges of one width against another to try for.
      tell: called with a history row after each move.

    Returns:
      (layers, 3) whole widths.

    Raises:
      BudgetError: the budget is below the smallest legal design.
    """
    low, high = menu.bounds(signed, hardware)
    bits = np.clip(np.round(bits), low, high)
    cost, here = float(energy(bits[None])[0]), float(loss(bits[None])[0])
    while cost > budget_j:
        moves = _cheaper(bits, low, high, energy, cost)
        if not len(moves):  # the weights may have come to conduct more since the budget was checked
            raise BudgetError(
                f"With the weights as trained, the smallest legal design costs {cost:.3g} J per inference, and "
                f"{budget_j:.3g} J may be spent; give a larger --energy-budget."
            )
        saved = cost - energy(moves)
        order = np.argsort((loss(moves) - here) / saved)
        # Measuring is dear: take the best cuts together, up to half of what is too much, before measuring anew.
        count = 1 + int(np.searchsorted(np.cumsum(saved[order]), (cost - budget_j) / 2))
        bits = bits + (moves[order[:count]] - bits).sum(axis=0)
        cost, here = float(energy(bits[None])[0]), float(loss(bits[None])[0])
        tell({"bits": bits, "energy_j": cost, "loss": here})
    bits, cost, here = _spend(bits, low, high, energy, loss, budget_j, cost, here, tell)
    for _ in range(exchanges):
        better = _exchange(bits, low, high, energy, loss, budget_j, cost, here)
        if better is None:
            break
        bits, cost, here = better
        tell({"bits": bits, "energy_j": cost, "loss": here})
        # An exchange may leave slack.
        bits, cost, here = _spend(bits, low, high, energy, loss, budget_j, cost, here, tell)
    return bits


def _cheaper(bits: np.ndarray, low: np.ndarray, high: np.ndarray, energy: Measure, cost: float) -> np.ndarray:
    """The nearest cut in each place that lowers the energy: a bit fewer may fill the same cells, then one more goes."""
    found = []
    for place in np.ndindex(bits.shape):
        moves = []
        for width in np.arange(float(bits[place]) - 1, float(low[place]) - 1, -1):
            moved = bits.copy()
            moved[place] = width
            moves.append(moved)
        if moves:
            lower = np.flatnonzero(energy(np.stack(moves)) < cost * (1 - 1e-9))
            if len(lower):
                found.append(moves[lower[0]])
    return np.stack(found) if found else np.empty((0, *bits.shape))


def _spend(
    bits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    energy: Measure,
    loss: Measure,
    budget_j: float,
    cost: float,
    here: float,
    tell: Callable[[dict[str, Any]], None],
) -> tuple[np.ndarray, float, float]:
    """Raise widths for as long as that lowers the loss and fits the budget."""
    while True:
        fitting = _fitting(_wider(bits, low, high), energy, budget_j)
        if fitting is None:
            return bits, cost, here
        moves, costs = fitting
        losses = loss(moves)
        best = int(np.argmin(losses))
        if losses[best] >= here:
            return bits, cost, here
        bits, cost, here = moves[best], float(costs[best]), float(losses[best])
        tell({"bits": bits, "energy_j": cost, "loss": here})


def _exchange(
    bits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    energy: Measure,
    loss: Measure,
    budget_j: float,
    cost: float,
    here: float,
    tries: int = 4,
) -> tuple[np.ndarray, float, float] | None:
    """One width down against another up, if that lowers the loss within the budget.

    Only the pairs whose single moves promise most, added up, are measured together.
    """
    downs, ups = _cheaper(bits, low, high, energy, cost), _wider(bits, low, high)
    if not len(downs) or not len(ups):
        return None
    promised = loss(downs)[:, None] + loss(ups)[None] - here
    pairs = downs[:, None] + ups[None] - bits
    same_place = ((downs != bits)[:, None] & (ups != bits)[None]).any(axis=(-1, -2))
    order = np.argsort(np.where(same_place, np.inf, promised), axis=None)
    chosen = [pairs.reshape(-1, *bits.shape)[i] for i in order if promised.ravel()[i] < here and not same_place.ravel()[i]]
    fitting = _fitting(np.stack(chosen), energy, budget_j) if chosen else None
    if fitting is None:
        return None
    moves, costs = fitting[0][:tries], fitting[1][:tries]
    losses = loss(moves)
    best = int(np.argmin(losses))
    return (moves[best], float(costs[best]), float(losses[best])) if losses[best] < here else None


def _wider(bits: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A bit more in each place, and two: the first of them may gain nothing where the second fills the next cell."""
    moves = menu.neighbours(bits, low, high, 1) + menu.neighbours(bits, low, high, 2)
    return np.stack(moves) if moves else np.empty((0, *bits.shape))


def _fitting(moves: np.ndarray, energy: Measure, budget_j: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The moves within the budget and their energies, or None."""
    if not len(moves):
        return None
    costs = energy(moves)
    fits = np.flatnonzero(costs <= budget_j)
    return (moves[fits], costs[fits]) if len(fits) else None
