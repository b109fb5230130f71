"""The path of a matrix-vector product through the hardware, one stage a line.

    weights --- codes --- digits --- tiles --- conductances --- devices --+
                                                                          +-- wires -- ADC -- shift and add --- outputs
    inputs ---- codes --- digits --- rows of tiles --- voltages ----------+

`program` goes from weights to the state of one chip, `settle` from that state to the matrix its columns answer with, `multiply`
from inputs to outputs; `read` is the last two, `mvm` is all of it. Axes are named in the comments: S weight slices, D cells of
a digit, K columns that are converted by themselves for a digit, P input phases, T row tiles, C column tiles, r rows and c
columns of a tile, B batch, N outputs. Where a layer is there several times (`Settings.replicas`), the row tiles of its copies
follow one another along T, and B counts the turns in which the copies take the batch.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax import answers
from imcjax.conversion import baseline, convert, noise_of_phases, share_charge
from imcjax.devices import bends
from imcjax.digits import input_digits, weight_digits
from imcjax.errors import UserError, concrete
from imcjax.fabrication import at_once, converters, one_after_another, readout_scale
from imcjax.fast_random import normal
from imcjax.hardware import Hardware, check
from imcjax.keys import fold_name
from imcjax.layout import by_copy, by_output, copied, deal, kept_by_tile, one_reference, per_tile, tiling
from imcjax.pytree import record, static
from imcjax.settings import Settings, complete


@record
class Programmed:
    """One chip's layer.

    Attributes:
      state: the devices' state, leaves (S, D, T, C, r, c).
      dac: the wordline drivers' state, leaves (T, r, ...); None where they are nominal.
      adc: the converters' state, leaves (K, T, S, N, ...); None where they are nominal.
      noise: (K, T, S, N) standard deviation of the readout's thermal noise, in its unit; None: no noise.
      key: what the parts of the readout were drawn from; None: nominal ones.
      gains: (K, T, S, N) by which the digital side multiplies what each column shows; None: 1.
      offsets: (T, S, N) levels for each unit of the inputs' sum, which it adds; None: 0.
      weight_step: value of one weight code, in units of w (of the whole range where weights are continuous).
      slice_weights: (S,) place value of each slice, zero for slices not in use.
      n_in, n_out: shape of the weight matrix (static).
    """

    state: Any
    dac: Any
    adc: Any
    noise: Any
    key: Any
    gains: Any
    offsets: Any
    weight_step: jax.Array
    slice_weights: jax.Array
    n_in: int = static()
    n_out: int = static()


@record
class Settled:
    """One chip's layer at the moment of a read: what its columns answer with, wires included.

    Attributes:
      matrix: (K, T, r, S, N) what each converted column answers per volt on each row: ampere, or volt, as the readout has it.
        Of cells with a curve more than that: see `imcjax.answers`.
      dac, adc, noise, gains, offsets, weight_step, slice_weights, n_in, n_out: as in `Programmed`.
    """

    matrix: jax.Array
    dac: Any
    adc: Any
    noise: Any
    gains: Any
    offsets: Any
    weight_step: jax.Array
    slice_weights: jax.Array
    n_in: int = static()
    n_out: int = static()


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
    digits, step = weight_digits(w, hardware, settings)
    layout, encoding = tiling(w.shape, hardware), hardware.encoding
    tiles = copied(layout.cut(digits.values), settings.replicas)  # (S, T, C, r, c)
    write = one_after_another if encoding.sequential else at_once
    state = write(tiles, digits.zero, hardware, key)
    gains, offsets = encoding.decoding(tiles, baseline(hardware), digits.zero)
    noise, gains = readout_scale(tiles, digits.zero, gains, hardware)
    noise, gains, offsets = (by_output(x, layout) for x in (noise, gains, offsets))
    adc = None if hardware.adc.bits is None else converters(tiles, hardware, layout, fold_name(key, "adc"))
    own = fold_name(key, "readout") if hardware.readout.drawn else None
    lines = (tiles.shape[1], layout.tile_rows * encoding.rows_per_input)
    dac = hardware.dac.draw(lines, fold_name(key, "dac"), w.dtype)
    return Programmed(state, dac, adc, noise, own, gains, offsets, step, digits.place, *w.shape)


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
    return multiply(settle(programmed, hardware, key=key, time=time), x, hardware, settings, key=fold_name(key, "adc"))


def settle(
    programmed: Programmed, hardware: Hardware, *, key: jax.Array | None = None, time: jax.Array | float = 0.0
) -> Settled:
    """The matrix that a chip's columns answer with at one read: worth keeping where many inputs follow."""
    g = conductances(programmed, hardware, key=key, time=time)
    return columns(programmed, answers.of_cells(g, hardware, key=programmed.key), hardware)


