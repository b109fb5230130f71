"""The ranges of a layer's converters, found from samples of what the layer will see."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax import pipeline
from imcjax.converters import best_range
from imcjax.hardware import Hardware
from imcjax.settings import Settings, complete


MAX_VALUES = 1 << 15
"""How many values a range is chosen from: enough for a stable minimum of the squared error."""


def find_ranges(
    w: Float[Array, "groups n_in n_out"], x: Float[Array, "samples groups n_in"], hardware: Hardware, settings: Settings
) -> dict[str, Any]:
    """Weight, input and ADC ranges of least mean squared error at the layer's present bit-widths.

    The ADC's is one for each weight slice, from the noise-free chip; where wires are modelled, the fast approximation of
    their effect is good enough to choose a range by.

    Args:
      w: (groups, n_in, n_out) weights.
      x: (samples, groups, n_in) inputs.
      hardware: the technology.
      settings: the layer's; its widths may be traced, its ranges are ignored.

    Returns:
      {"weight_range", "input_range", "adc_range"}; None where there is nothing to quantize.
    """
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
        found["adc_range"] = _adc_range(w, x, hardware, filled.replace(**found))
    return found


def calibrated_settings(
    w: Float[Array, "n_in n_out"], x: Float[Array, "... n_in"], hardware: Hardware, settings: Settings | None = None
) -> Settings:
    """Settings for `imcjax.mvm` of one matrix with the ranges of least squared error for these inputs, and their sign.

    The uncalibrated default spans an ADC over everything that could arrive, which wastes most of its codes.

    Args:
      w: (n_in, n_out) weights.
      x: (..., n_in) inputs as the layer will see them.
      hardware: the technology.
      settings: bit-widths; None: the hardware's widest. Its ranges are replaced.
    """
    settings = (Settings() if settings is None else settings).replace(input_signed=bool(jnp.min(x) < 0))
    return settings.replace(**find_ranges(w[None], x.reshape(-1, 1, x.shape[-1]), hardware, settings))


def weight_range(w: Float[Array, "groups n_in n_out"], bits: jax.Array | float | None) -> jax.Array:
    """The weight range of least squared error; max|w| of continuous weights."""
    return jnp.max(jnp.abs(w)) if bits is None else best_range(_thin(w.ravel()), bits)


def _adc_range(w: jax.Array, x: jax.Array, hardware: Hardware, settings: Settings) -> jax.Array:
    fast = hardware if hardware.wires is None else hardware.replace(solver="pade")

    def currents(w: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        settled = pipeline.settle(pipeline.program(w, fast, settings), fast)
        amperes, _, _, place = pipeline.column_currents(settled, x, fast, settings)
        return amperes, place

    amperes, place = jax.vmap(currents, in_axes=(0, 1))(w, x)  # (groups, K, T, P, samples, S, N), (groups, P)
    significance = jnp.broadcast_to((place[0] ** 2)[:, None, None, None], amperes.shape)
    slices, weights = (jnp.moveaxis(a, -2, 0).reshape(a.shape[-2], -1) for a in (amperes, significance))
    rows = pipeline.tiling(w.shape[1:], hardware).tile_rows * hardware.encoding.rows_per_input
    fallback = pipeline.full_scale_levels(hardware, settings, rows) * pipeline.unit_current(hardware)
    signed = pipeline.signed_currents(hardware, settings)

    def one(values: jax.Array, weights: jax.Array) -> jax.Array:
        significance = _thin(weights) + 1e-30
        return best_range(_thin(values), settings.adc_bits, signed=signed, weights=significance, fallback=fallback)

    return jax.vmap(one)(slices, weights)[:, None]


def _thin(values: jax.Array) -> jax.Array:
    """Evenly spaced values, at most MAX_VALUES; the stride is odd so that it runs through every column of a matrix."""
    stride = -(-values.shape[0] // MAX_VALUES)
    return values[:: stride + (stride % 2 == 0)]
