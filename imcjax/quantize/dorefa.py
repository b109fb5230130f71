"""DoReFa-Net's weights and activations."""

from typing import Any

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record
from imcjax.quantize.base import Codes, Format, format_family, top_code, whole_bits
from imcjax.quantize.groups import reduce_groups
from imcjax.quantize.straight_through import clip_through, round_through, straight_through


@format_family("dorefa_weights")
@record
class DorefaWeights(Format):
    """x^ = 2 q(tanh(x) / (2 max|tanh(x)|) + 1/2) - 1 with q(r) = round((2^b - 1) r) / (2^b - 1), in [-1, 1].

    Zhou et al., "DoReFa-Net", arXiv 1606.06160; at one bit E|x| sign(x). Rounding and the sign pass gradients
    straight through; those of tanh and of the largest are exact, that of E|x| is left out. `codes` are the odd numbers up to
    2^b - 1.

    Attributes:
      bits: b.
    """

    bits: Any = number(default=4.0, low=1, high=16)

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=False)
        bent = jnp.tanh(x)
        largest = self._number(reduce_groups(jnp.max, jnp.abs(bent), self.axis, self.rows), x)
        largest = jnp.where(largest > 0, largest, 1)
        codes = 2 * round_through(top * (bent / (2 * largest) + 0.5)) - top
        mean = self._number(self._reduce(jnp.mean, jnp.abs(x)), x)
        binary = top == 1
        scale = jnp.where(binary, mean, 1 / top)
        sign = straight_through(jnp.where(x < 0, -1, 1).astype(x.dtype), x / jnp.where(mean > 0, mean, 1))
        return Codes(jnp.where(binary, sign, codes), scale)


@format_family("dorefa")
@record
class Dorefa(Format):
    """x^ = q(clip(x, 0, 1)) with q of `DorefaWeights`, for activations (arXiv 1606.06160).

    Attributes:
      bits: b.
    """

    bits: Any = number(default=4.0, low=1, high=16)

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=False)
        return Codes(round_through(top * clip_through(x, 0.0, 1.0)), 1 / top)
