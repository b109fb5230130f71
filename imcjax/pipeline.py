"""The path of a matrix-vector product through the hardware, one stage a line.

    weights --- codes --- digits --- tiles --- conductances --- devices --+
                                                                          +-- wires -- ADC -- shift and add --- outputs
    inputs ---- codes --- digits --- rows of tiles --- voltages ----------+

`program` goes from weights to the state of one chip, `settle` from that state to the matrix its columns answer with, `multiply`
from inputs to outputs; `read` is the last two, `mvm` is all of it. Axes are named in the comments: S weight slices, D cells of
a digit, K columns that are converted by themselves for a digit, P input phases, T row tiles, C column tiles, r rows and c
columns of a tile, B batch, N outputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax import crossbar, mapping
from imcjax.converters import accumulate, full_scale
from imcjax.errors import UserError, concrete
from imcjax.hardware import Hardware, check
from imcjax.keys import fold_index, fold_name
from imcjax.pytree import record, static
from imcjax.quantize import clip_through, quantize, round_through
from imcjax.settings import Settings, complete, magnitude_bits


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
      dac, adc, noise, gains, offsets, weight_step, slice_weights: as in `Programmed`.
      n_in: inputs of the layer (static).
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
    tiles = layout.cut(digits.values)  # (S, T, C, r, c)
    write = _one_after_another if encoding.sequential else _at_once
    state = write(tiles, digits.zero, hardware, key)
    gains, offsets = encoding.decoding(tiles, baseline(hardware), digits.zero)
    noise, gains = _readout(tiles, digits.zero, gains, hardware)
    noise, gains, offsets = (_by_output(x, layout) for x in (noise, gains, offsets))
    adc = None if hardware.adc.bits is None else _converters(hardware, layout, len(tiles), fold_name(key, "adc"), w.dtype)
    own = fold_name(key, "readout") if hardware.readout.drawn else None
    lines = (layout.row_tiles, layout.tile_rows * encoding.rows_per_input)
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
    g = _apart(conductances(programmed, hardware, key=key, time=time), programmed.weight_step)
    return columns(programmed, answers(g, hardware, key=programmed.key), hardware)


def conductances(
    programmed: Programmed, hardware: Hardware, *, key: jax.Array | None = None, time: jax.Array | float = 0.0
) -> Float[Array, "S D T C r c"]:
    """The cells of a chip at one read, siemens: slices, the cells of a digit, tiles, rows and columns."""
    check(hardware)
    return _per_tile(lambda state, own: hardware.device.read(state, own, time), programmed.state, key)


def answers(g: Float[Array, "S D T C r c"], hardware: Hardware, *, key: jax.Array | None = None) -> Float[Array, "S D T C r c"]:
    """What each physical column answers per volt on each row: ampere or volt, as the readout has it.

    Interleaved pairs meet at one bitline, which answers with their difference: their D is 1. The key draws the parts of the
    readout, where it has any.
    """
    read_out = partial(hardware.readout.respond, wires=hardware.wires, solver=hardware.solver)
    if not hardware.encoding.interleaved:
        return read_out(g) if key is None else _per_tile(lambda tile, own: read_out(tile, key=own), g, key)
    if hardware.readout.kind == "current" and hardware.wires is not None:
        pairs = jnp.moveaxis(g, 1, -3)
        return crossbar.transfer_matrix(pairs, hardware.wires, topology="interleaved", solver=hardware.solver)[:, None]
    both = jnp.concatenate([g[:, :1], g[:, 1:]], -2)
    s = read_out(both) if key is None else _per_tile(lambda tile, own: read_out(tile, key=own), both, key)
    return s[..., : g.shape[-2], :] - s[..., g.shape[-2] :, :]


def columns(programmed: Programmed, s: Float[Array, "S D T C r c"], hardware: Hardware) -> Settled:
    """What the arrays answer as one matrix for each converted column of a digit: tiles side by side."""
    layout = tiling((programmed.n_in, programmed.n_out), hardware)
    joined = layout.join_columns(hardware.encoding.respond(s))  # (K, S, T, r, N)
    names = ("dac", "adc", "noise", "gains", "offsets", "weight_step", "slice_weights", "n_in")
    return Settled(jnp.moveaxis(joined, 1, -2), **{name: getattr(programmed, name) for name in names})


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
    currents, sums, step, place = column_currents(settled, x, hardware, settings)  # (K, T, P, B, S, N), (T, P, B)
    if settled.noise is not None and key is not None:
        thermal = jax.random.normal(fold_name(key, "thermal"), currents.shape, currents.dtype)
        currents += settled.noise[:, :, None, None] * thermal
    levels = convert(
        currents, hardware, settings, rows=settled.matrix.shape[2], state=settled.adc, key=fold_name(key, "conversion")
    )
    if settled.gains is not None:
        levels = levels * settled.gains[:, :, None, None]
    # Highest precision: accelerators round the factors of a product to 8 or 11 bits otherwise.
    total = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    y = total("ktpbsn,p,s->bn", levels, place, settled.slice_weights)
    if settled.offsets is not None:
        y += total("tpb,p,tsn,s->bn", sums, place, settled.offsets, settled.slice_weights)
    return (y * (step * settled.weight_step)).reshape(*np.shape(x)[:-1], y.shape[-1])


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
    layout, encoding = tiling((settled.n_in, settled.matrix.shape[-1]), hardware), hardware.encoding
    rows = jnp.moveaxis(layout.cut_rows(digits.reshape(-1, settled.n_in)), 1, 0)  # (T, P * B, r)
    volts = hardware.dac.voltages(encoding.drive(rows), jax.tree.map(lambda leaf: leaf[:, None], settled.dac))
    k, tiles, r, slices, n = settled.matrix.shape
    currents = jnp.matmul(volts, settled.matrix.reshape(k, tiles, r, slices * n), precision=lax.Precision.HIGHEST)
    sums = encoding.input_sum(rows).reshape(tiles, len(digits), -1)
    currents = currents.reshape(k, *sums.shape, slices, n)
    if hardware.accumulation == "analog":
        currents, sums, place = _share_charge(currents, sums, place, hardware)
    return currents, sums, step, place


def convert(
    currents: Float[Array, "K T P B S N"],
    hardware: Hardware,
    settings: Settings,
    *,
    rows: int,
    state: Any = None,
    key: jax.Array | None = None,
) -> jax.Array:
    """The currents (ampere) as the ADC reports them, in levels: units of `unit_current`. Where there is no ADC, as they are.

    Currents that cannot be negative use all codes of the ADC: they are converted around the middle of the range. A readout in
    volts is converted in volts, and gains make levels of them.
    """
    unit = 1.0 if hardware.readout.unit == "V" else unit_current(hardware)
    levels = currents / unit
    if hardware.readout.kind == "digital" and settings.input_bits is not None and settings.weight_bits is not None:
        return round_through(levels)  # counted, not converted
    if settings.adc_bits is None:
        return levels
    limit = full_scale_levels(hardware, settings, rows) if settings.adc_range is None else settings.adc_range / unit
    state = jax.tree.map(lambda leaf: leaf[:, :, None, None], state)
    return as_converted(hardware, settings, levels, limit, state, key)


def as_converted(
    hardware: Hardware, settings: Settings, values: jax.Array, limit: Any, state: Any = None, key: jax.Array | None = None
) -> jax.Array:
    """Values (...) as the ADC reports them, in the unit of its range `limit`."""
    converted = partial(hardware.adc.convert, bits=settings.adc_bits, current_range=limit, state=state, key=key)
    if signed_currents(hardware, settings) or getattr(hardware.adc, "polarity", "signed") == "unsigned":
        return converted(values)
    return 0.5 * (converted(2 * values - limit) + limit)


def quickly_wired(hardware: Hardware) -> Hardware:
    """The same with the fast approximation of wires, where there is one: for ranges and searches."""
    approximated = hardware.wires is not None and hardware.readout.kind == "current"
    return hardware.replace(solver="pade") if approximated else hardware


def signed_currents(hardware: Hardware, settings: Settings) -> bool:
    """Whether the current of a converted column can be negative.

    Raises:
      UserError: it can, and the ADC converts none that is.
    """
    driven = settings.input_signed and hardware.encoding.rows_per_input == 1
    driven = driven and hardware.dac.sign_phases(signed=True) == 0
    signed = bool(driven or hardware.encoding.signed_columns)
    if signed and getattr(hardware.adc, "polarity", "signed") == "unsigned":
        raise UserError(
            "hardware.adc.polarity is 'unsigned', but column currents can be negative here; give polarity 'signed', or single "
            "cells (encoding offset or twos_complement) with inputs that are never negative or sent in two's complement."
        )
    return signed


def full_scale_levels(hardware: Hardware, settings: Settings, rows: int) -> jax.Array:
    """Levels at the largest code of an uncalibrated ADC on arrays of so many rows: nothing that can arrive clips.

    Volts, where the readout answers in volts: none exceeds that of the wordlines.
    """
    shared = hardware.accumulation == "analog"
    if hardware.readout.unit == "V":
        return jnp.asarray(hardware.dac.v_read / (2**hardware.dac.bits - 1 if shared else 1), dtype=float)
    inputs = rows // hardware.encoding.rows_per_input
    # Phases that share their charge make less than that of digit one, in steps of what the first phase leaves.
    largest = inputs * (1.0 if shared else hardware.dac.top_digit) * hardware.encoding.largest(baseline(hardware))
    whole = settings.input_bits is not None and settings.weight_bits is not None and hardware.dac.kind != "uniform"
    finest = -float(hardware.dac.bits * (settings.phases or 1)) if shared else 0.0
    finest = finest if whole else -64.0  # nothing is lost at any LSB: as fine as the range allows
    return full_scale(settings.adc_bits, largest, signed=signed_currents(hardware, settings), finest=finest)


def weight_digits(w: Float[Array, "n_in n_out"], hardware: Hardware, settings: Settings) -> tuple[mapping.Digits, jax.Array]:
    """Digits of the weights as the encoding holds them, and the value of one code."""
    encoding = hardware.encoding
    limit = encoding.default_range(w) if settings.weight_range is None else settings.weight_range
    codes, step = encoding.codes(w, limit, settings.weight_bits)
    assert settings.slices is not None  # `complete` filled it in
    return encoding.split(codes, settings.weight_bits, settings.slices), step


def input_digits(
    x: Float[Array, "B n_in"], hardware: Hardware, settings: Settings
) -> tuple[Float[Array, "P B n_in"], jax.Array, Float[Array, " P"]]:
    """Digits of the inputs, the value of digit one of the first phase, and the phases' place values (zero: not in use)."""
    dac, bits, signed = hardware.dac, settings.input_bits, settings.input_signed
    limit = jnp.max(jnp.abs(x)) if settings.input_range is None else jnp.asarray(settings.input_range, x.dtype)
    if bits is None:
        step = jnp.where(limit > 0, limit, 1)
        return (clip_through(x, -limit, limit) / step)[None], step, jnp.ones(1, x.dtype)
    if dac.kind == "uniform":
        levels, step = dac.nearest(x, limit, bits, signed=signed)
        return levels[None], step, jnp.ones(1, x.dtype)
    codes, step = quantize(x, limit, bits, signed=signed)
    assert settings.phases is not None
    if dac.sign_phases(signed=signed):
        digits, place = mapping.slices.twos_complement(codes, bits, settings.phases, dac.bits)
        return digits, step, place
    used = mapping.slices.in_use(magnitude_bits(jnp.round(bits), signed=signed), dac.bits)
    digits = mapping.slices.split(codes, settings.phases, dac.bits, used)
    return digits, step, mapping.slices.weights(settings.phases, dac.bits, used, x.dtype)


