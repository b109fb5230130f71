"""Two neighbouring tiles of an array become one, and the gradient of that.

A tile is known by what it does at its ports. A wordline enters it with a voltage on the left and leaves with a current on the
right; a bitline has a voltage at the bottom and a current coming in at the top. The tile answers with the voltage on the right,
the current drawn on the left, the voltage at the top, the current out of the bottom. Along mere wires these pass unchanged, so
a tile is stored as its difference D from that:

    [V_right, I_left, V_top, I_bottom] = (1 + D) [V_left, I_right, V_bottom, I_top]

D keeps its relative accuracy however small the drops are, is 0 for missing cells and finite for r = 0. Answers and causes of
one line and kind share a name: "wV" (V_right, V_left), "wI" (I_left, I_right), "bV" (V_top, V_bottom), "bI" (I_bottom, I_top).

At the joint of tile A and its neighbour B farther from the terminals, A's voltage drives B, and B's current loads A:

    p = C_A[V] + Z q      q = C_B[I] + Y p      Z = D_A[V, I]      Y = D_B[I, V]

p and q are the deviations of the joint voltage and current, C the tiles' answers to the ports that stay. Eliminating them takes
M = (1 - Z Y)^-1, which is the inverse of 1 + |Z| |Y|: safe without pivoting.

The merged tile is a linear fractional function of both, so a change of D_A shows as W_A dD_A V_A: V_A says what the tile's own
ports see when the merged tile is driven, W_A how an extra answer of the tile shows outside. Both are mostly unit matrices, and
the gradient costs about twice what the merging does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Ports(NamedTuple):
    """The rows and the columns of a tile's matrix: (name, number of lines) in order."""

    answers: tuple[tuple[str, int], ...]
    causes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, m: int, n: int) -> "Ports":
        """All ports of a tile of m x n cells."""
        every = (("wV", m), ("wI", m), ("bV", n), ("bI", n))
        return cls(every, every)

    def merged(self, joint: str, answers: str, causes: str) -> "Ports":
        """Those of two tiles joined along lines `joint` ("w" or "b"), without the names listed."""
        grown = [
            tuple((name, size if name[0] == joint else 2 * size) for name, size in side if name not in dropped.split())
            for side, dropped in zip(self, (answers, causes), strict=True)
        ]
        return Ports(*grown)


_BLOCK = 16
"""Lines that `_by_blocks` takes at once; fewer than four such blocks are inverted line by line."""


class Layout(NamedTuple):
    """Where the rows and columns of the tiles' matrices are, and how such matrices are multiplied and inverted."""

    rows: int
    cols: int
    dot: Callable[[jax.Array, jax.Array], jax.Array]
    inverse: Callable[[jax.Array], jax.Array]

    def turned(self, x: jax.Array) -> jax.Array:
        """The transposed matrices."""
        return jnp.swapaxes(x, self.rows, self.cols)


def merge(first: jax.Array, second: jax.Array, ports: Ports, grown: Ports, joint: str, layout: Layout) -> jax.Array:
    """The tiles (..., answers, causes) of `first` (nearer to the terminals) and `second` joined along lines `joint`.

    Args:
      first, second: matrices D.
      ports: of both.
      grown: of the result.
      joint: "w": neighbours along the wordlines, "b": along the bitlines.
      layout: where the matrices' axes are.
    """
    return _merge(first, second, ports, grown, joint, layout)


def _forward(first, second, ports, grown, joint, layout):
    v, i = joint + "V", joint + "I"
    rows, cols, dot, inverse = layout
    of = partial(_part, ports=ports.answers, axis=rows)
    to = partial(_part, ports=ports.causes, axis=cols)
    of_first = _placed(first, ports.causes, grown.causes, joint, "first", cols)
    of_second = _placed(second, ports.causes, grown.causes, joint, "second", cols)
    z, y = to(of(first, v), i), to(of(second, i), v)
    m = inverse(-dot(z, y))
    p = dot(m, of(of_first, v) + dot(z, of(of_second, i)))
    of_second += dot(to(second, v), p)
    q = of(of_second, i)
    of_first += dot(to(first, i), q)
    merged = _placed(of_first, ports.answers, grown.answers, joint, "first", rows)
    merged += _placed(of_second, ports.answers, grown.answers, joint, "second", rows)
    return merged, (first, second, m, p, q)


def _backward(ports, grown, joint, layout, saved, gradient):
    first, second, m, p, q = saved
    v, i = joint + "V", joint + "I"
    rows, cols, dot, _ = layout
    turned = layout.turned
    of = partial(_part, ports=ports.answers, axis=rows)
    to = partial(_part, ports=ports.causes, axis=cols)
    z, y = to(of(first, v), i), to(of(second, i), v)
    one = jnp.eye(m.shape[rows], dtype=m.dtype).reshape(m.shape[rows], m.shape[rows], *(1,) * (-1 - cols))

    # How p and q show in the answers of the merged tile, and with them an extra answer of either tile at the joint.
    by_p = _replaced(to(second, v), ports.answers, rows, {v: lambda x: x + one, i: jnp.zeros_like})
    by_q = _replaced(to(first, i), ports.answers, rows, {i: lambda x: x + one, v: jnp.zeros_like})
    by_p = _placed(by_p, ports.answers, grown.answers, joint, "second", rows)
    by_q = _placed(by_q, ports.answers, grown.answers, joint, "first", rows)
    by_v = dot(by_p + dot(by_q, y), m)
    by_i = by_q + dot(by_v, z)

    def to_tile(which, extra, seen, answer, shown):
        """Gradient of one tile: `seen` at its port `extra`, and `shown` outside for its answer `answer`."""
        inside = _taken(gradient, ports.causes, grown.causes, joint, which, cols)
        inside = _replaced(inside, ports.causes, cols, {extra: lambda x: x + dot(gradient, turned(seen))})
        outside = _taken(inside, ports.answers, grown.answers, joint, which, rows)
        return _replaced(outside, ports.answers, rows, {answer: lambda _: dot(turned(shown), inside)})

    return to_tile("first", i, q, v, by_v), to_tile("second", v, p, i, by_i)


