"""What is wrong with an array and its inputs, said before anything is computed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.crossbar.batching import batch_of
from imcjax.crossbar.wires import Wires, check_wires
from imcjax.errors import UserError, check_number, concrete, nearest


TOPOLOGIES = ("input_source", "gate_input")


def check_circuit(g: Any, v: Any, wires: Wires, topology: str) -> tuple[jax.Array, jax.Array | None]:
    """`g` (..., rows, cols) and `v` (..., rows), or None, as arrays of one precision: float64 if one of them is, else float32.

    Raises:
      UserError: unknown topology, shapes that do not fit, concrete values that are negative (g, wires) or not finite.
    """
    if topology not in TOPOLOGIES:
        raise UserError(f"topology {topology!r} does not exist{nearest(str(topology), TOPOLOGIES)}.")
    check_wires(wires)
    if topology == "gate_input" and wires.both_ends:
        raise UserError("wires has a driver_far or a sense_far; topology 'gate_input' has lines with one end, leave them None.")
    g, v = jnp.asarray(g), None if v is None else jnp.asarray(v)
    dtype = jnp.result_type(g, jnp.float32) if v is None else jnp.result_type(g, v, jnp.float32)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise UserError(f"g and v make numbers of type {dtype}; give real ones.")
    g = g.astype(dtype)
    if g.ndim < 2 or 0 in g.shape:
        raise UserError(f"g has shape {g.shape}; give (..., rows, cols) with at least one row and one column.")
    check_number("g", g, 0.0, unit="S")
    if v is None:
        return g, None
    v = v.astype(dtype)
    if v.ndim < 1 or v.shape[-1] != g.shape[-2] or 0 in v.shape:
        raise UserError(f"v has shape {v.shape}; give (..., {g.shape[-2]}), one voltage for each row of g {g.shape}.")
    check_number("v", v, unit="V")
    try:
        batch_of(g.shape[:-2], v.shape[:-1])
    except ValueError:
        raise UserError(
            f"The leading axes of g {g.shape} and v {v.shape} do not broadcast; "
            f"make {g.shape[:-2]} and {v.shape[:-1]} equal, or 1, axis by axis from the right."
        ) from None
    if topology == "gate_input":
        _check_gates(v)
    return g, v


def _check_gates(v):
    array = concrete(v)
    if array is None:
        return
    high, low = array.max(-1, keepdims=True), array.min(-1, keepdims=True)
    read = np.where(high >= -low, high, low)
    other = array[(array != 0) & (array != read)]
    if other.size:
        raise UserError(
            f"v has {other[0]:g} V beside another voltage in one input; with topology 'gate_input' the inputs switch cells "
            "on and off, give 0 or one read voltage."
        )
