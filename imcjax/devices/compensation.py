"""What a chip can do about drift and stuck cells: scale its outputs by what it measures on itself, and choose columns.

Scaling: V. Joshi et al., Nature Communications 11, 2473 (2020): read the columns with a known input when the chip is
programmed and again later; outputs are multiplied with the ratio. Choosing columns: L. Xia et al., "Fault-tolerant training
with on-line fault detection for RRAM-based neural computing systems", DAC 2017.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.errors import UserError, concrete


def global_scale(now: Float[Array, "... r c"], programmed: Float[Array, "... r c"]) -> jax.Array:
    """() factor by which to multiply all outputs of a chip whose cells read `now` and once read `programmed`, siemens.

    The ratio of the summed currents of all columns with ones on all rows. Positive and negative columns are summed, not
    subtracted: their difference may be nothing at all.
    """
    return _ratio(jnp.sum(programmed), jnp.sum(now))


def column_scale(
    now: Float[Array, "... r c"], programmed: Float[Array, "... r c"], *, pair_axis: int | None = None
) -> Float[Array, "... 1 c"]:
    """(..., 1, c) factor for each column, from its current with ones on all rows; 1 for a column that carries none.

    With `pair_axis`, the axis of positive and negative arrays (1 in the conductances of a layer), the two columns of a pair,
    which share an output, share a factor; that axis is 1 in the result.
    """
    sums = [jnp.sum(g, axis=-2, keepdims=True) for g in (programmed, now)]
    if pair_axis is not None:
        sums = [jnp.sum(one, axis=pair_axis, keepdims=True) for one in sums]
    return _ratio(*sums)


def _ratio(before: jax.Array, after: jax.Array) -> jax.Array:
    return jnp.where(after > 0, before / jnp.where(after > 0, after, 1), 1)


def remap(target: np.ndarray, stuck_on: np.ndarray, stuck_off: np.ndarray, g_min: float, g_max: float) -> np.ndarray:
    """(n,) for each of n columns of weights the column of the array, one of m >= n, where stuck cells hurt it least.

    Greedy and deterministic: beginning with column i at place i, the move to a free place or the exchange of two columns that
    takes away most of the squared error is done until none takes away any. So it is never worse than where it begins.

    Args:
      target: (..., r, n) siemens; leading axes (positive and negative arrays, slices) move together.
      stuck_on, stuck_off: (..., r, m), true or 1 where a cell of the array is stuck at g_max, and where at g_min.
      g_min, g_max: siemens.

    Raises:
      UserError: maps that do not fit the targets, or fewer places than columns.
    """
    given = [concrete(array) for array in (target, stuck_on, stuck_off)]
    if any(array is None for array in given):
        raise UserError("remap chooses columns by comparing numbers, so it cannot run inside jax.jit; call it outside.")
    wanted, on, off = (np.asarray(array, float) for array in given)
    if on.shape != off.shape or on.shape[:-1] != wanted.shape[:-1] or on.shape[-1] < wanted.shape[-1]:
        raise UserError(
            f"target has shape {wanted.shape}, the fault maps {on.shape} and {off.shape}; give maps of equal shape with the "
            "same rows and at least as many columns."
        )
    rows = wanted.reshape(-1, wanted.shape[-1]) / g_max
    on, off = ((fault.reshape(-1, fault.shape[-1]) != 0).astype(float) for fault in (on, off))
    # (n, m): squared error of column i at place j, summed over its stuck cells.
    cost = ((rows - 1) ** 2).T @ on + ((rows - g_min / g_max) ** 2).T @ off
    return _improve(cost)


def _improve(cost: np.ndarray) -> np.ndarray:
    """Place of each column: the identity, improved by single moves and exchanges as long as the sum of `cost` (n, m) falls."""
    n, m = cost.shape
    place, columns = np.arange(n), np.arange(n)
    free = list(range(n, m))
    smallest = 1e-12 * max(cost.max(initial=0), 1e-30)
    while True:
        own = cost[columns, place]
        moves = own[:, None] - cost[:, free] if free else np.zeros((n, 1))
        placed = cost[:, place]  # column i where column k is
        swaps = own[:, None] + own - placed - placed.T
        best_move, best_swap = moves.max(initial=0), swaps.max(initial=0)
        if max(best_move, best_swap) <= smallest:
            return place
        if best_move >= best_swap:
            i, k = np.unravel_index(moves.argmax(), moves.shape)
            place[i], free[k] = free[k], place[i]
        else:
            i, k = np.unravel_index(swaps.argmax(), swaps.shape)
            place[i], place[k] = place[k], place[i]


def place_columns(target: Float[Array, "... r n"], places: np.ndarray, columns: int, empty: float) -> Float[Array, "... r m"]:
    """(..., r, columns) siemens: column i of `target` at `places[i]`, elsewhere `empty` siemens; its output is y[places[i]]."""
    target = jnp.asarray(target)
    return jnp.full((*target.shape[:-1], columns), empty, target.dtype).at[..., places].set(target)
