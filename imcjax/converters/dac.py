"""Digital-to-analog conversion on the wordlines: input digits -> voltages, one phase after another."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.converters.base import dac_family, unit_normals
from imcjax.pytree import number, record, static
from imcjax.quantize import clip_through, round_through


@record
class DacFlawState:
    """The flaws of fabricated drivers.

    Attributes:
      gain: (...) relative error.
      offset: (...) as a fraction of v_read.
      bow: (...) sign of the bow, -1, 0 or 1.
    """

    gain: jax.Array
    offset: jax.Array
    bow: jax.Array


@record
class DacFlaws:
    """Static errors of wordline drivers, each row's its own.

    Attributes:
      gain_sigma: relative gain error, drawn for each row.
      offset_sigma: offset as a fraction of v_read, drawn for each row; it drives rows with digit zero too.
      inl: integral nonlinearity: amplitude of a smooth bow as a fraction of v_read, zero at both ends of the scale (of either
        sign's scale, for sign and magnitude); its sign is drawn for each row.
    """

    gain_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    inl: float = number(default=0.0, low=0.0, high=1.0)

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> DacFlawState:
        """Flaws of one driver for each entry of `shape`; none without a key."""
        gain, offset, bow = (part[..., 0] for part in unit_normals(key, shape, (1, 1, 1), dtype))
        return DacFlawState(self.gain_sigma * gain, self.offset_sigma * offset, jnp.sign(bow))

    def errors(self, level: Float[Array, "..."], bow: Float[Array, "..."], state: DacFlawState) -> Float[Array, "..."]:
        """(...) what is added to ideal levels (...), both as fractions of v_read; `bow`: the unit bow at each level."""
        return level * state.gain + state.offset + self.inl * state.bow * bow


@dac_family("sign_magnitude")
@record
class Dac:
    """Wordline drivers. An input code is sent `bits` bits at a time, least significant first, one phase each.

    Attributes:
      input_bits: the widest input (static); None drives the wordlines continuously, in one phase.
      bits: bits of one phase (static): 1 is fully bit-serial, input_bits is a full multi-bit DAC.
      v_read: voltage of the largest digit, volt.
      signs: how negative inputs are sent (static): "sign_magnitude", as negative voltages; "twos_complement", in a phase of
        their sign bits, after those of the other bits, so that no voltage is negative.
      flaws: None: none.
    """

    input_bits: int | None = static(default=None, low=1, high=16)
    bits: int = static(default=1, low=1, high=16)
    v_read: float = number(default=0.2, low=1e-6, high=5.0, unit="V")
    signs: str = static(default="sign_magnitude", options=("sign_magnitude", "twos_complement"))
    flaws: DacFlaws | None = None

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

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> DacFlawState | None:
        """One driver for each entry of `shape`; None where there are no flaws, nominal without a key."""
        return None if self.flaws is None else self.flaws.draw(shape, key, dtype)

    def voltages(self, digits: Float[Array, "..."], state: DacFlawState | None = None) -> Float[Array, "..."]:
        """(...) volt, of signed digits (...); a negative digit is a negative voltage. `state` broadcasts against `digits`."""
        ideal = digits * jnp.asarray(self.v_read / self.top_digit, digits.dtype)
        if self.flaws is None or state is None:
            return ideal
        level = digits / self.top_digit
        magnitude = jnp.abs(lax.stop_gradient(level))
        bow = jnp.sign(level) * 4 * magnitude * (1 - magnitude)
        return ideal + jnp.asarray(self.v_read, digits.dtype) * self.flaws.errors(level, bow, state)

    @property
    def volt_per_digit(self) -> jax.Array | float:
        """The voltage of digit one."""
        return self.v_read / self.top_digit


@dac_family("uniform")
@record
class UniformDac:
    """Multi-bit drivers with 2^b equally spaced levels, in one phase: from -v_read to v_read, none of them zero, or from 0.

    Attributes:
      input_bits: the widest input (static).
      v_read: voltage of the largest code, volt.
      flaws: None: none.
    """

    input_bits: int = static(default=8, low=1, high=16)
    v_read: float = number(default=0.2, low=1e-6, high=5.0, unit="V")
    flaws: DacFlaws | None = None

    phases = 1
    top_digit = 1.0
    signs = "sign_magnitude"

    @property
    def bits(self) -> int:
        """Bits of one phase: all."""
        return self.input_bits

    @property
    def volt_per_digit(self) -> jax.Array | float:
        """The voltage of digit one, which is the largest level."""
        return self.v_read

    def count(self, input_bits: int, *, signed: bool) -> int:
        """One phase."""
        return 1

    def sign_phases(self, *, signed: bool) -> int:
        """No phase of sign bits."""
        return 0

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> DacFlawState | None:
        """One driver for each entry of `shape`; None where there are no flaws, nominal without a key."""
        return None if self.flaws is None else self.flaws.draw(shape, key, dtype)

    def nearest(
        self, x: Float[Array, "..."], limit: jax.Array, bits: jax.Array | float, *, signed: bool
    ) -> tuple[Float[Array, "..."], jax.Array]:
        """The levels nearest to inputs (...) of magnitude up to `limit`, as fractions of it; and what level 1 is worth."""
        step = jnp.where(limit > 0, limit, 1).astype(x.dtype)
        top = jnp.exp2(round_through(jnp.asarray(bits, dtype=float))).astype(x.dtype) - 1
        low = -1.0 if signed else 0.0
        span = (1.0 - low) / top
        inside = clip_through(x, low * limit, limit) / step
        levels = low + round_through((inside - low) / span) * span
        return jnp.where(limit > 0, levels, 0), step

    def voltages(self, digits: Float[Array, "..."], state: DacFlawState | None = None) -> Float[Array, "..."]:
        """(...) volt, of levels (...) in [-1, 1]; `state` broadcasts against `digits`."""
        if self.flaws is not None and state is not None:
            magnitude = jnp.abs(lax.stop_gradient(digits))
            bow = jnp.sign(digits) * 4 * magnitude * (1 - magnitude)
            digits = digits + self.flaws.errors(digits, bow, state)
        return digits * jnp.asarray(self.v_read, digits.dtype)
