"""A successive-approximation ADC: one comparator, a capacitor DAC, a bit a cycle."""

from typing import Any

import jax
import jax.numpy as jnp

from imcjax.converters.base import Decide, adc_family, check_choice, unit_normals
from imcjax.converters.capacitors import capacitor_levels, mismatched
from imcjax.converters.circuit import Circuit
from imcjax.converters.levels import bin_span, displacement, nominal_levels, successive
from imcjax.pytree import number, record, static


@record
class SarState:
    """Fabricated SAR converters.

    Attributes:
      capacitors: (..., bits + 1) in units of the smallest.
      offset: (...) of the comparator, as a fraction of the reference.
    """

    capacitors: jax.Array
    offset: jax.Array


@adc_family("sar")
@record
class Sar(Circuit):
    """A SAR converter after Spear et al., IEEE JXCDC 2023, section II. Voltages are fractions of the reference.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      array: "split" or "binary" capacitor array (static).
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one ADC.
      capacitor_sigma: mismatch of the unit capacitor, as a fraction; larger ones have it times the square root of their size.
      offset_sigma: comparator offset, drawn for each ADC.
      noise_sigma: comparator noise, drawn for each decision; None: absent.
      gain_db: open-loop gain of the amplifier, decibel; None: infinite.
    """

    bits: int | None = static(default=None, low=2, high=12)
    array: str = static(default="split", options=("split", "binary"))
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=8.0, low=1.0, high=4096.0)
    capacitor_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    noise_sigma: float | None = number(default=None, low=0.0, high=1.0)
    gain_db: float | None = number(default=None, low=0.0, high=300.0, unit="dB")

    def fabricate(self, widest: int, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> SarState:
        """As for `Circuit`."""
        check_choice("array", self.array, "split", "binary")
        capacitors, offset = unit_normals(key, shape, (widest + 1, 1), dtype)
        return SarState(mismatched(capacitors, self.array == "split", self.capacitor_sigma), self.offset_sigma * offset[..., 0])

    def decisions(self, widest: int, state: SarState, key: jax.Array | None) -> Decide:
        """As for `Circuit`."""
        levels = capacitor_levels(state.capacitors, self.array == "split", self.gain_db)
        noise_sigma = 0.0 if self.noise_sigma is None else self.noise_sigma

        def decide(v: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
            register, noise = successive(v + state.offset, levels, b, noise_sigma=self.noise_sigma, key=key)
            span = bin_span(widest, b)
            moved = state.offset + noise_sigma * noise - displacement(levels - nominal_levels(widest, v.dtype), register, span)
            return (register // span).astype(v.dtype), moved * jnp.exp2(b - 1)

        return decide
