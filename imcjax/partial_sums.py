"""The partial sums of a layer and the codes that its ADCs give them: whole numbers, for checks and for other simulators."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax import conversion, pipeline
from imcjax.errors import UserError
from imcjax.hardware import Hardware, check
from imcjax.layout import by_column, by_copy, tiling
from imcjax.settings import Settings, complete


class PartialSums(NamedTuple):
    """What one layer's columns say of a batch, without noise. Axes as in `imcjax.pipeline`.

    Attributes:
      sums: (K, T, P, B, S, N) what arrives at the ADCs, in levels: the current of one weight digit under one input digit. Whole
        numbers where cells and wires are ideal and cells at digit zero conduct nothing.
      codes: the same shape, int32: the code of each conversion, 0 for the lowest level; None where nothing is converted.
      levels: how many levels the ADC has, broadcasting against the codes; None with them.
      lowest, step: (T or 1, P or 1, 1, S or 1, N or 1) what code 0 says, and what a code more adds, in levels; None with them.
      place: (P,) place values of the phases. slice_weights: (S,) of the slices.
    """

    sums: jax.Array
    codes: jax.Array | None
    levels: Any
    lowest: Any
    step: Any
    place: jax.Array
    slice_weights: jax.Array


def levels_of(adc: Any, bits: Any) -> jax.Array:
    """How many equally spaced levels an ADC of `bits` bits has.

    Raises:
      UserError: its levels are not equally spaced.
    """
    bits = jnp.round(jnp.asarray(bits, dtype=float))
    if adc.kind == "sign_magnitude":
        return jnp.exp2(bits) - 1
    if adc.kind == "searched":  # a sense amplifier at one bit, nothing at none
        return jnp.where(bits < 1.5, jnp.exp2(bits), jnp.exp2(bits) - 1)
    if not hasattr(adc, "polarity"):
        raise UserError(f"The levels of an ADC of kind {adc.kind!r} are not equally spaced, so it has no codes to compare.")
    return jnp.exp2(bits)


def partial_sums(
    x: Float[Array, "B n_in"], w: Float[Array, "n_in n_out"], hardware: Hardware, settings: Settings | None = None
) -> PartialSums:
    """The sums and codes behind `imcjax.mvm(x, w, hardware, settings)` without noise.

    Raises:
      UserError: as for `mvm`; several copies of the layer, or an ADC whose levels are not equally spaced.
    """
    check(hardware)
    settings = complete(settings, hardware)
    if settings.replicas != 1:
        raise UserError(f"settings.replicas is {settings.replicas}; all copies say the same without noise, so give 1.")
    layout = tiling(w.shape, hardware)
    chip = pipeline.settle(pipeline.program(w, hardware, settings), hardware)
    currents, _, _, place = pipeline.column_currents(chip, x, hardware, settings)
    unit = 1.0 if hardware.readout.unit == "V" else conversion.unit_current(hardware)
    if settings.adc_bits is None:
        return PartialSums(currents / unit, None, None, None, None, place, chip.slice_weights)
    rows = layout.tile_rows * hardware.encoding.rows_per_input
    settings = settings.replace(adc_bits=by_column(settings.adc_bits, w.shape[1]))
    limit = conversion.full_scale_levels(hardware, settings, rows) if settings.adc_range is None else settings.adc_range / unit
    found = by_copy(conversion.convert(currents, hardware, settings, layout), layout, 1)[:, 0]
    levels = levels_of(hardware.adc, settings.adc_bits)
    unsigned = getattr(hardware.adc, "polarity", "signed") == "unsigned" or not conversion.signed_currents(hardware, settings)
    lowest = jnp.zeros_like(limit) if unsigned else -jnp.asarray(limit)
    step = (limit - lowest) / jnp.maximum(levels - 1, 1)
    codes = jnp.round((found - lowest) / step).astype(jnp.int32)
    return PartialSums(currents / unit, codes, levels, lowest, step, place, chip.slice_weights)
