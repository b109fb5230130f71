"""Matrices on arrays: how large the tiles are, what copies of them compute, and what is drawn for each by itself."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax import mapping
from imcjax.hardware import Hardware
from imcjax.keys import fold_index
from imcjax.unrolled_threefry import unrolled
from imcjax.written import kept


def tiling(shape: tuple[int, ...], hardware: Hardware) -> mapping.Tiling:
    """How a matrix of `shape` (n_in, n_out) lies on the arrays of this hardware."""
    return mapping.Tiling(shape[0], shape[1], *usable(hardware), hardware.partition)


def usable(hardware: Hardware) -> tuple[int, int]:
    """Inputs and outputs of the largest matrix that one array takes."""
    return hardware.rows // hardware.encoding.rows_per_input, hardware.cols - hardware.encoding.extra_columns


def per_tile(draw: Callable[..., Any], tree: Any, key: jax.Array | None) -> Any:
    """draw(tree, key) with a key of its own, fold_in of its index, for each tile; leaves are (S, 2, T, C, r, c)."""
    key = unrolled(key)
    if key is None:
        return draw(tree, None)
    row_tiles, col_tiles = jax.tree.leaves(tree)[0].shape[2:4]
    indices = jnp.arange(row_tiles * col_tiles, dtype=jnp.uint32).reshape(row_tiles, col_tiles)
    over_columns = jax.vmap(lambda part, index: draw(part, fold_index(key, index)), in_axes=(2, 0), out_axes=2)
    return jax.vmap(over_columns, in_axes=(2, 0), out_axes=2)(tree, indices)


def kept_by_tile(cells: Float[Array, "S D T C r c"], *, number: jax.Array) -> Float[Array, "S D T C r c"]:
    """The cells, stored (`imcjax.written`) tile by tile, which is the order that `per_tile` draws them in."""
    return jnp.moveaxis(kept(jnp.moveaxis(cells, (2, 3), (0, 1)), number=number), (0, 1), (2, 3))


def copied(tiles: Float[Array, "S T C r c"], copies: int) -> Float[Array, "S copies*T C r c"]:
    """The tiles of all copies as further row tiles: each with a key of its own, those of the first copy as without others."""
    return jnp.tile(tiles, (1, copies, 1, 1, 1))


def deal(digits: Float[Array, "P B n_in"], layout: mapping.Tiling, copies: int) -> Float[Array, "copies*T P*turns r"]:
    """Input vectors on the rows of the tiles, dealt to the copies in turn; zeros fill the last turn up."""
    phases, batch, n_in = digits.shape
    filled = jnp.pad(digits, [(0, 0), (0, -batch % copies), (0, 0)])
    rows = layout.cut_rows(filled.reshape(phases, -1, copies, n_in))  # (P, turns, copies, T, r)
    return jnp.moveaxis(rows, (2, 3), (0, 1)).reshape(copies * layout.row_tiles, -1, layout.tile_rows)


def by_copy(a: Any, layout: mapping.Tiling, axis: int) -> Any:
    """The axis of all copies' row tiles as two: copies, and row tiles."""
    return a.reshape(*a.shape[:axis], -1, layout.row_tiles, *a.shape[axis + 1 :])


def one_reference(values: Float[Array, "K *any N"], layout: mapping.Tiling) -> Float[Array, "K *any N"]:
    """The reference columns (all but the first of K) as one for each tile: what was found for its first output, for all."""
    first = np.arange(values.shape[-1]) // layout.tile_cols * layout.tile_cols
    return jnp.concatenate([values[:1], jnp.take(values[1:], first, axis=-1)])


def by_column(bits: Any, n_out: int) -> Any:
    """Widths of groups of neighbouring columns (groups,) as one for each of `n_out`; the last group may be smaller.

    One width for all, or None, stays as it is.
    """
    groups = jnp.shape(bits)[0] if jnp.ndim(bits) == 1 else 0
    return bits if groups in (0, n_out) else bits[np.arange(n_out) // -(-n_out // groups)]


def by_output(x: Any, layout: mapping.Tiling) -> Any:
    """(..., S, T, C, 1, c) of tiles as (..., T, S, N)."""
    return None if x is None else jnp.swapaxes(layout.join_columns(x)[..., 0, :], -3, -2)
