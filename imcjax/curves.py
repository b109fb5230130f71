"""Cells whose current is not proportional to their voltage: what stands in the path in place of one matrix.

Without wires a column's current is a sum over powers of the row voltages, so it is a matrix again: that of v, below it that of
v^2, and so on. With wires the cells of a column meet, and each input vector is a circuit of its own, which is solved.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax import crossbar, mapping
from imcjax.crossbar.cells import ByConductance
from imcjax.devices import bends
from imcjax.hardware import Hardware


def solved(hardware: Hardware) -> bool:
    """Whether columns answer with no matrix, but with a circuit that has to be solved for every input vector."""
    return bends(hardware.device) and hardware.wires is not None


def power_matrices(g: Float[Array, "S D T C r c"], hardware: Hardware) -> Float[Array, "S D T C powers*r c"]:
    """What the powers of the row voltages are multiplied with, one below the other: A/V, A/V^2, ..."""
    parts = ByConductance(hardware.device).conductances(g)
    if hardware.encoding.interleaved:  # the second cell of a pair sees the opposite voltage
        signs = jnp.asarray([(-1.0) ** (k + 1) for k in range(len(parts))], g.dtype)
        parts = parts[:, :, :1] + signs.reshape(-1, *(1,) * g.ndim) * parts[:, :, 1:]
    stacked = jnp.moveaxis(parts, 0, -3)
    return stacked.reshape(*stacked.shape[:-3], -1, stacked.shape[-1])


def powers(volts: Float[Array, "T v r"], rows: int) -> Float[Array, "T v rows"]:
    """The row voltages and as many of their powers as `rows` of a matrix take."""
    return jnp.concatenate([volts ** (k + 1) for k in range(rows // volts.shape[-1])], -1)


def circuit_currents(
    g: Float[Array, "S D T C r c"], volts: Float[Array, "T v r"], hardware: Hardware, layout: mapping.Tiling
) -> Float[Array, "K T v S N"]:
    """Column currents, ampere, of cells with a curve between wires."""
    assert hardware.wires is not None
    inputs, cell = volts[:, None], ByConductance(hardware.device)
    given = {"solver": hardware.solver, "cell": cell}
    if hardware.encoding.interleaved:
        pairs = jnp.moveaxis(g, 1, -3)[:, :, :, None]
        out = crossbar.currents(pairs, inputs, hardware.wires, topology="interleaved", **given)[:, None]
    else:
        out = crossbar.currents(g[..., None, :, :], inputs, hardware.wires, **given)
    return jnp.moveaxis(layout.join_columns(hardware.encoding.respond(out)), 1, -2)


def steepest(hardware: Hardware) -> jax.Array | float:
    """The largest current of a cell over what it would be if it were proportional to the voltage."""
    if not bends(hardware.device):
        return 1.0
    g = jnp.linspace(hardware.device.g_min, hardware.device.g_max, 9)[:, None]
    u = hardware.dac.v_read * jnp.linspace(-1, 1, 9)
    found = ByConductance(hardware.device).current(*jnp.broadcast_arrays(g, u)) / (g * jnp.where(u == 0, 1, u))
    return jnp.maximum(jnp.max(found), 1.0)
