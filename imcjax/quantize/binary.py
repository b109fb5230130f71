"""One bit: signs with a scale, and without."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.pytree import record
from imcjax.quantize.base import Codes, Format, format_family
from imcjax.quantize.straight_through import clip_through, straight_through


def sign(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 or -1, 1 at zero: a bit has no third value."""
    return jnp.where(x < 0, -1, 1).astype(x.dtype)


@format_family("bwn")
@record
class Bwn(Format):
    """x^ = alpha sign(x) with alpha = E|x|, for weights; axis=-1 gives each output channel its own.

    Rastegari et al., "XNOR-Net", ECCV 2016, with their gradient g (1 / n + alpha 1[|x| <= 1]), n the number of weights that
    share alpha: the derivative of alpha is taken as if no other weight had one.
    """

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        mean = self._reduce(jnp.mean, jnp.abs(x))
        alpha = self._number(mean, x)
        safe = jnp.where(alpha > 0, alpha, 1)
        smooth = clip_through(x, -1.0, 1.0) + x * (mean.size / x.size) / safe
        return Codes(straight_through(sign(x), smooth), alpha)


@format_family("sign")
@record
class Sign(Format):
    """x^ = sign(x), for activations, with the gradient 1[|x| <= 1] (Courbariaux et al., arXiv 1602.02830)."""

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        return Codes(straight_through(sign(x), clip_through(x, -1.0, 1.0)), jnp.ones((), x.dtype))


def window_scale(
    x: Float[Array, "batch *space channels"], window: Sequence[int], strides: Sequence[int], padding: str
) -> Float[Array, "batch *positions 1"]:
    """XNOR-Net's K, by which a convolution of signs is multiplied: the mean magnitude of the inputs that each output sees.

    (Rastegari et al., ECCV 2016: |x| averaged over the channels, then over the window; padding counts as zeros.)

    Args:
      x: (batch, *space, channels) real inputs.
      window, strides: of the convolution, one number for each axis of space.
      padding: "SAME" or "VALID".
    """
    mean = jnp.mean(jnp.abs(x), axis=-1, keepdims=True)
    kernel = jnp.ones((*window, 1, 1), x.dtype)
    space = "DHW"[-len(window) :]
    layout = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(mean, kernel, strides, padding, dimension_numbers=layout) / kernel.size
