"""What the columns of arrays answer with, once their cells are known.

For most hardware a matrix, wires included: ampere, or volt, for each volt on a row. For cells with a curve the same for the
powers of the row voltages, one matrix below the other; and where such cells lie between wires, the cells themselves, since each
input vector is then a circuit of its own (`imcjax.curves`).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax import crossbar, curves, mapping
from imcjax.devices import bends
from imcjax.hardware import Hardware
from imcjax.layout import per_tile


def of_cells(
    g: Float[Array, "S D T C r c"], hardware: Hardware, *, key: jax.Array | None = None
) -> Float[Array, "S D T C r c"]:
    """What each physical column answers per volt on each row.

    Interleaved pairs meet at one bitline, which answers with their difference: their D is 1. The key draws the parts of the
    readout, where it has any.
    """
    if curves.solved(hardware):
        return g
    if bends(hardware.device):
        return curves.power_matrices(g, hardware)
    read_out = partial(hardware.readout.respond, wires=hardware.wires, solver=hardware.solver)
    if not hardware.encoding.interleaved:
        return read_out(g) if key is None else per_tile(lambda tile, own: read_out(tile, key=own), g, key)
    if hardware.readout.kind == "current" and hardware.wires is not None:
        pairs = jnp.moveaxis(g, 1, -3)
        return crossbar.transfer_matrix(pairs, hardware.wires, topology="interleaved", solver=hardware.solver)[:, None]
    both = jnp.concatenate([g[:, :1], g[:, 1:]], -2)
    s = read_out(both) if key is None else per_tile(lambda tile, own: read_out(tile, key=own), both, key)
    return s[..., : g.shape[-2], :] - s[..., g.shape[-2] :, :]


def side_by_side(s: Float[Array, "S D T C r c"], hardware: Hardware, layout: mapping.Tiling) -> jax.Array:
    """(K, T, r, S, N): tiles joined along the outputs, for each converted column of a digit; cells to be solved as they are."""
    return s if curves.solved(hardware) else jnp.moveaxis(layout.join_columns(hardware.encoding.respond(s)), 1, -2)


def row_tiles(matrix: jax.Array, hardware: Hardware) -> int:
    """How many row tiles `side_by_side` has, those of copies included."""
    return matrix.shape[2 if curves.solved(hardware) else 1]


def currents(
    matrix: jax.Array, volts: Float[Array, "T v rows"], hardware: Hardware, layout: mapping.Tiling
) -> Float[Array, "K T v S N"]:
    """What the columns answer to the voltages on the wordlines."""
    if curves.solved(hardware):
        return curves.circuit_currents(matrix, volts, hardware, layout)
    k, tiles, r, slices, n = matrix.shape
    if bends(hardware.device):
        volts = curves.powers(volts, r)
    found = jnp.matmul(volts, matrix.reshape(k, tiles, r, slices * n), precision=lax.Precision.HIGHEST)
    return found.reshape(*found.shape[:-1], slices, n)
