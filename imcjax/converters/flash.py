"""A flash ADC: a comparator for every threshold, all at once."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.converters.base import Decide, adc_family, input_noise, unit_normals
from imcjax.converters.circuit import Circuit
from imcjax.converters.levels import bin_span, displacement, nominal_levels
from imcjax.pytree import number, record, static


@record
class FlashState:
    """Fabricated flash converters.

    Attributes:
      thresholds: (..., 2^bits) of the comparators, as fractions of the reference; entry 0, which has no comparator, is -1.
    """

    thresholds: jax.Array


@adc_family("flash")
@record
class Flash(Circuit):
    """A flash converter: a ladder of 2^bits resistors, a comparator at each tap. Voltages are fractions of the reference.

    The code is the number of comparators that are on, so a bubble in the thermometer code costs what it counts and no more.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one ADC.
      resistor_sigma: mismatch of the resistors of the ladder, as a fraction.
      offset_sigma: offset of each comparator.
      noise_sigma: noise at the input, drawn for each conversion; None: absent.
    """

    bits: int | None = static(default=None, low=1, high=8)
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=8.0, low=1.0, high=4096.0)
    resistor_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    noise_sigma: float | None = number(default=None, low=0.0, high=1.0)

    def fabricate(self, widest: int, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> FlashState:
        """As for `Circuit`."""
        resistors, offsets = unit_normals(key, shape, (2**widest, 2**widest - 1), dtype)
        errors = self.resistor_sigma * resistors
        # Summed as errors against the nominal taps, so that a sigma of zero leaves them exact. No resistor is negative.
        errors = jnp.cumsum(jnp.where(errors < -1, -1, errors), axis=-1)
        fraction = jnp.arange(1, 2**widest, dtype=dtype) / 2**widest
        taps = 2 * (errors[..., :-1] - fraction * errors[..., -1:]) / (2**widest + errors[..., -1:])
        moved = jnp.concatenate([jnp.zeros_like(taps[..., :1]), taps + self.offset_sigma * offsets], axis=-1)
        return FlashState(nominal_levels(widest, dtype) + moved)

    def decisions(self, widest: int, state: FlashState, key: jax.Array | None) -> Decide:
        """As for `Circuit`."""
        thresholds = state.thresholds

        def decide(v: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
            span = bin_span(widest, b)
            noise = input_noise(self.noise_sigma, key, jnp.broadcast_shapes(v.shape, thresholds.shape[:-1]), v.dtype)
            # A narrower conversion leaves the comparators between its own thresholds off.
            index = jnp.arange(1, 2**widest)
            on = ((v + lax.stop_gradient(noise))[..., None] > lax.stop_gradient(thresholds)[..., 1:]) & (index % span == 0)
            codes = on.sum(-1)
            moved = noise - displacement(thresholds - nominal_levels(widest, v.dtype), codes * span, span)
            return codes.astype(v.dtype), moved * jnp.exp2(b - 1)

        return decide