def conductances(
    programmed: Programmed, hardware: Hardware, *, key: jax.Array | None = None, time: jax.Array | float = 0.0
) -> Float[Array, "S D T C r c"]:
    """The cells of a chip at one read, siemens: slices, the cells of a digit, tiles, rows and columns."""
    check(hardware)
    g = per_tile(lambda state, own: hardware.device.read(state, own, time), programmed.state, key)
    # Random numbers in what follows, a difference of columns say, take XLA ten times as long.
    return kept_by_tile(g, number=programmed.weight_step)


def columns(programmed: Programmed, s: Float[Array, "S D T C r c"], hardware: Hardware) -> Settled:
    """What the arrays answer as one matrix for each converted column of a digit: tiles side by side."""
    matrix = answers.side_by_side(s, hardware, tiling((programmed.n_in, programmed.n_out), hardware))
    names = ("dac", "adc", "noise", "gains", "offsets", "weight_step", "slice_weights", "n_in", "n_out")
    return Settled(matrix, **{name: getattr(programmed, name) for name in names})


def multiply(
    settled: Settled,
    x: Float[Array, "... n_in"],
    hardware: Hardware,
    settings: Settings | None = None,
    *,
    key: jax.Array | None = None,
) -> Float[Array, "... n_out"]:
    """Inputs (..., n_in) through a settled chip; the key is for noise of the conversions.

    Raises:
      UserError: shapes that do not fit, hardware or settings out of range.
    """
    check(hardware)
    settings = complete(settings, hardware)
    currents, sums, step, place = column_currents(settled, x, hardware, settings)
    y = outputs(settled, currents, sums, place, hardware, settings, key=key)
    y = y.reshape(-1, settled.n_out)[: math.prod(np.shape(x)[:-1])]
    return (y * (step * settled.weight_step)).reshape(*np.shape(x)[:-1], settled.n_out)


def outputs(
    settled: Settled,
    currents: Float[Array, "K T P B S N"],
    sums: Float[Array, "T P B"] | None,
    place: Float[Array, " P"],
    hardware: Hardware,
    settings: Settings,
    *,
    key: jax.Array | None = None,
) -> Float[Array, "B copies N"]:
    """Column currents converted, shifted and added, in products of codes; the sums are for chips with offsets."""
    layout = tiling((settled.n_in, settled.n_out), hardware)
    references = partial(one_reference, layout=layout) if hardware.encoding.extra_columns else lambda values: values
    if settled.noise is not None and key is not None:
        thermal = normal(fold_name(key, "thermal"), currents.shape, currents.dtype) * noise_of_phases(place, hardware)
        currents += settled.noise[:, :, None, None] * references(thermal)
    levels = references(convert(currents, hardware, settings, layout, state=settled.adc, key=fold_name(key, "conversion")))
    if settled.gains is not None:
        levels = levels * settled.gains[:, :, None, None]
    # Highest precision: accelerators round the factors of a product to 8 or 11 bits otherwise. z counts copies.
    total = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    y = total("kztpbsn,p,s->bzn", by_copy(levels, layout, 1), place, settled.slice_weights)
    if settled.offsets is not None:
        sums, offsets = by_copy(sums, layout, 0), by_copy(settled.offsets, layout, 0)
        y += total("ztpb,p,ztsn,s->bzn", sums, place, offsets, settled.slice_weights)
    return y


def column_currents(
    settled: Settled, x: Float[Array, "... n_in"], hardware: Hardware, settings: Settings
) -> tuple[Float[Array, "K T P B S N"], Float[Array, "T P B"], jax.Array, Float[Array, " P"]]:
    """Column currents as they are converted, ampere; the sums of input digits; the value of an input code; the phases' places.

    Phases that share their charge are one.
    """
    x = _as_array("x", x)
    if x.shape[-1:] != (settled.n_in,):
        raise UserError(f"x has shape {x.shape}; its last axis must have the {settled.n_in} inputs of the programmed weights.")
    digits, step, place = input_digits(x.reshape(-1, x.shape[-1]), hardware, settings)
    layout, encoding = tiling((settled.n_in, settled.n_out), hardware), hardware.encoding
    tiles = answers.row_tiles(settled.matrix, hardware)
    rows = deal(digits, layout, tiles // layout.row_tiles)  # (T, P * B, r)
    volts = hardware.dac.voltages(encoding.drive(rows), jax.tree.map(lambda leaf: leaf[:, None], settled.dac))
    currents = answers.currents(settled.matrix, volts, hardware, layout)
    sums = encoding.input_sum(rows).reshape(tiles, len(digits), -1)
    currents = currents.reshape(len(currents), *sums.shape, *currents.shape[-2:])
    if hardware.accumulation == "analog":
        currents, sums, place = share_charge(currents, sums, place, hardware)
    return currents, sums, step, place


def quickly_wired(hardware: Hardware) -> Hardware:
    """The same with the fast approximation of wires, where there is one: for ranges and searches."""
    approximated = hardware.wires is not None and hardware.readout.kind == "current" and not bends(hardware.device)
    return hardware.replace(solver="pade") if approximated else hardware


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
