"""Column currents -> levels: what the ADCs make of them, in units of one weight digit under one input digit."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax import curves, mapping
from imcjax.converters import accumulate, full_scale
from imcjax.devices import bends
from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.layout import by_column, by_copy
from imcjax.quantize import round_through
from imcjax.settings import Settings


def convert(
    currents: Float[Array, "K T P B S N"],
    hardware: Hardware,
    settings: Settings,
    layout: mapping.Tiling,
    *,
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
    settings = settings.replace(adc_bits=by_column(settings.adc_bits, layout.n_out))
    rows = layout.tile_rows * hardware.encoding.rows_per_input
    limit = full_scale_levels(hardware, settings, rows) if settings.adc_range is None else settings.adc_range / unit
    # Copies have an axis of their own, so that ranges of tiles are the same for all of them.
    state = jax.tree.map(lambda leaf: by_copy(leaf, layout, 1)[:, :, :, None, None], state)
    return as_converted(hardware, settings, by_copy(levels, layout, 1), limit, state, key).reshape(levels.shape)


def share_charge(
    currents: Float[Array, "K T P B S N"], sums: Float[Array, "T P B"], place: Float[Array, " P"], hardware: Hardware
) -> tuple[Float[Array, "K T 1 B S N"], Float[Array, "T 1 B"], Float[Array, " 1"]]:
    """All phases as one: the charge they share, the inputs' sum that belongs to it, and its place value."""
    shared, value = accumulate.share_charge(jnp.moveaxis(currents, 2, 0), hardware.dac.bits, place > 0)
    of_inputs = jnp.einsum("tpb,p->tb", sums, place, precision=lax.Precision.HIGHEST) / value
    return shared[:, :, None], of_inputs[:, None], value[None]


def noise_of_phases(place: Float[Array, " P"], hardware: Hardware) -> jax.Array | float:
    """The readout's noise as it is converted, over that of one phase: phases that share their charge share their noise."""
    if hardware.accumulation != "analog":
        return 1.0
    return jnp.sqrt((1 - place[0] ** -2) / (4**hardware.dac.bits - 1))


def as_converted(
    hardware: Hardware, settings: Settings, values: jax.Array, limit: Any, state: Any = None, key: jax.Array | None = None
) -> jax.Array:
    """Values (...) as the ADC reports them, in the unit of its range `limit`."""
    converted = partial(hardware.adc.convert, bits=settings.adc_bits, current_range=limit, state=state, key=key)
    if signed_currents(hardware, settings) or getattr(hardware.adc, "polarity", "signed") == "unsigned":
        return converted(values)
    return 0.5 * (converted(2 * values - limit) + limit)


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
    largest = largest * curves.steepest(hardware)
    whole = settings.input_bits is not None and settings.weight_bits is not None and hardware.dac.kind != "uniform"
    whole = whole and not bends(hardware.device)
    finest = -float(hardware.dac.bits * (settings.phases or 1)) if shared else 0.0
    finest = finest if whole else -64.0  # nothing is lost at any LSB: as fine as the range allows
    return full_scale(settings.adc_bits, largest, signed=signed_currents(hardware, settings), finest=finest)


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
