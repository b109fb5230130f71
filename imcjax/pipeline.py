"""The path of a matrix-vector product through the hardware, one stage a line.

    weights --- codes --- digits --- tiles --- conductances --- devices --+
                                                                          +-- wires -- ADC -- shift and add --- outputs
    inputs ---- codes --- digits --- rows of tiles --- voltages ----------+

`program` goes from weights to the state of one chip, `settle` from that state to the matrix its columns answer with, `multiply`
from inputs to outputs; `read` is the last two, `mvm` is all of it. Axes are named in the comments:
S weight slices, P input phases, T row tiles, C column tiles, r rows and c columns of a tile, B batch, N outputs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax import crossbar, mapping
from imcjax.converters import full_scale
from imcjax.errors import UserError, concrete
from imcjax.hardware import Hardware, check
from imcjax.keys import fold_index, fold_name
from imcjax.pytree import record, static
from imcjax.quantize import clip_through, quantize
from imcjax.settings import Settings, complete, magnitude_bits


@record
class Programmed:
    """One chip's layer.

    Attributes:
      state: the devices' state, leaves (S, 2, T, C, r, c): slices, positive and negative cells, tiles, cells.
      weight_step: value of one weight code, in units of w (of the whole range where weights are continuous).
      slice_weights: (S,) place value of each slice, zero for slices not in use.
      n_in, n_out: shape of the weight matrix (static).
    """

    state: Any
    weight_step: jax.Array
    slice_weights: jax.Array
    n_in: int = static()
    n_out: int = static()


@record
class Settled:
    """One chip's layer at the moment of a read: what its columns answer with, wires included.

    Attributes:
      matrix: (T, r, S, N) siemens: differential current of each column per volt on each row.
      weight_step, slice_weights: as in `Programmed`.
      n_in: inputs of the layer (static).
    """

    matrix: jax.Array
    weight_step: jax.Array
    slice_weights: jax.Array
    n_in: int = static()


def mvm(
    x: Float[Array, "... n_in"],
    w: Float[Array, "n_in n_out"],
    hardware: Hardware,
    settings: Settings | None = None,
    *,
    key: jax.Array | None = None,
) -> Float[Array, "... n_out"]:
    """`x @ w` as the hardware computes it: a fresh chip is programmed with `w` and reads `x` once.

    Args:
      x: (..., n_in) inputs, any unit.
      w: (n_in, n_out) weights, any unit.
      hardware: the technology.
      settings: the layer's bit-widths and ranges; None: the hardware's widest, uncalibrated.
      key: randomness of the devices; None: the noise-free mean chip.

    Returns:
      (..., n_out) in units of x * w.

    Raises:
      UserError: shapes that do not fit, or hardware or settings out of range.
    """
    chip = program(w, hardware, settings, key=fold_name(key, "program"))
    return read(chip, x, hardware, settings, key=fold_name(key, "read"))


def program(
    w: Float[Array, "n_in n_out"], hardware: Hardware, settings: Settings | None = None, *, key: jax.Array | None = None
) -> Programmed:
    """Write weights (n_in, n_out) into the devices of one chip.

    Raises:
      UserError: `w` is not a matrix of finite numbers, or hardware or settings are out of range.
    """
    check(hardware)
    settings = complete(settings, hardware)
    w = _as_array("w", w, dims=2)
    digits, step, place = weight_digits(w, hardware, settings)
    tiles = tiling(w.shape, hardware).cut(digits)  # (S, T, C, r, c)
    targets = hardware.encoding.encode(tiles, hardware.device.g_min, hardware.device.g_max)  # (S, 2, T, C, r, c)
    state = _per_tile(hardware.device.program, targets, key)
    return Programmed(state, step, place, *w.shape)


def read(
    programmed: Programmed,
    x: Float[Array, "... n_in"],
    hardware: Hardware,
    settings: Settings | None = None,
    *,
    key: jax.Array | None = None,
    time: jax.Array | float = 0.0,
) -> Float[Array, "... n_out"]:
    """Inputs (..., n_in) through a programmed chip, `time` seconds after programming.

    One call is one read of the cells: with a key, read noise is drawn once per cell and shared by the batch.

    Raises:
      UserError: shapes that do not fit, hardware or settings out of range, a time that the device's model does not cover.
    """
    if not isinstance(programmed, Programmed):
        raise UserError(
            f"read takes what `program` returned, then the inputs; its first argument is {type(programmed).__name__}."
        )
    return multiply(settle(programmed, hardware, key=key, time=time), x, hardware, settings)


def settle(
    programmed: Programmed, hardware: Hardware, *, key: jax.Array | None = None, time: jax.Array | float = 0.0
) -> Settled:
    """The matrix that a chip's columns answer with at one read: worth keeping where many inputs follow."""
    g = conductances(programmed, hardware, key=key, time=time)
    return differential(programmed, through_wires(g, hardware), hardware)


