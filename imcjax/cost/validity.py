"""Where a component's model holds: outside it refuses, or, when asked to, extrapolates and says so."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from imcjax.errors import UserError, concrete


Ranges = Mapping[str, tuple[float, float, str]]
"""(low, high, unit) of each quantity that a model depends on, by name."""


def outside(name: str, ranges: Ranges, **values: Any) -> tuple[str, ...]:
    """A sentence for every concrete value outside its range; traced values and None pass.

    Args:
      name: of the model.
      ranges: of its quantities; a quantity without one passes.
      values: by quantity.
    """
    found = []
    for quantity, value in values.items():
        array = concrete(value)
        if array is None or quantity not in ranges:
            continue
        low, high, unit = ranges[quantity]
        rounding = 1e-6 * np.array([-1.0, 1.0])  # 7e-9 m in single precision is a little less
        least, most = np.array([low, high]) * (1 + np.where(np.array([low, high]) > 0, rounding, 0))
        bad = ~((array >= least) & (array <= most))
        if bad.any():
            one = float(array[bad].ravel()[0])
            found.append(f"{name}: {quantity} is {one:g} {unit}, its range is {low:g} to {high:g} {unit}".rstrip())
    return tuple(found)


def hold(name: str, ranges: Ranges, *, extrapolate: bool = False, **values: Any) -> tuple[str, ...]:
    """The sentences of `outside`, for a report, where extrapolation was asked for.

    Raises:
      UserError: a value outside its range, and no leave to extrapolate.
    """
    found = outside(name, ranges, **values)
    if found and not extrapolate:
        raise UserError(f"{found[0]}; stay inside, choose another model, or ask for it with extrapolate.")
    return found
