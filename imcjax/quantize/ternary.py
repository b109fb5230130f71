"""Three values: none, one up, one down."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record
from imcjax.quantize.base import Codes, Format, format_family
from imcjax.quantize.straight_through import straight_through


@format_family("twn")
@record
class Twn(Format):
    """x^ = alpha in {-1, 0, 1}: zero up to D = 0.7 E|x|, alpha the mean of the magnitudes above it.

    Li, Zhang and Liu, "Ternary weight networks", arXiv 1605.04711. The gradient passes as through the identity.

    Attributes:
      threshold: D / E|x|.
    """

    threshold: Any = number(default=0.7, low=0.0)

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        size = jnp.abs(x)
        limit = self._number(self.threshold, x) * self._number(self._reduce(jnp.mean, size), x)
        above = (size > limit).astype(x.dtype)
        count = self._reduce(jnp.sum, above)
        alpha = self._number(self._reduce(jnp.sum, size * above) / jnp.where(count > 0, count, 1), x)
        codes = jnp.where(x < 0, -above, above)
        return Codes(straight_through(codes, x / jnp.where(alpha > 0, alpha, 1)), alpha)


@format_family("ttq")
@record
class Ttq(Format):
    """x^ = up above D, -down below -D, else 0, with D = threshold max|x| and both levels trained.

    Zhu et al., "Trained ternary quantization", ICLR 2017: the gradient of `up` is the sum of those above D, that
    of `down` minus the sum of those below -D (the level is -down), and a weight's own is times up, 1 or down.

    Attributes:
      up, down: the magnitudes of the levels; `init` makes them the means of what lies above D and below -D.
      threshold: D / max|x|.
    """

    up: Any = number(default=None, low=0.0)
    down: Any = number(default=None, low=0.0)
    threshold: Any = number(default=0.05, low=0.0, high=1.0)

    needed: ClassVar[tuple[str, ...]] = ("up", "down")
    learned: ClassVar[tuple[str, ...]] = ("up", "down")

    def _sides(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        limit = self._number(self.threshold, x) * self._number(self._largest(x), x)
        return (x > limit).astype(x.dtype), (x < -limit).astype(x.dtype)

    def _values(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        above, below = self._sides(x)
        up, down = self._number(self.up, x), self._number(self.down, x)
        slope = jax.lax.stop_gradient(above * up + below * down + (1 - above - below))
        own = slope * x
        return above * up - below * down + (own - jax.lax.stop_gradient(own))

    def _init(self, x: jax.Array) -> Self:
        def mean(side: jax.Array) -> jax.Array:
            count = self._reduce(jnp.sum, side)
            return self._reduce(jnp.sum, side * jnp.abs(x)) / jnp.where(count > 0, count, 1)

        above, below = self._sides(x)
        return self.replace(up=mean(above), down=mean(below))
