"""PACT: activations clipped at a trained level."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record
from imcjax.quantize.base import Codes, Format, divisor, format_family, top_code, whole_bits
from imcjax.quantize.straight_through import straight_through
from imcjax.quantize.symmetric import or_one


@format_family("pact")
@record
class Pact(Format):
    """y = clip(x, 0, alpha), x^ = round(y (2^b - 1) / alpha) alpha / (2^b - 1).

    Choi et al., "PACT: parameterized clipping activation for quantized neural networks", arXiv 1805.06085: the
    gradient is that of y alone, 1 to alpha where x >= alpha and 1 to x between. Their L2 penalty on alpha belongs to the loss.

    Attributes:
      bits: b.
      alpha: the clipping level; `init` makes it max(x).
    """

    bits: Any = number(default=4.0, low=1, high=16)
    alpha: Any = number(default=None, low=0.0)

    needed: ClassVar[tuple[str, ...]] = ("alpha",)
    learned: ClassVar[tuple[str, ...]] = ("alpha",)

    @property
    def span(self) -> str:
        """From zero."""
        return "unsigned"

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        alpha = self._number(self.alpha, x)
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=False)
        step, usable = divisor(jax.lax.stop_gradient(alpha / top))
        # At x = alpha the level takes the gradient, as in the paper; `clip_through` would give it to x.
        clipped = jnp.where(x < 0, 0, jnp.where(x >= alpha, alpha, x))
        codes = straight_through(jnp.round(clipped / step), clipped / step)
        return Codes(jnp.where(usable, codes, 0), jnp.where(usable, step, 0))

    def _init(self, x: jax.Array) -> Self:
        return self._spanning(jnp.zeros(()), self._reduce(jnp.max, x))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        return self.replace(alpha=or_one(high))
