"""DSQ: the gradient of a staircase of tanh."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record
from imcjax.quantize.affine import Affine
from imcjax.quantize.base import Codes, divisor, format_family, top_code, whole_bits
from imcjax.quantize.straight_through import clip_through, straight_through


@format_family("dsq")
@record
class Dsq(Affine):
    """x^ = low + D (i + (sgn phi + 1) / 2) with D = (high - low) / (2^b - 1), i = floor((x - low) / D).

    phi = s tanh(k (x - m_i)), m_i = low + (i + 1/2) D, s = 1 / (1 - alpha), k = ln(2 / alpha - 1) / D (Gong et al.,
    "Differentiable soft quantization", ICCV 2019). The gradients, to alpha and the range too, are those of phi in
    place of its sign: a small alpha is a steep staircase. Note that beyond the range they go to its ends.

    Attributes:
      bits: b.
      low, high: the interval, as of `Affine`, with no code of its own for zero.
      alpha: how far the middle of a tread of phi is from flat, 0 to 1.
    """

    alpha: Any = number(default=0.2, low=1e-6, high=0.999)

    learned: ClassVar[tuple[str, ...]] = ("low", "high", "alpha")

    def _values(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        hard, soft, step, low = self._both(x)
        return straight_through(hard * step + low, soft * step + low)

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        hard, soft, step, low = self._both(x)
        return Codes(straight_through(hard, soft), step, low)

    def _both(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Whole codes, those of phi, the step and the value of code zero."""
        found = self._init(x) if self.low is None else self
        low, high = self._number(found.low, x), self._number(found.high, x)
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=False)
        step, usable = divisor((high - low) / top)
        units = clip_through((x - low) / step, 0.0, top)
        tread = jax.lax.stop_gradient(jnp.clip(jnp.floor(units), 0, top - 1))
        alpha = self._number(self.alpha, x)
        phi = jnp.tanh(jnp.log(2 / alpha - 1) * (units - tread - 0.5)) / (1 - alpha)
        hard = tread + (units >= tread + 0.5)
        soft = tread + (phi + 1) / 2
        return jnp.where(usable, hard, 0), jnp.where(usable, soft, 0), jnp.where(usable, step, 0), low
