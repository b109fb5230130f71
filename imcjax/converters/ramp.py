"""A single-slope ADC: a counter runs while a ramp rises, and a comparator in each column stops it."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.converters.base import Decide, adc_family, check_choice, input_noise, unit_normals
from imcjax.converters.capacitors import capacitor_levels, mismatched
from imcjax.converters.circuit import Circuit
from imcjax.converters.levels import bin_span, displacement, nominal_levels, successive
from imcjax.keys import fold_name
from imcjax.pytree import number, record, static


@record
class RampState:
    """Fabricated ramp converters; voltages are fractions of the reference.

    Attributes:
      capacitors: (..., bits + 1) of the ramp's DAC, in units of the smallest.
      slope: (...) relative error of the ramp's slope.
      bow: (...) how far the ramp is ahead in the middle of the range.
      offset: (...) of the comparator.
    """

    capacitors: jax.Array
    slope: jax.Array
    bow: jax.Array
    offset: jax.Array


@adc_family("ramp")
@record
class Ramp(Circuit):
    """A ramp converter; its ramp comes from a binary-weighted capacitor DAC as in Spear et al., IEEE JXCDC 2023.

    A code is the count of ramp steps before the ramp first passes the input: codes rise with the input even if the ramp falls.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      ramp: "common" to the columns, the last axis of what is drawn, or each ADC its "own" (static).
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one comparator and counter.
      capacitor_sigma: mismatch of the unit capacitor, as a fraction; larger ones have it times the square root of their size.
      slope_sigma: relative error of the slope, drawn for each ramp.
      bow_sigma: curvature, drawn for each ramp: how far it is off in the middle, as a fraction of the reference.
      offset_sigma: comparator offset as a fraction of the reference, drawn for each ADC.
      noise_sigma: comparator noise as a fraction of the reference, drawn for each conversion; None: absent.
      gain_db: open-loop gain of the amplifier behind the DAC, decibel; None: infinite.
    """

    bits: int | None = static(default=None, low=2, high=12)
    ramp: str = static(default="common", options=("common", "own"))
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=1.0, low=1.0, high=4096.0)
    capacitor_sigma: float = number(default=0.0, low=0.0, high=1.0)
    slope_sigma: float = number(default=0.0, low=0.0, high=1.0)
    bow_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    noise_sigma: float | None = number(default=None, low=0.0, high=1.0)
    gain_db: float | None = number(default=None, low=0.0, high=300.0, unit="dB")

    def fabricate(self, widest: int, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> RampState:
        """As for `Circuit`."""
        check_choice("ramp", self.ramp, "common", "own")
        ramps = (*shape[:-1], 1) if shape and self.ramp == "common" else shape
        drawn = unit_normals(fold_name(key, "ramp"), ramps, (widest + 1, 1, 1), dtype)
        capacitors, slope, bow = (jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in drawn)
        (offset,) = unit_normals(fold_name(key, "offset"), shape, (1,), dtype)
        return RampState(
            capacitors=mismatched(capacitors, False, self.capacitor_sigma),
            slope=self.slope_sigma * slope[..., 0],
            bow=self.bow_sigma * bow[..., 0],
            offset=self.offset_sigma * offset[..., 0],
        )

    def decisions(self, widest: int, state: RampState, key: jax.Array | None) -> Decide:
        """As for `Circuit`."""
        straight = capacitor_levels(state.capacitors, False, self.gain_db)
        bent = straight * (1 + state.slope[..., None]) + state.bow[..., None] * (1 - straight**2)
        passed = lax.cummax(bent, axis=bent.ndim - 1)

        def decide(v: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
            shape = jnp.broadcast_shapes(v.shape, state.offset.shape)
            added = state.offset + input_noise(self.noise_sigma, key, shape, v.dtype)
            register, _ = successive(v + added, passed, b)
            span = bin_span(widest, b)
            moved = added - displacement(passed - nominal_levels(widest, v.dtype), register, span)
            return (register // span).astype(v.dtype), moved * jnp.exp2(b - 1)

        return decide
