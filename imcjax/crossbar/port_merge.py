"""The transfer matrix without iteration: cells are merged into tiles, tiles into larger ones, until one tile is the array.

A tile is known by what it does at its ports. A wordline enters it with a voltage on the left and leaves with a current on the
right; a bitline has a voltage at the bottom and a current coming in at the top. The tile answers with the voltage on the right,
the current drawn on the left, the voltage at the top, the current out of the bottom. Along mere wires these pass unchanged, so
a tile is stored as its difference D from that:

    [V_right, I_left, V_top, I_bottom] = (1 + D) [V_left, I_right, V_bottom, I_top]

D keeps its relative accuracy however small the drops are, is 0 for missing cells and finite for r = 0. Two neighbours share a
voltage and a current at each joint; eliminating these takes the inverse of 1 + |Z| |Y|, safe without pivoting. Work grows as
N^3 for N x N cells, and the result serves any number of inputs. This is nested dissection in hybrid parameters.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.crossbar.chunks import map_arrays
from imcjax.crossbar.exact import with_adjoint_gradient


@with_adjoint_gradient
def transfer(g: Float[Array, "arrays rows cols"], wires: Float[Array, "4"], rtol: float) -> Float[Array, "arrays rows cols"]:
    """S (siemens) with currents = v @ S; differentiable in `g` and `wires`; `rtol` only matters to the gradient."""
    return map_arrays(lambda g: _merge_all(g, wires), g)


def _merge_all(g, wires):
    """(arrays, rows, cols) -> the same shape."""
    rows, cols = g.shape[1:]
    # Row 0 is next to the sense ends from here on, as column 0 is next to the drivers; both can be extended by open cells.
    down, across = _power_of_two(rows), _power_of_two(cols)
    tiles = _cells(jnp.pad(g[:, ::-1], ((0, 0), (0, down - rows), (0, across - cols))), wires)
    m = n = 1
    while m < down or n < across:
        if n < across:
            w, b = (slice(0, m), slice(m, 2 * m)), (slice(2 * m, 2 * m + n), slice(2 * m + n, None))
            tiles = _merge(tiles[:, :, 0::2], tiles[:, :, 1::2], w, (*_both(w), *_each(b)))
            n *= 2
        if m < down:
            w, b = (slice(0, m), slice(m, 2 * m)), (slice(2 * m, 2 * m + n), slice(2 * m + n, None))
            tiles = _merge(tiles[:, 0::2], tiles[:, 1::2], b, (*_each(w), *_both(b)))
            m *= 2
    s = jnp.swapaxes(tiles[:, 0, 0, 2 * m + n :, :m], 1, 2)
    return s[:, :rows, :cols][:, ::-1]


def _both(ports):
    return [(port, "both") for port in ports]


def _each(ports):
    return [(port, which) for port in ports for which in ("first", "second")]


def _cells(g, wires):
    """Tiles of one cell each with the wire segments to its left and below, (arrays, rows, cols, 4, 4)."""
    wordline, bitline, driver, sense = wires
    left = jnp.full(g.shape[2], wordline).at[0].set(driver) + jnp.zeros_like(g)
    below = jnp.full(g.shape[1], bitline).at[0].set(sense)[:, None] + jnp.zeros_like(g)
    scale = 1 / (1 + g * (left + below))
    d, zero = g * scale, jnp.zeros_like(g)
    answer = jnp.stack([-left * d, d, below * d, d], -1)
    cause = jnp.stack([zero + 1, -left, -zero - 1, -below], -1)
    tiles = answer[..., :, None] * cause[..., None, :]
    tiles = tiles.at[..., 0, 1].set(-left * (1 + g * below) * scale)
    return tiles.at[..., 2, 3].set(below * (1 + g * left) * scale)


def _merge(first, second, joint, blocks):
    """Merge tiles whose ports `joint` (voltage, current) meet: voltages go from `first` to `second`, currents come back.

    `blocks` orders the result: (ports, "both") for the joined lines, (ports, "first" | "second") for the others.
    """
    voltage, current = joint

    def columns(tile, name):
        return jnp.concatenate(
            [tile[..., ports] if which in (name, "both") else jnp.zeros_like(tile[..., ports]) for ports, which in blocks], -1
        )

    of_first, of_second = columns(first, "first"), columns(second, "second")
    z, y = first[..., voltage, current], second[..., current, voltage]
    inverse = _inverse(jnp.eye(z.shape[-1], dtype=z.dtype) - _dot(z, y))
    at_joint = _dot(inverse, of_first[..., voltage, :] + _dot(z, of_second[..., current, :]))
    of_second += _dot(second[..., :, voltage], at_joint)
    of_first += _dot(first[..., :, current], of_second[..., current, :])
    rows = {"first": of_first, "second": of_second, "both": of_first + of_second}
    return jnp.concatenate([rows[which][..., ports, :] for ports, which in blocks], -2)


def _inverse(matrix):
    """Gauss-Jordan without pivoting.

    Not `jnp.linalg`: two independent batched LAPACK calls in a program can wait for each other forever (CPU, jaxlib 0.10.1).
    """
    at = jnp.arange(matrix.shape[-1])

    def eliminate(k, m):
        here = at == k
        row = lax.dynamic_slice_in_dim(m, k, 1, -2)
        column = lax.dynamic_slice_in_dim(m, k, 1, -1)
        row = jnp.where(here, 1, row) / lax.dynamic_slice_in_dim(row, k, 1, -1)
        return jnp.where(here[:, None], row, jnp.where(here, 0, m) - column * row)

    return lax.fori_loop(0, at.size, eliminate, matrix)


def _dot(a, b):
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _power_of_two(n):
    return 1 << (n - 1).bit_length()
