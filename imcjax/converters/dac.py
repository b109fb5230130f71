"""Digital-to-analog conversion on the wordlines: input digits -> voltages, one phase after another."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.pytree import number, record, static


@record
class Dac:
    """Wordline drivers. An input code is sent `bits` bits at a time, least significant first, one phase each.

    Attributes:
      input_bits: the widest input (static); None drives the wordlines continuously, in one phase.
      bits: bits of one phase (static): 1 is fully bit-serial, input_bits is a full multi-bit DAC.
      v_read: voltage of the largest digit, volt.
    """

    input_bits: int | None = static(default=None, low=1, high=16)
    bits: int = static(default=1, low=1, high=16)
    v_read: float = number(default=0.2, low=1e-6, high=5.0, unit="V")

    @property
    def phases(self) -> int:
        """How many phases send the widest input."""
        return 1 if self.input_bits is None else -(-self.input_bits // self.bits)

    @property
    def top_digit(self) -> float:
        """The digit sent at v_read."""
        return 1.0 if self.input_bits is None else float(2**self.bits - 1)

    def voltages(self, digits: Float[Array, "..."]) -> Float[Array, "..."]:
        """(...) volt, of signed digits (...); a negative digit is a negative voltage."""
        return digits * jnp.asarray(self.v_read / self.top_digit, digits.dtype)

    @property
    def volt_per_digit(self) -> jax.Array | float:
        """The voltage of digit one."""
        return self.v_read / self.top_digit
