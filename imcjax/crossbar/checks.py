"""What is wrong with an array and its inputs, said before anything is computed."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.crossbar.bias import Bias
from imcjax.crossbar.wires import Wires, check_wires
from imcjax.errors import UserError, check_number, concrete, nearest


TOPOLOGIES = ("input_source", "gate_input", "interleaved")


def check_array(g: Any, wires: Wires, topology: str, volts: Sequence[Any] = ()) -> jax.Array:
    """`g` (..., rows, cols), with topology `interleaved` (..., 2, rows, cols): float64 if it or a `volts` is, else float32.

    Raises:
      UserError: unknown topology, shapes that do not fit, concrete values that are negative (g, wires) or not finite.
    """
    if topology not in TOPOLOGIES:
        raise UserError(f"topology {topology!r} does not exist{nearest(str(topology), TOPOLOGIES)}.")
    check_wires(wires)
    if topology == "gate_input" and wires.both_ends:
        raise UserError("wires has a driver_far or a sense_far; topology 'gate_input' has lines with one end, leave them None.")
    g = jnp.asarray(g)
    dtype = jnp.result_type(g, *volts, jnp.float32)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise UserError(f"g and v make numbers of type {dtype}; give real ones.")
    g = g.astype(dtype)
    leading = 3 if topology == "interleaved" else 2
    if g.ndim < leading or 0 in g.shape or (leading == 3 and g.shape[-3] != 2):
        wanted = "(..., 2, rows, cols), positive and negative cells," if leading == 3 else "(..., rows, cols)"
        raise UserError(f"g has shape {g.shape}; give {wanted} with at least one row and one column.")
    check_number("g", g, 0.0, unit="S")
    return g


def check_circuit(g: Any, v: Any, wires: Wires, topology: str) -> tuple[jax.Array, Bias]:
    """`check_array`, and what drives it as a `Bias` of the same precision: `v` is (..., rows) or a `Bias`.

    Raises:
      UserError: as `check_array`, also for these.
    """
    bias = v if isinstance(v, Bias) else Bias(v)
    name = "wordline_v" if isinstance(v, Bias) else "v"
    if bias.wordline_v is None:
        raise UserError(f"{name} is None; give one voltage for each row of g.")
    g = check_array(g, wires, topology, [jnp.asarray(x) for x in bias[:2] if x is not None])
    if topology != "input_source" and isinstance(v, Bias):
        raise UserError(f"A Bias was given with topology {topology!r}; give input voltages, or topology 'input_source'.")
    batch, g_shape, dtype = g.shape[: -3 if topology == "interleaved" else -2], g.shape, g.dtype
    rows, cols = g_shape[-2:]
    v = jnp.asarray(bias.wordline_v).astype(dtype)
    if v.ndim < 1 or v.shape[-1] != rows or 0 in v.shape:
        raise UserError(f"{name} has shape {v.shape}; give (..., {rows}), one voltage for each row of g {g_shape}.")
    check_number(name, v, unit="V")
    lines = {"bitline_v": cols, "floating_wordlines": rows, "floating_bitlines": cols}
    given = {name: jnp.asarray(getattr(bias, name)) for name in lines if getattr(bias, name) is not None}
    for line, field in given.items():
        if field.ndim < 1 or field.shape[-1] != lines[line] or 0 in field.shape:
            raise UserError(f"{line} has shape {field.shape}; give (..., {lines[line]}), one for each line of g {g_shape}.")
        if line != "bitline_v" and field.dtype != bool:
            raise UserError(f"{line} has numbers of type {field.dtype}; give True for each line that floats, else False.")
    if "bitline_v" in given:
        check_number("bitline_v", given["bitline_v"], unit="V")
        given["bitline_v"] = given["bitline_v"].astype(dtype)
    shapes = {"g": g_shape, name: v.shape} | {name: field.shape for name, field in given.items()}
    try:
        np.broadcast_shapes(batch, v.shape[:-1], *(field.shape[:-1] for field in given.values()))
    except ValueError:
        raise UserError(
            f"The leading axes of {' and '.join(f'{name} {shape}' for name, shape in shapes.items())} do not broadcast; "
            "make them equal, or 1, axis by axis from the right."
        ) from None
    if topology == "gate_input":
        _check_gates(v)
    if wires.both_ends and bias.floats:
        raise UserError(
            "A line cannot float that has a driver_far or a sense_far in wires; leave these None, or let none float."
        )
    return g, Bias(v, *(given.get(line) for line in lines))


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
