"""The quantizer ADC: 2^b equally spaced levels, no circuit."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.converters.base import Bits, adc_family, midrise
from imcjax.converters.flaws import Flaws, FlawState
from imcjax.pytree import number, record, static


@adc_family("uniform")
@record
class Uniform:
    """2^b levels from -range to range, none of them zero (mid-rise), or from 0 to range where unsigned.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one ADC.
      flaws: None: none.
    """

    bits: int | None = static(default=None, low=1, high=24)
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=8.0, low=1.0, high=4096.0)
    flaws: Flaws | None = None

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> FlawState | None:
        """One converter for each entry of `shape`; None where there are no flaws."""
        if self.bits is None or self.flaws is None:
            return None
        return self.flaws.draw(shape, 2**self.bits, key, dtype)

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: FlawState | None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported, halves of a step to even codes; see `AdcCircuit.convert`."""
        if self.bits is None:
            return currents
        widest, flaws, signed = self.bits, self.flaws or Flaws(), self.polarity == "signed"
        step = (2 if signed else 1) * jnp.asarray(current_range, currents.dtype) / (2**widest - 1)
        seen = flaws.at_input(currents, current_range, step, signed, state, key)

        def decide(v: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array | float]:
            top = jnp.round(jnp.exp2(b)) - 1
            position = v * ((top + 1) / 2) + top / 2
            if flaws.decides(state, key):
                return flaws.decide(position, top, b, widest, state, key)
            return jnp.clip(jnp.round(position), 0, top), 0.0

        return midrise(seen, bits, current_range, widest, self.polarity, decide)
