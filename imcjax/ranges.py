"""The ranges of a layer's converters, found from samples of what the layer will see."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax import conversion, layout, pipeline
from imcjax.converters import best_range, csnr_range, max_range, percentile_range
from imcjax.errors import UserError, nearest
from imcjax.hardware import Hardware, check
from imcjax.settings import Settings, complete


MAX_VALUES = 1 << 15
"""How many values a range is chosen from: enough for a stable minimum of the squared error."""


RULES = ("mse", "max", "percentile", "csnr")
"""How an ADC range is chosen: least mean squared error, nothing clips, 99.9 % do not clip, or the largest compute
signal-to-noise ratio with the circuit as it is."""
SHARED = {"tensor": (), "tile": (2, 5), "slice": (5,), "column": (5, 6), "tile_column": (2, 5, 6)}
"""What has an ADC range of its own: axes of (groups, K, T, P, samples, S, N)."""


def find_ranges(
    w: Float[Array, "groups n_in n_out"],
    x: Float[Array, "samples groups n_in"],
    hardware: Hardware,
    settings: Settings,
    *,
    rule: str = "mse",
    per: str = "slice",
) -> dict[str, Any]:
    """Weight and input ranges of least mean squared error, and ADC ranges, at the layer's present bit-widths.

    The ADC's are from the noise-free chip; where wires are modelled, the fast approximation of their effect is good enough to
    choose a range by.

    Args:
      w: (groups, n_in, n_out) weights.
      x: (samples, groups, n_in) inputs.
      hardware: the technology.
      settings: the layer's; its widths may be traced, its ranges are ignored.
      rule: how the ADC ranges are chosen, one of `RULES`.
      per: what has an ADC range of its own: "tensor", "tile" (each of its slices), "slice", "column" (of each slice) or
        "tile_column" (of each slice and tile).

    Raises:
      UserError: an unknown rule, or something else to share a range.

    Returns:
      {"weight_range", "input_range", "adc_range"}; None where there is nothing to quantize.
    """
    for name, value, known in (("rule", rule, RULES), ("per", per, SHARED)):
        if value not in known:
            raise UserError(f"{name} is {value!r}{nearest(str(value), known)}.")
    filled = complete(settings, hardware)
    found: dict[str, Any] = dict.fromkeys(("weight_range", "input_range", "adc_range"))
    binary = hardware.encoding.weight_bits == 1
    found["weight_range"] = hardware.encoding.default_range(w) if binary else weight_range(w, filled.weight_bits)
    found["input_range"] = (
        jnp.max(jnp.abs(x))
        if filled.input_bits is None
        else best_range(_thin(x.ravel()), filled.input_bits, signed=settings.input_signed)
    )
    if filled.adc_bits is not None:
        found["adc_range"] = _adc_range(w, x, hardware, filled.replace(**found), rule, per)
    return found


def calibrated_settings(
    w: Float[Array, "n_in n_out"],
    x: Float[Array, "... n_in"],
    hardware: Hardware,
    settings: Settings | None = None,
    *,
    rule: str = "mse",
    per: str = "slice",
) -> Settings:
    """Settings for `imcjax.mvm` of one matrix with the ranges of least squared error for these inputs, and their sign.

    The uncalibrated default spans an ADC over everything that could arrive, which wastes most of its codes.

    Args:
      w: (n_in, n_out) weights.
      x: (..., n_in) inputs as the layer will see them.
      hardware: the technology.
      settings: bit-widths; None: the hardware's widest. Its ranges are replaced.
      rule, per: as for `find_ranges`.
    """
    settings = (Settings() if settings is None else settings).replace(input_signed=bool(jnp.min(x) < 0))
    check(hardware)  # numbers out of range are seen here, and not inside of a program
    complete(settings, hardware)
    found = jitted_find_ranges(
        jnp.asarray(w)[None], jnp.reshape(x, (-1, 1, jnp.shape(x)[-1])), hardware, settings, rule=rule, per=per
    )
    return settings.replace(**found)


# One program instead of some hundred, one for each operation.
jitted_find_ranges = jax.jit(find_ranges, static_argnames=("rule", "per"))


def weight_range(w: Float[Array, "groups n_in n_out"], bits: jax.Array | float | None) -> jax.Array:
    """The weight range of least squared error; max|w| of continuous weights."""
    return jnp.max(jnp.abs(w)) if bits is None else best_range(_thin(w.ravel()), bits)


def _adc_range(w: jax.Array, x: jax.Array, hardware: Hardware, settings: Settings, rule: str, per: str) -> Float[Array, "..."]:
    fast = pipeline.quickly_wired(hardware)
    settings = settings.replace(replicas=1)  # without noise all copies are the same

    def currents(w: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        settled = pipeline.settle(pipeline.program(w, fast, settings), fast)
        amperes, _, _, place = pipeline.column_currents(settled, x, fast, settings)
        return amperes, place[:, None] * settled.slice_weights

    amperes, place = jax.vmap(currents, in_axes=(0, 1))(w, x)  # (groups, K, T, P, samples, S, N), (groups, P, S)
    places = jnp.broadcast_to(place[0][:, None, :, None], amperes.shape)  # zero for phases and slices that are not in use
    widths = jnp.broadcast_to(layout.by_column(settings.adc_bits, w.shape[-1]), amperes.shape)
    kept = SHARED[per]
    shape = [amperes.shape[axis] if axis in kept else 1 for axis in range(2, amperes.ndim)]
    values, places, widths = (jnp.moveaxis(a, kept, range(len(kept))) for a in (amperes, places, widths))
    values, places, widths = (a.reshape(math.prod(shape), -1) for a in (values, places, widths))
    rows = layout.tiling(w.shape[1:], hardware).tile_rows * hardware.encoding.rows_per_input
    unit = 1.0 if hardware.readout.unit == "V" else conversion.unit_current(hardware)
    fallback = jnp.max(conversion.full_scale_levels(hardware, settings, rows)) * unit
    signed = conversion.signed_currents(hardware, settings)

    def one(values: jax.Array, places: jax.Array, widths: jax.Array) -> jax.Array:
        values, places = _thin(values), _thin(places)
        bits = _thin(widths) if jnp.ndim(settings.adc_bits) else settings.adc_bits
        counted = (places != 0).astype(values.dtype)
        if rule == "max":
            return max_range(values, fallback=fallback)
        if rule == "percentile":
            return percentile_range(values, 99.9, weights=counted, fallback=fallback)
        if rule == "csnr":
            converted = partial(conversion.as_converted, hardware, settings.replace(adc_bits=bits))
            return csnr_range(values, values, converted, weights=counted + 1e-30, fallback=fallback)
        weights = places**2 + 1e-30  # an average of nothing is no number
        if hardware.adc.bits == 1:  # two levels, the mean magnitude away from zero
            mean = jnp.average(jnp.abs(values), weights=weights)
            return lax.stop_gradient(jnp.where(mean > 0, mean, fallback))
        return best_range(values, bits, signed=signed, weights=weights, fallback=fallback)

    found = jax.vmap(one)(values, places, widths).reshape(shape)
    return found if 2 in kept else found[0, 0, 0]  # (S, N) where tiles share


def _thin(values: jax.Array) -> jax.Array:
    """Evenly spaced values, at most MAX_VALUES; the stride is odd so that it runs through every column of a matrix."""
    stride = -(-values.shape[0] // MAX_VALUES)
    return values[:: stride + (stride % 2 == 0)]
