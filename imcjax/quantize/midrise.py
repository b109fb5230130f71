"""The uniform format without a code for zero, down to one bit."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record
from imcjax.quantize.base import Codes, Format, divisor, format_family, whole_bits
from imcjax.quantize.straight_through import straight_through
from imcjax.quantize.symmetric import farthest, or_one


@format_family("midrise")
@record
class MidRise(Format):
    """x^ = s (floor(x / s) + 1/2) with s = 2 limit / 2^b, clipped to the outermost levels +-(limit - s / 2).

    One formula for every width: at one bit it is sign(x) limit / 2. `codes` counts half steps, 2 floor(x / s) + 1, the odd
    numbers up to 2^b - 1. The gradient is 1 inside the range and goes to the limit outside, as LSQ's does (Esser et al., ICLR
    2020, eq. 3).

    Attributes:
      bits: b.
      limit: where the outermost levels clip; None: max|x| of each call, which follows the batch.
    """

    bits: Any = number(default=8.0, low=1, high=16)
    limit: Any = number(default=None, low=0.0)

    learned: ClassVar[tuple[str, ...]] = ("limit",)

    @property
    def span(self) -> str:
        """Around zero."""
        return "signed"

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        limit = self._number(self._largest(x) if self.limit is None else self.limit, x)
        levels = jnp.exp2(whole_bits(self._number(self.bits, x), x.dtype))
        half, usable = divisor(limit / levels)
        below, above = x < -limit, x > limit
        inside = straight_through(jnp.clip(2 * jnp.floor(x / (2 * half)) + 1, 1 - levels, levels - 1), x / half)
        codes = jnp.where(above, levels - 1, jnp.where(below, 1 - levels, inside))
        return Codes(jnp.where(usable, codes, 0), jnp.where(usable, half, 0))

    def _init(self, x: jax.Array) -> Self:
        return self.replace(limit=or_one(self._largest(x)))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        return self.replace(limit=farthest(low, high, True))
