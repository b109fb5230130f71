"""What shares one range: everything, one entry of an axis, or so many rows of a matrix (a tile).

A number that belongs to a group has a shape that broadcasts: () for all of x; length 1 but along `axis` for the entries of an
axis (-1 of a kernel is its output channels, the columns of the array; the axis of bit slices is as good). With `rows`, x is
the matrix (n_in, n_out) that it flattens to, and the number has the shape (tiles, 1), or (tiles, n_out) with axis=-1: an array
of so many rows, or each column of each array.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.errors import UserError


def check_groups(name: str, shape: tuple[int, ...], axis: int | None, rows: int | None) -> None:
    """Refuse an axis that an array of this shape does not have, and tiles of what is no matrix.

    Raises:
      UserError: naming the format `name`.
    """
    if axis is not None and not hasattr(axis, "__index__"):
        raise UserError(
            f"{name}.axis is {axis!r}; give the number of an axis of the array, as -1 for a kernel's output channels, or None "
            "for one range."
        )
    if axis is not None and not -len(shape) <= axis < len(shape):
        raise UserError(
            f"{name}.axis is {axis}, but the array has the shape {shape}; give an axis from {-len(shape)} to {len(shape) - 1}, "
            "or None for one range."
        )
    if rows is None:
        return
    if len(shape) < 2:
        raise UserError(f"{name}.rows is {rows}, but an array of shape {shape} has no rows; give a matrix, or rows=None.")
    if axis is not None and axis % len(shape) != len(shape) - 1:
        raise UserError(f"{name}.axis is {axis} beside rows; give -1 for each column of each tile, or None for each tile.")


def group_shape(shape: tuple[int, ...], axis: int | None, rows: int | None) -> tuple[int, ...]:
    """The shape of a number that each group of an array has."""
    if rows is not None:
        size = 1
        for length in shape[:-1]:
            size *= length
        return -(-size // rows), shape[-1] if axis is not None else 1
    if axis is None:
        return ()
    return tuple(length if place == axis % len(shape) else 1 for place, length in enumerate(shape))


def spread(value: jax.Array, shape: tuple[int, ...], rows: int | None) -> jax.Array:
    """A group's number as it broadcasts against an array of this shape."""
    if rows is None or jnp.ndim(value) == 0:
        return value
    tall = jnp.repeat(value, rows, axis=0).reshape(-1, value.shape[-1])
    size = 1
    for length in shape[:-1]:
        size *= length
    return tall[:size].reshape(*shape[:-1], -1)


def reduce_groups(
    reduce: Callable[..., jax.Array], x: Float[Array, "..."], axis: int | None, rows: int | None
) -> Float[Array, "..."]:
    """`reduce(values, axis=..., keepdims=...)` (jnp.max, jnp.mean) over each group; the result has `group_shape`."""
    if rows is not None:
        matrix = x.reshape(-1, x.shape[-1])
        across = 0 if axis is not None else (0, 1)
        tiles = [reduce(matrix[first : first + rows], axis=across, keepdims=True) for first in range(0, len(matrix), rows)]
        return jnp.concatenate(tiles)
    if axis is None:
        return reduce(x, axis=None, keepdims=False)
    shared = tuple(place for place in range(x.ndim) if place != axis % x.ndim)
    return reduce(x, axis=shared, keepdims=True)


def each_group(rule: Callable[[jax.Array], Any], x: Float[Array, "..."], axis: int | None, rows: int | None) -> Any:
    """`rule(values (n,))`, a pytree of numbers, of each group; leaves of `group_shape`."""
    if rows is not None:
        matrix = x.reshape(-1, x.shape[-1])
        tiles = [matrix[first : first + rows] for first in range(0, len(matrix), rows)]
        found = [each_group(rule, tile, axis, None) for tile in tiles]
        return jax.tree.map(lambda *leaves: jnp.concatenate([jnp.reshape(leaf, (1, -1)) for leaf in leaves]), *found)
    if axis is None:
        return rule(x.ravel())
    shape = group_shape(x.shape, axis, None)
    own = jnp.moveaxis(x, axis, 0)
    return jax.tree.map(lambda leaf: leaf.reshape(shape), jax.vmap(rule)(own.reshape(own.shape[0], -1)))
