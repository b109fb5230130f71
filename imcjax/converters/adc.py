"""Analog-to-digital conversion of column currents."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.pytree import number, record, static
from imcjax.quantize import ceil_through, largest_code, quantize, round_through


@record
class Adc:
    """A uniform, symmetric ADC: 2^b - 1 levels, zero among them, as a sign-magnitude converter has.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      share: how many columns take turns at one ADC.
    """

    bits: int | None = static(default=None, low=2, high=24)
    share: float = number(default=8.0, low=1.0, high=4096.0)

    def convert(
        self, currents: Float[Array, "..."], bits: jax.Array | float, current_range: jax.Array | float
    ) -> Float[Array, "..."]:
        """The currents as the converter sees them.

        Args:
          currents: (...) ampere.
          bits: resolution b, rounded to a whole number; the gradient passes straight through.
          current_range: ampere, the largest code's current; broadcasts against `currents`.

        Returns:
          (...) ampere: code times LSB. The gradient passes where the input is within the range; where it clips it goes to the
          range.
        """
        codes, lsb = quantize(currents, current_range, bits, signed=True)
        return codes * lsb


def full_scale(bits: jax.Array | float, largest: float, unit: jax.Array | float) -> jax.Array:
    """The range, ampere, of an uncalibrated ADC: wide enough for the largest possible sum, its LSB a power of two of the unit.

    With enough bits the LSB is the unit current itself and every partial sum of an ideal array converts exactly.

    Args:
      bits: resolution.
      largest: the largest partial sum of one column, in units.
      unit: ampere, the current of one input digit times one weight digit.
    """
    top = largest_code(round_through(jnp.asarray(bits, dtype=float)), signed=True)
    coarser = jnp.maximum(ceil_through(jnp.log2(largest / top) - 1e-6), 0.0)
    return unit * top * jnp.exp2(coarser)
