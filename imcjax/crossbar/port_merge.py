"""The transfer matrix without iteration: cells are merged into tiles, tiles into larger ones, until one tile is the array.

`tiles` says what a tile is and how two of them become one. Work grows as N^3 for N x N cells, and the result serves any number
of inputs. This is nested dissection in hybrid parameters. Small tiles are many and are computed as vectors over all of them;
large ones are few and are computed as matrices.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar.chunks import map_arrays
from imcjax.crossbar.tiles import LARGE, SMALL, Ports, merge
from imcjax.crossbar.wires import Wiring


LEAF = 2
"""Side of the largest tile that counts as small."""


def transfer(g: Float[Array, "arrays rows cols"], wiring: Wiring, rtol: float) -> Float[Array, "arrays rows cols"]:
    """S (siemens) with currents = v @ S; differentiable in `g` and `wiring`; `rtol` does not matter."""
    return map_arrays(lambda g: _merge_all(g, wiring.ohms), g)


def _merge_all(g, ohms):
    """(arrays, rows, cols) -> the same shape."""
    rows, cols = g.shape[1:]
    # Row 0 is next to the sense ends from here on, as column 0 is next to the drivers; both can be extended by open cells.
    down, across = _power_of_two(rows), _power_of_two(cols)
    g = jnp.pad(g[:, ::-1], ((0, 0), (0, down - rows), (0, across - cols)))
    m, n = min(LEAF, down), min(LEAF, across)
    tiles, ports = _leaves(g, ohms, m, n), Ports.of(m, n)
    while m < down or n < across:
        if n < across:
            n *= 2
            # Nothing is connected at the far ends, and of the near ones only the input voltage and the output current matter.
            grown = ports.merged("w", *(("wV wI", "wI") if n == across else ("", "")))
            tiles, ports = merge(tiles[:, :, 0::2], tiles[:, :, 1::2], ports, grown, "w", LARGE), grown
        if m < down:
            m *= 2
            grown = ports.merged("b", *(("bV", "bV bI") if m == down else ("", "")))
            tiles, ports = merge(tiles[:, 0::2], tiles[:, 1::2], ports, grown, "b", LARGE), grown
    answers = sum(size for _, size in ports.answers)
    s = jnp.swapaxes(tiles[:, 0, 0, answers - across :, :down], 1, 2)
    return s[:, :rows, :cols][:, ::-1]


def _leaves(g, ohms, m, n):
    """Tiles of m x n cells with all their ports: (arrays, tiles down, tiles across, ports, ports)."""
    arrays, rows, cols = g.shape
    wordline, bitline, driver, sense = ohms
    left = jnp.full(cols, wordline).at[0].set(driver) + jnp.zeros_like(g)
    below = jnp.full(rows, bitline).at[0].set(sense)[:, None] + jnp.zeros_like(g)

    def by_leaf(x):
        """(arrays, rows, cols) -> (m, n, leaves)"""
        x = x.reshape(arrays, rows // m, m, cols // n, n)
        return jnp.transpose(x, (2, 4, 0, 1, 3)).reshape(m, n, -1)

    tiles, ports = _cells(*(by_leaf(x) for x in (g, left, below))), Ports.of(1, 1)
    while tiles.shape[0] > 1 or tiles.shape[1] > 1:
        if tiles.shape[1] > 1:
            grown = ports.merged("w", "", "")
            tiles, ports = merge(tiles[:, 0::2], tiles[:, 1::2], ports, grown, "w", SMALL), grown
        if tiles.shape[0] > 1:
            grown = ports.merged("b", "", "")
            tiles, ports = merge(tiles[0::2], tiles[1::2], ports, grown, "b", SMALL), grown
    tiles = jnp.moveaxis(tiles[0, 0], -1, 0)
    return tiles.reshape(arrays, rows // m, cols // n, *tiles.shape[1:])


def _cells(g, left, below):
    """Tiles of one cell each with the wire segments to its left and below, (m, n, 4, 4, leaves)."""
    scale = 1 / (1 + g * (left + below))
    d, zero = g * scale, jnp.zeros_like(g)
    answer = jnp.stack([-left * d, d, below * d, d], 2)
    cause = jnp.stack([zero + 1, -left, -zero - 1, -below], 2)
    tiles = answer[:, :, :, None] * cause[:, :, None]
    tiles = tiles.at[:, :, 0, 1].set(-left * (1 + g * below) * scale)
    return tiles.at[:, :, 2, 3].set(below * (1 + g * left) * scale)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
