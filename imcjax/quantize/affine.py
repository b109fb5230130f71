"""The integer format with a zero point: any range, zero a code of it."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from imcjax.errors import UserError, concrete
from imcjax.pytree import number, record
from imcjax.quantize.base import Codes, Format, divisor, format_family, top_code, whole_bits
from imcjax.quantize.straight_through import clip_through, round_through


@format_family("affine")
@record
class Affine(Format):
    """x^ = s (q - z) with s = (high - low) / (2^b - 1), z = round(-low / s), q = clip(round(x / s) + z, 0, 2^b - 1).

    Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018,
    section 2. `codes` gives q - z. Both roundings pass gradients straight through: dx^/ds is round(x / s) - x / s inside and
    q - z at an end, and an end of the range takes what clips there.

    Attributes:
      bits: b.
      low, high: the range; None: min(x, 0) and max(x, 0) of each call, which follow the batch.
    """

    bits: Any = number(default=8.0, low=1, high=16)
    low: Any = number(default=None)
    high: Any = number(default=None)

    learned: ClassVar[tuple[str, ...]] = ("low", "high")

    def check(self, path: str) -> None:
        """Refuse half a range, and one that is upside down."""
        if (self.low is None) != (self.high is None):
            raise UserError(f"{path} has one end of its range; give both low and high, or neither.")
        low, high = concrete(self.low), concrete(self.high)
        if low is not None and high is not None and (low > high).any():
            raise UserError(f"{path}.low is {low!s}, above high, {high!s}; swap them.")

    @property
    def span(self) -> str:
        """Any range."""
        return "between"

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        found = self._init(x) if self.low is None else self
        low, high = self._number(found.low, x), self._number(found.high, x)
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=False)
        step, usable = divisor((high - low) / top)
        zero = round_through(-low / step)
        codes = round_through(clip_through(x / step, -zero, top - zero))
        return Codes(jnp.where(usable, codes, 0), jnp.where(usable, step, 0))

    def _init(self, x: jax.Array) -> Self:
        low, high = self._reduce(jnp.min, x), self._reduce(jnp.max, x)
        return self._spanning(low, high)

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        # Zero is always a code: padding and ReLU make many exact zeros.
        low, high = jnp.where(low > 0, 0, low), jnp.where(high < 0, 0, high)
        return self.replace(low=low, high=jnp.where(high > low, high, low + 1))