def conductances(
    programmed: Programmed, hardware: Hardware, *, key: jax.Array | None = None, time: jax.Array | float = 0.0
) -> Float[Array, "S 2 T C r c"]:
    """The cells of a chip at one read, siemens: slices, positive and negative, tiles, rows and columns."""
    check(hardware)
    return _per_tile(lambda state, own: hardware.device.read(state, own, time), programmed.state, key)


def through_wires(g: Float[Array, "... r c"], hardware: Hardware) -> Float[Array, "... r c"]:
    """Ampere a column answers with per volt on each row: `g` itself (siemens) where wires are absent."""
    return g if hardware.wires is None else crossbar.transfer_matrix(g, hardware.wires, solver=hardware.solver)


def differential(programmed: Programmed, s: Float[Array, "S 2 T C r c"], hardware: Hardware) -> Settled:
    """What the arrays answer, siemens, as one matrix: negative columns taken from positive ones, tiles side by side."""
    layout = tiling((programmed.n_in, programmed.n_out), hardware)
    matrix = jnp.moveaxis(layout.join_columns(s[:, 0] - s[:, 1]), 0, -2)  # (T, r, S, N)
    return Settled(matrix, programmed.weight_step, programmed.slice_weights, programmed.n_in)


def multiply(
    settled: Settled, x: Float[Array, "... n_in"], hardware: Hardware, settings: Settings | None = None
) -> Float[Array, "... n_out"]:
    """Inputs (..., n_in) through a settled chip.

    Raises:
      UserError: shapes that do not fit, hardware or settings out of range.
    """
    check(hardware)
    settings = complete(settings, hardware)
    currents, scale, place = column_currents(settled, x, hardware, settings)  # (T, P, B, S, N)
    sums = convert(currents, hardware, settings, rows=settled.matrix.shape[1])
    # Highest precision: accelerators round the factors of a product to 8 or 11 bits otherwise.
    y = jnp.einsum("tpbsn,p,s->bn", sums, place, settled.slice_weights, precision=lax.Precision.HIGHEST)
    return (y * (scale * settled.weight_step)).reshape(*np.shape(x)[:-1], y.shape[-1])


def column_currents(
    settled: Settled, x: Float[Array, "... n_in"], hardware: Hardware, settings: Settings
) -> tuple[Float[Array, "T P B S N"], jax.Array, Float[Array, " P"]]:
    """Differential column currents before conversion, ampere; the value of one unit of current; the phases' place values.

    The value is that of one ampere in input codes times weight codes, so that outputs are sum(currents) * value * weight_step.
    """
    x = _as_array("x", x)
    if x.shape[-1:] != (settled.n_in,):
        raise UserError(f"x has shape {x.shape}; its last axis must have the {settled.n_in} inputs of the programmed weights.")
    digits, step, place = input_digits(x.reshape(-1, x.shape[-1]), hardware, settings)
    layout = tiling((settled.n_in, settled.matrix.shape[-1]), hardware)
    rows = layout.cut_rows(digits.reshape(-1, settled.n_in))  # (P * B, T, r)
    volts = jnp.moveaxis(hardware.dac.voltages(rows), 1, 0)  # (T, P * B, r)
    tiles, r, slices, n = settled.matrix.shape
    currents = jnp.matmul(volts, settled.matrix.reshape(tiles, r, slices * n), precision=lax.Precision.HIGHEST)
    return currents.reshape(tiles, len(digits), -1, slices, n), step / unit_current(hardware), place


