"""The pace at which ranges are learned beside weights: that of LSQ, whatever the batch and the size of the layer."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from imcjax.converters import learned_range
from imcjax.hardware import Hardware
from imcjax.layout import by_column, tiling
from imcjax.settings import Settings, complete


def paced(settings: Settings, x: jax.Array, w: jax.Array, hardware: Hardware) -> Settings:
    """The same settings; the gradients of static ranges are scaled by how many values of this call share each.

    See `imcjax.converters.learned_range`: with 1 / sqrt(count * largest code), as LSQ scales those of its steps.

    Args:
      settings: the layer's.
      x: (..., groups, n_in) inputs.
      w: (groups, n_in, n_out) weights.
      hardware: the technology.
    """
    filled = complete(settings, hardware)
    columns, tiles = hardware.encoding.columns, tiling(w.shape[1:], hardware).row_tiles
    phases = 1 if hardware.accumulation == "analog" else filled.phases or 1
    sums = math.prod(x.shape[:-1]) * w.shape[-1] * (filled.slices or 1) * phases * tiles * columns
    bits = by_column(filled.adc_bits, w.shape[-1])

    def scaled(limit: Any, count: int, width: Any, *, signed: bool = True) -> Any:
        return limit if limit is None or width is None else learned_range(limit, count, width, signed=signed)

    # Of widths that differ by column under one range the mean counts.
    if jnp.ndim(bits) == 1 and (jnp.ndim(filled.adc_range) == 0 or jnp.shape(filled.adc_range)[-1] == 1):
        bits = jnp.mean(bits)
    each = max(1, sums // max(1, jnp.size(filled.adc_range))) if filled.adc_range is not None else 1
    return settings.replace(
        weight_range=scaled(settings.weight_range, w.size, filled.weight_bits),
        input_range=scaled(settings.input_range, x.size, filled.input_bits, signed=settings.input_signed),
        adc_range=scaled(settings.adc_range, each, bits),
    )
