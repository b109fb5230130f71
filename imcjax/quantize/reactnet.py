"""ReActNet's activations: signs and a PReLU, both with trained shifts."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.pytree import number, record
from imcjax.quantize.base import Codes, Format, format_family
from imcjax.quantize.binary import sign
from imcjax.quantize.straight_through import clip_through, straight_through


@format_family("rsign")
@record
class RSign(Format):
    """x^ = sign(x - shift), with axis=-1 a shift for each channel: free where an ADC's reference can be shifted.

    Liu et al., "ReActNet", ECCV 2020. The gradient is Bi-Real Net's, 2 - 2 |x - shift| within 1, to x and its opposite
    to the shift (Liu et al., "Bi-Real Net", ECCV 2018).

    Attributes:
      shift: the threshold, in units of x; `init` makes it 0.
    """

    shift: Any = number(default=None)

    needed: ClassVar[tuple[str, ...]] = ("shift",)
    learned: ClassVar[tuple[str, ...]] = ("shift",)

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        moved = x - self._number(self.shift, x)
        near = clip_through(moved, -1.0, 1.0)
        return Codes(straight_through(sign(moved), 2 * near - near * jnp.abs(near)), jnp.ones((), x.dtype))

    def _init(self, x: jax.Array) -> Self:
        return self.replace(shift=jnp.zeros_like(self._largest(x)))


@record
class RPRelu:
    """x - gamma + zeta above gamma, slope (x - gamma) + zeta below (ReActNet).

    Attributes:
      gamma, zeta: shifts before and after, in units of x; each broadcasts against it, one a channel.
      slope: below gamma.
    """

    gamma: Any = number(default=0.0)
    zeta: Any = number(default=0.0)
    slope: Any = number(default=0.25)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """(...) of x (...)."""
        moved = x - self.gamma
        return jnp.where(moved > 0, moved, self.slope * moved) + self.zeta
