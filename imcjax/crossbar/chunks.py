"""Large batches in pieces: on a CPU a solve is several times faster while its fields stay in the cache."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


# Cells (arrays x inputs x rows x cols) solved at once. A CPU core's second-level cache holds the dozen fields of 32k float32
# cells; elsewhere the bound is memory, and every further piece costs the launches of a whole solve.
_FIELDS = 12
_CELLS_AT_ONCE = {"cpu": 2**15}
_CELLS_AT_ONCE_ELSEWHERE = 2**26


def in_chunks(
    solver: Callable[..., Callable[[Any], tuple[Any, Any]]], arrays: tuple[Any, ...], inputs: Any, *, fields: float = _FIELDS
) -> tuple[Any, Any]:
    """`solver(*arrays)(inputs)` piece by piece; what `solver` itself computes serves all inputs of its piece of the arrays.

    `arrays` are trees of arrays (arrays, ...), g (arrays, rows, cols) first; `inputs` is a tree of (arrays, inputs, ...).
    Two trees come back: what to sum over the inputs, (arrays, ...), and what to keep for each, (arrays, inputs, ...).
    Pieces are filled up with zeros, which must add nothing to the sums. `fields` is how many numbers a cell takes.
    """
    g = arrays[0]
    count, room = jax.tree.leaves(inputs)[0].shape[1], _room(g, fields)
    input_pieces = -(-count // room)
    array_pieces = -(-g.shape[0] // max(1, room // count))
    if input_pieces == array_pieces == 1:
        return solver(*arrays)(inputs)

    def one_array_piece(piece):
        arrays_piece, inputs_piece = piece
        solve = solver(*arrays_piece)
        if input_pieces == 1:
            return solve(inputs_piece)
        sums, kept = jax.lax.map(solve, _split(inputs_piece, 1, input_pieces))
        return jax.tree.map(lambda x: jnp.sum(x, 0), sums), _join(kept, 1, count)

    sums, kept = jax.lax.map(one_array_piece, (_split(arrays, 0, array_pieces), _split(inputs, 0, array_pieces)))
    return _join(sums, 0, g.shape[0]), _join(kept, 0, g.shape[0])


def map_arrays(function: Callable[[Array], Array], g: Float[Array, "arrays rows cols"]) -> Array:
    """`function(g)` piece by piece, for a function of each array by itself."""
    pieces = -(-g.shape[0] // _room(g, _FIELDS))
    return function(g) if pieces == 1 else _join(jax.lax.map(function, _split(g, 0, pieces)), 0, g.shape[0])


def _room(g, fields):
    """How many systems of the size of `g` are solved at once."""
    limit = _CELLS_AT_ONCE.get(jax.default_backend(), _CELLS_AT_ONCE_ELSEWHERE)
    return max(1, int(limit * _FIELDS / fields) // (g.shape[1] * g.shape[2]))


def _split(tree, axis, pieces):
    """(..., n, ...) -> (pieces, ..., ceil(n / pieces), ...), zero-filled."""

    def split(x):
        size = -(-x.shape[axis] // pieces)
        missing = size * pieces - x.shape[axis]
        if missing:
            x = jnp.pad(x, [(0, missing if i == axis else 0) for i in range(x.ndim)])
        return jnp.moveaxis(x.reshape(*x.shape[:axis], pieces, size, *x.shape[axis + 1 :]), axis, 0)

    return jax.tree.map(split, tree)


def _join(tree, axis, count):
    """The inverse of `_split`."""

    def join(x):
        x = jnp.moveaxis(x, 0, axis)
        return jax.lax.slice_in_dim(x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :]), 0, count, axis=axis)

    return jax.tree.map(join, tree)
