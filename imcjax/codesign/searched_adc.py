"""An ADC whose resolution is being chosen, by any method of `imcjax.codesign.bitwidths` that moves real widths."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.codesign.bitwidths import at_width
from imcjax.converters.base import Bits
from imcjax.pytree import number, record, static


@record
class SearchedAdc:
    """A sign-magnitude ADC of any number of bits up to its widest, while the bits move by gradient.

    From two bits on it has 2^b - 1 levels (two bits: three, ternary partial sums), at one bit it is a sense amplifier, and at
    none its column says nothing. With a key it converts as its method does while widths are learned; without one, or without a
    method, as that converter of the nearest whole width. It takes the place of another ADC for a search:
    `hardware.replace(adc=SearchedAdc(6, Sampled()))`; a hardware file does not name it, since no chip has it.

    Attributes:
      bits: the widest resolution (static).
      method: how widths are learned (static), one of `imcjax.codesign.bitwidths` whose variables are the widths; None: they are
        not.
      share: how many columns take turns at one ADC.
      progress: how much of the search is done, 0 to 1, for methods that change over it.
    """

    bits: int = static(default=8, low=1, high=24)
    method: Any = static(default=None)
    share: float = number(default=8.0, low=1.0, high=4096.0)
    progress: float = number(default=0.0, low=0.0, high=1.0)

    kind = "searched"
    flaws = None
    least = 0

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> None:
        """No flaws."""
        del shape, key, dtype

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported; see `AdcCircuit.convert`."""
        del state
        limit = jnp.asarray(current_range, currents.dtype)
        if key is None or self.method is None:
            return at_width(currents, limit, bits, signed=True)
        widths = jnp.asarray(bits, dtype=float)
        return self.method.quantize(currents, limit, widths, signed=True, key=key, progress=self.progress)