def _apart(g: jax.Array, weight_step: jax.Array) -> jax.Array:
    """`g`, computed before anything is done with it; NaN for weights that are no numbers.

    XLA would otherwise compute it, random numbers and all, inside of what follows, which takes ten times as long on a CPU (jax
    0.10.1); it does not look behind a branch.
    """
    return lax.cond(jnp.isnan(weight_step), lambda g: jnp.full_like(g, jnp.nan), lambda g: g, g)


def _at_once(tiles: jax.Array, zero: jax.Array | None, hardware: Hardware, key: jax.Array | None) -> Any:
    """The state of the cells (S, D, T, C, r, c) of all slices."""
    targets = hardware.encoding.encode(tiles, hardware.device.g_min, hardware.device.g_max, zero)
    return _per_tile(hardware.device.program, targets, key)


def _one_after_another(tiles: jax.Array, zero: jax.Array | None, hardware: Hardware, key: jax.Array | None) -> Any:
    """As `_at_once`, but each slice makes up for what the one before it was measured to miss."""
    states, target = [], tiles[:1]
    for s in range(len(tiles)):
        states.append(_at_once(target, zero, hardware, fold_index(key, s)))
        held = hardware.encoding.respond(hardware.device.read(states[-1]))[0]
        level = (hardware.device.g_max - hardware.device.g_min) / hardware.encoding.top_digit
        target = hardware.encoding.missing(held / level, target)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *states)


