"""Matrices on arrays: how large the tiles are, and what is drawn for each of them by itself."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from imcjax import mapping
from imcjax.hardware import Hardware
from imcjax.keys import fold_index


def tiling(shape: tuple[int, ...], hardware: Hardware) -> mapping.Tiling:
    """How a matrix of `shape` (n_in, n_out) lies on the arrays of this hardware."""
    return mapping.Tiling(shape[0], shape[1], *usable(hardware), hardware.partition)


def usable(hardware: Hardware) -> tuple[int, int]:
    """Inputs and outputs of the largest matrix that one array takes."""
    return hardware.rows // hardware.encoding.rows_per_input, hardware.cols - hardware.encoding.extra_columns


def per_tile(draw: Callable[..., Any], tree: Any, key: jax.Array | None) -> Any:
    """draw(tree, key) with a key of its own, fold_in of its index, for each tile; leaves are (S, 2, T, C, r, c)."""
    if key is None:
        return draw(tree, None)
    row_tiles, col_tiles = jax.tree.leaves(tree)[0].shape[2:4]
    indices = jnp.arange(row_tiles * col_tiles, dtype=jnp.uint32).reshape(row_tiles, col_tiles)
    over_columns = jax.vmap(lambda part, index: draw(part, fold_index(key, index)), in_axes=(2, 0), out_axes=2)
    return jax.vmap(over_columns, in_axes=(2, 0), out_axes=2)(tree, indices)


def by_output(x: Any, layout: mapping.Tiling) -> Any:
    """(..., S, T, C, 1, c) of tiles as (..., T, S, N)."""
    return None if x is None else jnp.swapaxes(layout.join_columns(x)[..., 0, :], -3, -2)
