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

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: jnp.dtype = jnp.float32) -> None:
        """The state of converters: none, all are nominal."""
        return None

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: jax.Array | float,
        current_range: jax.Array | float,
        state: None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """The currents as the converter sees them.

        Args:
          currents: (...) ampere, or any other unit that the range has too.
          bits: resolution b, rounded to a whole number; the gradient passes straight through.
          current_range: the largest code's current; broadcasts against `currents`.

        Returns:
          (...) in the same unit: code times LSB. The gradient passes where the input is within the range; where it clips it
          goes to the range.
        """
        codes, lsb = quantize(currents, current_range, bits, signed=True)
        return codes * lsb


def full_scale(bits: jax.Array | float, largest: jax.Array | float, *, signed: bool = True) -> jax.Array:
    """The range, in levels, of an uncalibrated ADC: wide enough for the largest possible sum, its LSB a power of two.

    With enough bits the LSB is one level, and every partial sum of an ideal array converts exactly.

    Args:
      bits: resolution.
      largest: the largest partial sum of one column, in levels: the current of input digit one times weight digit one.
      signed: whether sums can be negative; those that cannot have the negative codes too.
    """
    top = largest_code(round_through(jnp.asarray(bits, dtype=float)), signed=True) * (1 if signed else 2)
    coarser = jnp.maximum(ceil_through(jnp.log2(largest / top) - 1e-6), 0.0)
    return top * jnp.exp2(coarser)