def _share_charge(
    currents: Float[Array, "K T P B S N"], sums: Float[Array, "T P B"], place: Float[Array, " P"], hardware: Hardware
) -> tuple[Float[Array, "K T 1 B S N"], Float[Array, "T 1 B"], Float[Array, " 1"]]:
    """All phases as one: the charge they share, the inputs' sum that belongs to it, and its place value."""
    shared, value = accumulate.share_charge(jnp.moveaxis(currents, 2, 0), hardware.dac.bits, place > 0)
    of_inputs = jnp.einsum("tpb,p->tb", sums, place, precision=lax.Precision.HIGHEST) / value
    return shared[:, :, None], of_inputs[:, None], value[None]


def _readout(tiles: Float[Array, "S T C r c"], zero: jax.Array | None, gains: Any, hardware: Hardware) -> tuple[Any, Any]:
    """Thermal noise (K, S, T, C, 1, c) of each converted column, and gains (same shape) that make levels of what it shows."""
    readout, encoding = hardware.readout, hardware.encoding
    if readout.unit == "A":
        return None, gains
    targets = encoding.encode(tiles, hardware.device.g_min, hardware.device.g_max, zero)
    if encoding.interleaved:
        targets = jnp.concatenate([targets[:, :1], targets[:, 1:]], -2)
    per_level = readout.unit_per_siemens(targets) * unit_current(hardware)
    per_level = encoding.respond(jnp.broadcast_to(per_level, (*targets.shape[:-2], 1, targets.shape[-1])))
    to_levels = jnp.where(per_level > 0, 1 / jnp.where(per_level > 0, per_level, 1), 0)
    sigma = readout.noise_sigma(targets)
    noise = encoding.respond(sigma[..., None, :]) if readout.noisy else None
    return noise, to_levels if gains is None else to_levels * gains


