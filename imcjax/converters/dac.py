"""Digital-to-analog conversion on the wordlines: input digits -> voltages, one phase after another."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.converters.base import dac_family, unit_normals
from imcjax.pytree import number, record, static


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
      flaws: None: none.
    """

    input_bits: int | None = static(default=None, low=1, high=16)
    bits: int = static(default=1, low=1, high=16)
    v_read: float = number(default=0.2, low=1e-6, high=5.0, unit="V")
    flaws: DacFlaws | None = None

    @property
    def phases(self) -> int:
        """How many phases send the widest input."""
        return 1 if self.input_bits is None else -(-self.input_bits // self.bits)

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
    """Multi-bit drivers with 2^bits equally spaced levels from -v_read to v_read, none of them zero, in one phase.

    Attributes:
      bits: the widest input (static).
      v_read: voltage of the largest code, volt.
      flaws: None: none.
    """

    bits: int = static(default=8, low=1, high=16)
    v_read: float = number(default=0.2, low=1e-6, high=5.0, unit="V")
    flaws: DacFlaws | None = None

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> DacFlawState | None:
        """One driver for each entry of `shape`; None where there are no flaws, nominal without a key."""
        return None if self.flaws is None else self.flaws.draw(shape, key, dtype)

    def voltages(self, codes: Float[Array, "..."], state: DacFlawState | None = None) -> Float[Array, "..."]:
        """(...) volt, of codes (...) in [0, 2^bits - 1]; `state` broadcasts against `codes`."""
        top = 2.0**self.bits - 1
        level = (codes - top / 2) * (2 / top)
        if self.flaws is not None and state is not None:
            level = level + self.flaws.errors(level, 1 - lax.stop_gradient(level) ** 2, state)
        return level * jnp.asarray(self.v_read, level.dtype)
