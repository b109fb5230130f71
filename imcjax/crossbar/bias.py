"""Passive arrays: what every line is held at while one cell is read, and which lines are left alone.

Without transistors a read voltage reaches the selected cell and, through three others in a row, its neighbours: sneak paths.
Holding the other lines at fractions of the read voltage limits what flows there, at the price of half-selected cells:

    scheme      other wordlines    other bitlines     voltage across half-selected and other cells
    ground      0                  0                  V along the selected wordline, else 0
    half        V/2                V/2                V/2 along both selected lines, else 0
    third       V/3                2V/3               V/3 along both selected lines, else -V/3
    float       floating           floating           what the sneak paths leave
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from imcjax.errors import UserError, concrete, nearest


class Bias(NamedTuple):
    """What the lines of an array are held at; leading axes broadcast. Give it to `currents` or `solve` in place of inputs.

    Differentiate with respect to `wordline_v` and `bitline_v`; which lines float are no numbers.
    """

    wordline_v: Float[ArrayLike, "*#batch rows"]
    """V, at the drivers."""
    bitline_v: Float[ArrayLike, "*#batch cols"] | None = None
    """V, at the sense ends; None: 0."""
    floating_wordlines: Bool[ArrayLike, "*#batch rows"] | None = None
    """Which wordlines have no driver; None: every one has. Theirs in `wordline_v` does not matter."""
    floating_bitlines: Bool[ArrayLike, "*#batch cols"] | None = None
    """Which bitlines have no sense end; None: every one has."""

    @property
    def floats(self) -> bool:
        """Whether lines may float (static)."""
        return self.floating_wordlines is not None or self.floating_bitlines is not None


# The parts of the read voltage on the other wordlines and bitlines; None: they float.
SCHEMES = {"ground": (0.0, 0.0), "half": (1 / 2, 1 / 2), "third": (1 / 3, 2 / 3), "float": None}


def select(
    rows: int,
    cols: int,
    row: Int[ArrayLike, "*#batch"],
    col: Int[ArrayLike, "*#batch"],
    volts: Float[ArrayLike, "*#batch"],
    scheme: str = "half",
) -> Bias:
    """Read cell (row, col) of a passive array with `volts` across it.

    The current of bitline `col` is what the reader takes for that of the cell; what sneaks in makes the difference.

    Args:
      rows, cols: the size of the array.
      row, col: (...) which cell; a batch of them makes a batch of biases.
      volts: (...) V, between the driver of the wordline and the sense end of the bitline.
      scheme: `ground`, `half`, `third` or `float`: see the table above.

    Returns:
      The voltages (..., rows) and (..., cols), and for `float` which lines float. NaN for a traced cell outside the array.

    Raises:
      UserError: an unknown scheme, a cell outside the array, or batches that do not broadcast.
    """
    if scheme not in SCHEMES:
        raise UserError(f"scheme {scheme!r} does not exist{nearest(str(scheme), list(SCHEMES))}.")
    for name, at, size in (("row", row, rows), ("col", col, cols)):
        _check_inside(name, at, size)
    shapes = [jnp.shape(x) for x in (row, col, volts)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise UserError(
            f"row, col and volts have shapes {', '.join(map(str, shapes))}, which do not broadcast; for all pairs of some rows "
            "and columns give row[:, None] and col."
        ) from None
    row, col, volts = jnp.broadcast_arrays(*(jnp.asarray(x)[..., None] for x in (row, col, volts)))
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    volts = jnp.where(inside, volts, jnp.nan)
    other_row, other_col = (jnp.arange(rows) != row) & inside, (jnp.arange(cols) != col) & inside
    parts = SCHEMES[scheme]
    if parts is None:
        return Bias(jnp.where(other_row, 0, volts), jnp.where(other_col, 0, 0 * volts), other_row, other_col)
    return Bias(jnp.where(other_row, parts[0] * volts, volts), jnp.where(other_col, parts[1] * volts, 0))


def _check_inside(name: str, at: Any, size: int) -> None:
    known = concrete(at)
    if known is not None and (known.dtype.kind not in "iu" or not known.size or known.min() < 0 or known.max() >= size):
        raise UserError(f"{name} is {at!r}; give whole numbers from 0 to {size - 1}.")
