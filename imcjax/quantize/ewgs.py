"""EWGS: gradients scaled by which way they push a number that rounding has moved."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record
from imcjax.quantize.affine import Affine
from imcjax.quantize.base import Codes, divisor, format_family, top_code, whole_bits
from imcjax.quantize.straight_through import clip_through, straight_through


@format_family("ewgs")
@record
class Ewgs(Affine):
    """q = round(u (2^b - 1)) / (2^b - 1) with u = clip((x - low) / (high - low), 0, 1); x^ = low + (high - low) q.

    Lee, Kim and Ham, "Network quantization with element-wise gradient scaling", CVPR 2021: a gradient g reaches u as
    g (1 + delta sign(g) (u - q)). Being no linear function of g it has no forward-mode derivative. (The paper's weights are
    2 q - 1 and activations q, each times a trained scale; here the interval is the scale.)

    Attributes:
      bits: b.
      low, high: the interval, as of `Affine`, with no code of its own for zero.
      delta: 0 is the straight-through estimator; the paper sets it by the Hessian's trace, or to 1e-3.
    """

    delta: Any = number(default=1e-3, low=0.0)

    learned: ClassVar[tuple[str, ...]] = ("low", "high")

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        found = self._init(x) if self.low is None else self
        low, high = self._number(found.low, x), self._number(found.high, x)
        top = top_code(whole_bits(self._number(self.bits, x), x.dtype), signed=False)
        extent, usable = divisor(high - low)
        units = clip_through((x - low) / extent, 0.0, 1.0)
        moved = jax.lax.stop_gradient(units - jnp.round(units * top) / top)
        codes = straight_through(jnp.round(units * top), _scaled(units, self._number(self.delta, x) * moved) * top)
        return Codes(jnp.where(usable, codes, 0), jnp.where(usable, extent / top, 0), low)


@jax.custom_vjp
def _scaled(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x, whose gradient g comes back as g (1 + sign(g) weight)."""
    return x


def _forward(x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x, weight


def _backward(weight: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    return g * (1 + jnp.sign(g) * weight), jnp.zeros_like(weight)


_scaled.defvjp(_forward, _backward)