def _by_output(x: Any, layout: mapping.Tiling) -> Any:
    """(..., S, T, C, 1, c) of tiles as (..., T, S, N)."""
    return None if x is None else jnp.swapaxes(layout.join_columns(x)[..., 0, :], -3, -2)


def _converters(hardware: Hardware, layout: mapping.Tiling, slices: int, key: jax.Array | None, dtype: Any) -> Any:
    """The state of the ADC that each column is converted by, (K, T, S, N, ...): `share` neighbours have the same one."""
    shape = (hardware.encoding.columns, layout.row_tiles, slices, layout.col_tiles, layout.tile_cols)
    drawn = hardware.adc.draw(shape, key, dtype)
    turns = jnp.floor(jnp.arange(layout.tile_cols) / hardware.adc.share).astype(int)
    # A reference column is one, whatever column it is taken from.
    first = jnp.minimum(jnp.arange(shape[0]), hardware.encoding.extra_columns)[:, None] > 0
    turns = jnp.where(first, 0, turns)  # (K, c)

    def by_column(leaf: jax.Array) -> jax.Array:
        shared = jax.vmap(lambda part, turn: jnp.take(part, turn, axis=3))(leaf, turns)
        return shared.reshape(*shape[:3], -1, *leaf.shape[5:])[:, :, :, : layout.n_out]

    return jax.tree.map(by_column, drawn)


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


def baseline(hardware: Hardware) -> jax.Array | float:
    """What a cell at digit zero adds to a column, in levels."""
    if not hardware.readout.shows_g_min:
        return 0.0
    device = hardware.device
    return device.g_min * hardware.encoding.top_digit / (device.g_max - device.g_min)


def tiling(shape: tuple[int, ...], hardware: Hardware) -> mapping.Tiling:
    """How a matrix of `shape` (n_in, n_out) lies on the arrays of this hardware."""
    return mapping.Tiling(shape[0], shape[1], *usable(hardware), hardware.partition)


def usable(hardware: Hardware) -> tuple[int, int]:
    """Inputs and outputs of the largest matrix that one array takes."""
    return hardware.rows // hardware.encoding.rows_per_input, hardware.cols - hardware.encoding.extra_columns


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