_merge: Any = jax.custom_vjp(lambda *arguments: _forward(*arguments)[0], nondiff_argnums=(2, 3, 4, 5))
_merge.defvjp(_forward, _backward)


def _slices(ports):
    """name -> (start, stop)"""
    found, start = {}, 0
    for name, size in ports:
        found[name] = start, start + size
        start += size
    return found


def _part(x, name, *, ports, axis):
    return lax.slice_in_dim(x, *_slices(ports)[name], axis=axis % x.ndim)


def _placed(x, ports, grown, joint, which, axis):
    """From one tile's ports to those of the merged tile, zeros at the other tile's."""
    parts = []
    for name, _ in grown:
        own = _part(x, name, ports=ports, axis=axis)
        if name[0] == joint:
            parts.append(own)
        else:
            parts += [own, jnp.zeros_like(own)] if which == "first" else [jnp.zeros_like(own), own]
    return jnp.concatenate(parts, axis)


def _taken(x, ports, grown, joint, which, axis):
    """The transpose of `_placed`."""
    slices, parts = _slices(grown), []
    for name, size in ports:
        if name not in slices:
            shape = list(x.shape)
            shape[axis] = size
            parts.append(jnp.zeros(shape, x.dtype))
            continue
        start = slices[name][0] + (size if which == "second" and name[0] != joint else 0)
        parts.append(lax.slice_in_dim(x, start, start + size, axis=axis % x.ndim))
    return jnp.concatenate(parts, axis)


def _replaced(x, ports, axis, changes: dict[str, Any]):
    """`x` with the parts of some ports changed by a function each."""
    parts = [changes.get(name, lambda part: part)(_part(x, name, ports=ports, axis=axis)) for name, _ in ports]
    return jnp.concatenate(parts, axis)


def _large_dot(a, b):
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _large_inverse(a):
    """(1 + a)^-1"""
    return _by_blocks(a) if a.shape[-1] >= 4 * _BLOCK else _by_lines(a)


def _by_lines(a):
    """(1 + a)^-1 by Gauss-Jordan without pivoting.

    Not `jnp.linalg`: two independent batched LAPACK calls in a program can wait for each other forever (CPU, jaxlib 0.10.1).
    """
    at = jnp.arange(a.shape[-1])

    def eliminate(k, m):
        here = at == k
        row = lax.dynamic_slice_in_dim(m, k, 1, -2)
        column = lax.dynamic_slice_in_dim(m, k, 1, -1)
        row = jnp.where(here, 1, row) / lax.dynamic_slice_in_dim(row, k, 1, -1)
        return jnp.where(here[:, None], row, jnp.where(here, 0, m) - column * row)

    return lax.fori_loop(0, at.size, eliminate, a + jnp.eye(at.size, dtype=a.dtype))


def _by_blocks(a):
    """As `_by_lines`, with blocks of lines: matrix products do most of the work, with a fifth of the rounding errors."""
    n = a.shape[-1]
    block_of, one = jnp.arange(n) // _BLOCK, jnp.eye(_BLOCK, dtype=a.dtype)

    def eliminate(k, m):
        here = block_of == k
        row = lax.dynamic_slice_in_dim(m, k * _BLOCK, _BLOCK, -2)
        column = lax.dynamic_slice_in_dim(m, k * _BLOCK, _BLOCK, -1)
        pivot = _by_lines(lax.dynamic_slice_in_dim(row, k * _BLOCK, _BLOCK, -1) - one)
        row = _large_dot(pivot, jnp.where(here, 0, row))
        row = lax.dynamic_update_slice_in_dim(row, pivot, k * _BLOCK, -1)
        m = jnp.where(here, 0, m) - _large_dot(jnp.where(here[:, None], 0, column), row)
        return lax.dynamic_update_slice_in_dim(m, row, k * _BLOCK, -2)

    return lax.fori_loop(0, n // _BLOCK, eliminate, a + jnp.eye(n, dtype=a.dtype))


def _small_dot(a, b):
    """A sum of few terms, each a product of vectors over all tiles."""
    terms = [a[..., :, k : k + 1, :] * b[..., k : k + 1, :, :] for k in range(a.shape[-2])]
    return sum(terms[1:], terms[0])


def _small_inverse(a):
    return jnp.moveaxis(_large_inverse(jnp.moveaxis(a, -1, -3)), -3, -1) if a.shape[-2] > 1 else 1 / (1 + a)


SMALL = Layout(-3, -2, _small_dot, _small_inverse)
"""Many small tiles: (..., rows, cols, tiles), each number of a tile one vector over all of them."""
LARGE = Layout(-2, -1, _large_dot, _large_inverse)
"""Few large tiles: (..., rows, cols), merged by a handful of matrix products."""