def convert(currents: Float[Array, "T P B S N"], hardware: Hardware, settings: Settings, *, rows: int) -> jax.Array:
    """The currents as the ADC reports them, ampere; unchanged where there is no ADC."""
    if settings.adc_bits is None:
        return currents
    limit = settings.adc_range
    if limit is None:
        largest = rows * hardware.dac.top_digit * hardware.encoding.top_digit
        limit = full_scale(settings.adc_bits, largest, unit_current(hardware))
    return hardware.adc.convert(currents, settings.adc_bits, limit)


def weight_digits(
    w: Float[Array, "n_in n_out"], hardware: Hardware, settings: Settings
) -> tuple[Float[Array, "S n_in n_out"], jax.Array, Float[Array, " S"]]:
    """Signed digits of the weights, the value of one code, and the slices' place values (zero for slices not in use)."""
    limit = jnp.max(jnp.abs(w)) if settings.weight_range is None else settings.weight_range
    if settings.weight_bits is None:
        step = jnp.where(limit > 0, limit, 1).astype(w.dtype)
        return (clip_through(w, -limit, limit) / step)[None], step, jnp.ones(1, w.dtype)
    codes, step = quantize(w, limit, settings.weight_bits)
    used = mapping.slices.in_use(jnp.round(settings.weight_bits) - 1, hardware.encoding.cell_bits)
    assert settings.slices is not None  # `complete` filled it in
    digits = mapping.slices.split(codes, settings.slices, hardware.encoding.cell_bits, used)
    return digits, step, mapping.slices.weights(settings.slices, hardware.encoding.cell_bits, used, w.dtype)


def input_digits(
    x: Float[Array, "B n_in"], hardware: Hardware, settings: Settings
) -> tuple[Float[Array, "P B n_in"], jax.Array, Float[Array, " P"]]:
    """Signed digits of the inputs, the value of one code, and the phases' place values (zero for phases not in use)."""
    limit = jnp.max(jnp.abs(x)) if settings.input_range is None else jnp.asarray(settings.input_range, x.dtype)
    if settings.input_bits is None:
        step = jnp.where(limit > 0, limit, 1)
        return (clip_through(x, -limit, limit) / step)[None], step, jnp.ones(1, x.dtype)
    codes, step = quantize(x, limit, settings.input_bits, signed=settings.input_signed)
    bits = magnitude_bits(jnp.round(settings.input_bits), signed=settings.input_signed)
    assert settings.phases is not None
    used = mapping.slices.in_use(bits, hardware.dac.bits)
    digits = mapping.slices.split(codes, settings.phases, hardware.dac.bits, used)
    return digits, step, mapping.slices.weights(settings.phases, hardware.dac.bits, used, x.dtype)


def _per_tile(draw: Callable[..., Any], tree: Any, key: jax.Array | None) -> Any:
    """draw(tree, key) with a key of its own, fold_in of its index, for each tile; leaves are (S, 2, T, C, r, c)."""
    if key is None:
        return draw(tree, None)
    row_tiles, col_tiles = jax.tree.leaves(tree)[0].shape[2:4]
    indices = jnp.arange(row_tiles * col_tiles, dtype=jnp.uint32).reshape(row_tiles, col_tiles)
    over_columns = jax.vmap(lambda part, index: draw(part, fold_index(key, index)), in_axes=(2, 0), out_axes=2)
    return jax.vmap(over_columns, in_axes=(2, 0), out_axes=2)(tree, indices)


def unit_current(hardware: Hardware) -> jax.Array | float:
    """Ampere: the current of one weight digit under one input digit, without wires."""
    level = (hardware.device.g_max - hardware.device.g_min) / hardware.encoding.top_digit
    return level * hardware.dac.volt_per_digit


def tiling(shape: tuple[int, ...], hardware: Hardware) -> mapping.Tiling:
    """How a matrix of `shape` (n_in, n_out) lies on the arrays of this hardware."""
    return mapping.Tiling(shape[0], shape[1], hardware.rows, hardware.cols)


def _as_array(name: str, value: Any, dims: int | None = None) -> jax.Array:
    """`value`, whole numbers and NumPy arrays too, in float32 or float64; half precision cannot hold conductances."""
    array = jnp.asarray(value)
    if dims is not None and array.ndim != dims:
        raise UserError(f"{name} has shape {array.shape}; give {dims} axes.")
    known = concrete(array)
    if known is not None and not np.isfinite(known).all():
        raise UserError(f"{name} holds NaN or infinite values; give finite numbers.")
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32) if floating else float)
