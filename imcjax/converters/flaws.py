"""Flaws that any converter has, whatever its circuit: what a data sheet says of it."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.converters.base import check_choice, unit_normals
from imcjax.converters.levels import bin_span, look_up
from imcjax.errors import UserError
from imcjax.keys import fold_name
from imcjax.noise import with_noise
from imcjax.pytree import number, record, static


MAX_TABLE_BITS = 12
"""A random step for each code takes a table of that many bits for each converter."""


@record
class FlawState:
    """The flaws of fabricated converters.

    Attributes:
      gain: (...) relative error.
      offset: (...) as a fraction of the range.
      bow: (...) sign of the bow, -1, 0 or 1.
      thresholds: (..., levels) displacement of each threshold, in steps of the widest resolution; None where absent.
    """

    gain: jax.Array
    offset: jax.Array
    bow: jax.Array
    thresholds: jax.Array | None


@record
class Flaws:
    """Flaws of a converter whose circuit is not modelled. One step (LSB) is that of the widest resolution.

    Attributes:
      rounding: "nearest", or "stochastic": up or down so that it is right on average, given a key (static).
      gain_sigma: relative gain error, drawn for each converter.
      offset_sigma: offset as a fraction of the range, drawn for each converter.
      inl: integral nonlinearity, steps: amplitude of a smooth bow, zero at both ends, whose sign is drawn for each converter.
      dnl_sigma: differential nonlinearity, steps: of each code's width, drawn for each code and converter; the widths are
        scaled to fill the range, so the outermost thresholds stay. None: absent.
      noise_sigma: thermal noise at the input, as a fraction of the range, drawn for each conversion; None: absent.
    """

    rounding: str = static(default="nearest", options=("nearest", "stochastic"))
    gain_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    inl: float = number(default=0.0, low=0.0, high=1e4)
    dnl_sigma: float | None = number(default=None, low=0.0, high=10.0)
    noise_sigma: float | None = number(default=None, low=0.0, high=1.0)

    def draw(self, shape: tuple[int, ...], levels: int | None, key: jax.Array | None, dtype: Any) -> FlawState:
        """Flaws for each entry of `shape`, none without a key; `levels`: codes at the widest resolution, None without one.

        Raises:
          UserError: a width for each code, where there are too many codes.
        """
        check_choice("flaws.rounding", self.rounding, "nearest", "stochastic")
        table = self.dnl_sigma is not None
        if table and (levels is None or levels > 2**MAX_TABLE_BITS):
            raise UserError(
                f"flaws.dnl_sigma needs a table of all codes, but the converter has {levels or 'no limit of'} codes; "
                f"give it bits, at most {MAX_TABLE_BITS}, or leave dnl_sigma out."
            )
        count = max(levels - 2, 0) if table and levels else 0  # codes with a threshold on either side
        gain, offset, bow, widths = unit_normals(key, shape, (1, 1, 1, count), dtype)
        return FlawState(
            gain=self.gain_sigma * gain[..., 0],
            offset=self.offset_sigma * offset[..., 0],
            bow=jnp.sign(bow[..., 0]),
            thresholds=self._thresholds(widths, levels) if table and levels else None,
        )

    def _thresholds(self, normals: Float[Array, "... inner"], levels: int) -> Float[Array, "... levels"]:
        """Entry k displaces the threshold between codes k - 1 and k; 0 is not used."""
        count, dtype = normals.shape[-1], normals.dtype
        errors = (0.0 if self.dnl_sigma is None else self.dnl_sigma) * normals
        errors = jnp.where(errors < -1, -1, errors)  # a code can be missing, not less
        total = errors.sum(-1, keepdims=True)
        # Widths (1 + error) count / (count + total), summed as errors: exact zeros stay exact.
        sums = jnp.cumsum(errors, axis=-1) - jnp.arange(1, count + 1, dtype=dtype) / max(count, 1) * total
        moved = sums * (count / jnp.where(count + total > 0, count + total, 1))
        return jnp.concatenate([jnp.zeros((*normals.shape[:-1], levels - count), dtype), moved], axis=-1)

    def at_input(
        self,
        currents: Float[Array, "..."],
        current_range: jax.Array | float,
        step: jax.Array,
        signed: bool,
        state: FlawState | None,
        key: jax.Array | None,
    ) -> Float[Array, "..."]:
        """The currents (...) that a converter without flaws would answer the same to, thresholds and rounding apart.

        Args:
          currents: (...) ampere.
          current_range: ampere.
          step: ampere, of the widest resolution.
          signed: whether the range goes to -current_range or to 0.
          state: one converter's flaws; None: none.
          key: draws the thermal noise.
        """
        limit = jnp.asarray(current_range, currents.dtype)
        seen = currents
        if state is not None:
            u = jnp.clip(lax.stop_gradient(currents / jnp.where(limit > 0, limit, 1)), -1.0 if signed else 0.0, 1.0)
            shape = 1 - u**2 if signed else 4 * u * (1 - u)
            seen = currents * (1 + state.gain) + state.offset * limit + self.inl * step * state.bow * shape
        if self.noise_sigma is not None and key is not None:
            seen = with_noise(seen, self.noise_sigma * limit, fold_name(key, "thermal"))
        return seen

    def decides(self, state: FlawState | None, key: jax.Array | None) -> bool:
        """Whether codes are anything but the nearest, so that `decide` has to be asked."""
        return (self.rounding == "stochastic" and key is not None) or (state is not None and state.thresholds is not None)

    def decide(
        self,
        position: Float[Array, "..."],
        top: jax.Array,
        bits: jax.Array,
        widest: int | None,
        state: FlawState | None,
        key: jax.Array | None,
    ) -> tuple[Float[Array, "..."], jax.Array | float]:
        """Codes (...) in [0, top] for positions (...) in codes; the shift (...), in codes, that displaced thresholds cause."""
        if self.rounding == "stochastic" and key is not None:
            drawn = jax.random.uniform(fold_name(key, "rounding"), position.shape, position.dtype)
            position = position + drawn - 0.5
        if state is None or state.thresholds is None or widest is None:
            return jnp.clip(jnp.round(position), 0, top), 0.0
        span = bin_span(widest, bits)
        last = state.thresholds.shape[-1] - 1
        moved = state.thresholds / span  # in steps of the present resolution
        fixed = lax.stop_gradient(moved)
        codes = jnp.zeros(jnp.broadcast_shapes(position.shape, moved.shape[:-1]), jnp.int32)
        for stage in reversed(range(widest)):
            trial = codes + 2**stage
            threshold = trial - 0.5 + look_up(fixed, jnp.minimum(trial * span, last))
            codes = jnp.where((trial <= top) & (position > threshold), trial, codes)
        shift = -displacement_of_codes(moved, codes, span, top.astype(jnp.int32))
        return codes.astype(position.dtype), shift


def displacement_of_codes(table: jax.Array, codes: jax.Array, span: jax.Array, top: jax.Array) -> jax.Array:
    """Mean displacement of the thresholds on either side of each code."""
    lower = look_up(table, jnp.maximum(codes, 1) * span)
    upper = look_up(table, jnp.minimum(codes + 1, top) * span)
    return (lower + upper) / 2
