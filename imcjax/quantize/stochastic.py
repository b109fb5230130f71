"""Rounding up as often as a number is above the code below it: right on average."""

import jax
import jax.numpy as jnp

from imcjax.pytree import record
from imcjax.quantize.base import Codes, divisor, format_family, top_code, whole_bits
from imcjax.quantize.straight_through import clip_through, straight_through
from imcjax.quantize.symmetric import Symmetric


@format_family("stochastic")
@record
class Stochastic(Symmetric):
    """`Symmetric` with stochastic rounding: floor(u) + Bernoulli(u - floor(u)), u in codes.

    Inside the range it has no bias and the variance f (1 - f) <= 1/4 of a step squared, f the fraction (Gupta et al., "Deep
    learning with limited numerical precision", ICML 2015). The gradients are those of `Symmetric`. Without a key it rounds to
    the nearest code.
    """

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        if key is None:
            return super()._codes(x, key)
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=self.signed)
        limit = self._number(self._largest(x) if self.limit is None else self.limit, x)
        step, usable = divisor(limit / top)
        units = clip_through(x, -limit if self.signed else jnp.zeros_like(limit), limit) / step
        drawn = jnp.floor(units + jax.random.uniform(key, x.shape, x.dtype))
        drawn = jnp.clip(drawn, -top if self.signed else 0, top)
        return Codes(jnp.where(usable, straight_through(drawn, units), 0), limit / top)
