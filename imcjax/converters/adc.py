"""The sign-magnitude ADC, and the range of an uncalibrated one."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.converters.base import Bits, adc_family, whole_bits
from imcjax.converters.flaws import Flaws, FlawState
from imcjax.pytree import number, record, static
from imcjax.quantize import ceil_through, largest_code, quantize, round_through, straight_through


@adc_family("sign_magnitude")
@record
class Adc:
    """A uniform, symmetric ADC: 2^b - 1 levels, zero among them, as a sign-magnitude converter has.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      share: how many columns take turns at one ADC.
      flaws: None: none.
    """

    bits: int | None = static(default=None, low=2, high=24)
    share: float = number(default=8.0, low=1.0, high=4096.0)
    flaws: Flaws | None = None

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> FlawState | None:
        """One converter for each entry of `shape`; None where there are no flaws."""
        if self.bits is None or self.flaws is None:
            return None
        return self.flaws.draw(shape, 2**self.bits - 1, key, dtype)

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: FlawState | None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """The currents as the converter sees them.

        Args:
          currents: (...) ampere, or any other unit that the range has too.
          bits: resolution b, rounded to a whole number; the gradient passes straight through.
          current_range: the largest code's current; broadcasts against `currents`.
          state: flaws of the converters, leading axes broadcasting against `currents`; None: none.
          key: noise of this conversion; None: none.

        Returns:
          (...) in the same unit: code times LSB. The gradient passes where the input is within the range; where it clips it
          goes to the range.
        """
        if self.flaws is None or self.bits is None:
            codes, lsb = quantize(currents, current_range, bits, signed=True)
            return codes * lsb
        step = jnp.asarray(current_range, currents.dtype) / (2 ** (self.bits - 1) - 1)
        seen = self.flaws.at_input(currents, current_range, step, True, state, key)
        codes, lsb = quantize(seen, current_range, bits, signed=True)
        if not self.flaws.decides(state, key):
            return codes * lsb
        b = lax.stop_gradient(whole_bits(bits, seen.dtype))
        largest = jnp.round(largest_code(b, signed=True)).astype(seen.dtype)
        position = lax.stop_gradient(seen / jnp.where(lsb > 0, lsb, 1)) + largest
        found, shift = self.flaws.decide(position, 2 * largest, b, self.bits, state, key)
        inside = jnp.abs(seen) <= jnp.asarray(current_range, seen.dtype)
        return straight_through(found - largest, codes + jnp.where(inside, shift, 0)) * lsb


def full_scale(bits: jax.Array | float, largest: jax.Array | float, *, signed: bool = True, finest: float = 0.0) -> jax.Array:
    """The range, in levels, of an uncalibrated ADC: wide enough for the largest possible sum, its LSB a power of two.

    With enough bits the LSB is one level, and every partial sum of an ideal array converts exactly.

    Args:
      bits: resolution.
      largest: the largest partial sum of one column, in levels: the current of input digit one times weight digit one.
      signed: whether sums can be negative; those that cannot have the negative codes too.
      finest: power of two of the finest LSB that makes sense, in levels: 0 where sums are whole.
    """
    top = largest_code(round_through(jnp.asarray(bits, dtype=float)), signed=True) * (1 if signed else 2)
    top = jnp.where(top < 1, 1, top)  # one bit: two levels at the ends of the range
    coarser = jnp.maximum(ceil_through(jnp.log2(largest / top) - 1e-6), finest)
    return top * jnp.exp2(coarser)
