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
      signs: how negative inputs are sent (static): "sign_magnitude", as negative voltages; "twos_complement", in a phase of
        their sign bits, after those of the other bits, so that no voltage is negative.
    """

    input_bits: int | None = static(default=None, low=1, high=16)
    bits: int = static(default=1, low=1, high=16)
    v_read: float = number(default=0.2, low=1e-6, high=5.0, unit="V")
    signs: str = static(default="sign_magnitude", options=("sign_magnitude", "twos_complement"))

    @property
    def phases(self) -> int:
        """How many phases send the widest input."""
        if self.input_bits is None:
            return 1
        return max(self.count(self.input_bits, signed=signed) for signed in (True, False))

    def count(self, input_bits: int, *, signed: bool) -> int:
        """How many phases send an input of so many bits."""
        return max(1, -(-(input_bits - signed) // self.bits)) + self.sign_phases(signed=signed)

    def sign_phases(self, *, signed: bool) -> int:
        """Phases of sign bits."""
        return int(signed and self.signs == "twos_complement" and self.input_bits is not None)

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
