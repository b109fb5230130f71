"""Which designs are legal: whole widths within their ranges, at a cost within the budget."""

from collections.abc import Callable
from typing import Any

import numpy as np

from imcjax.codesign.constraints.base import ROUNDING
from imcjax.errors import UserError


class BudgetError(UserError):
    """The budget is too small for any legal design.

    cost: of the cheapest legal design. bits: its widths.
    """

    cost: float = float("nan")
    bits: Any = None

    @classmethod
    def of(cls, cost: float, budget: float, bits: Any = None) -> "BudgetError":
        """The error that says what the cheapest legal design costs."""
        error = cls(
            f"The budget is {budget:.4g}, but the smallest legal design costs {cost:.4g}; give at least that, or allow fewer "
            "bits."
        )
        error.cost, error.bits = cost, bits
        return error


Place = tuple[int, ...]


def require_whole(
    bits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    owner: Callable[[Place], str] = lambda place: f"Width {', '.join(map(str, place))}",
    kind: Callable[[Place], str] = lambda place: "",
) -> None:
    """Refuse widths that are not whole numbers from `low` to `high`; `owner` and `kind` name the place of one.

    Raises:
      UserError: naming the first wrong width.
    """
    wrong = ~((bits == np.round(bits)) & (bits >= low) & (bits <= high))  # NaN is wrong too
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        least, most = (float(np.broadcast_to(limit, bits.shape)[place]) for limit in (low, high))
        raise UserError(
            f"{owner(place)} has {bits[place]:g} {kind(place)}bits; give a whole number from {least:g} to {most:g}."
        )


def require_legal(
    bits: np.ndarray, low: np.ndarray, high: np.ndarray, cost: Callable[[np.ndarray], Any], budget: float
) -> None:
    """The last check of a design against any cost.

    Args:
      bits: widths in any shape.
      low, high: smallest and largest legal ones, broadcasting against them.
      cost: of one design.
      budget: in the unit of the cost.

    Raises:
      UserError: naming the first wrong width, or the cost.
    """
    bits = np.asarray(bits, dtype=float)
    require_whole(bits, np.asarray(low), np.asarray(high))
    spent = float(cost(bits))
    if not spent <= budget * (1 + ROUNDING):
        raise UserError(f"The design costs {spent:.6g}, and the budget is {budget:.6g}; project its widths onto the budget.")


def require_feasible(low: np.ndarray, cost: Callable[[np.ndarray], Any], budget: float) -> None:
    """Refuse a budget below what the smallest widths cost, before anything is searched.

    Raises:
      BudgetError: with the cheapest legal design and its cost.
    """
    least = float(cost(np.asarray(low, dtype=float)))
    if not least <= budget * (1 + ROUNDING):
        raise BudgetError.of(least, budget, np.asarray(low))


def neighbours(bits: np.ndarray, low: np.ndarray, high: np.ndarray, step: int) -> list[np.ndarray]:
    """All designs that differ from `bits` by `step` bits in one place and are within the ranges."""
    found = []
    for place in np.ndindex(bits.shape):
        moved = bits.copy()
        moved[place] += step
        if low[place] <= moved[place] <= high[place]:
            found.append(moved)
    return found
