"""Sampled whole widths: in every step the one below or the one above a real width, with its fraction as probability.

The forward pass is the quantizer's at the drawn width; the gradient to the width is the difference of both neighbours,
Q_floor(b)+1 - Q_floor(b), as of their interpolation. The draw sharpens over the search: with pi = f^t / (f^t + (1 - f)^t) and t
from 1 to `sharpest`, it ends near rounding. That form of sharpening is ours.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.codesign.bitwidths.base import RealWidths, Variables, at_width, neighbours
from imcjax.keys import fold_name


@dataclass(frozen=True)
class Sampled(RealWidths):
    """Variables are the real widths.

    sharpest: t at the end of the search.
    """

    sharpest: float = 20.0

    def probability(self, fraction: jax.Array, progress: jax.Array | float) -> jax.Array:
        """Of the width above."""
        t = self.sharpest ** jnp.asarray(progress, fraction.dtype)
        up, down = fraction**t, (1 - fraction) ** t
        return up / (up + down)

    def quantize(
        self,
        x: jax.Array,
        value_range: jax.Array,
        variables: Variables,
        *,
        signed: bool,
        key: jax.Array | None = None,
        progress: jax.Array | float = 0.0,
    ) -> jax.Array:
        """See `Method`; one width is drawn for each real one."""
        if key is None:
            return at_width(x, value_range, variables, signed=signed)
        low, high, fraction = neighbours(x, value_range, variables, signed=signed)
        chance = self.probability(lax.stop_gradient(fraction), progress)
        above = jax.random.bernoulli(fold_name(key, "width"), chance)
        slope = lax.stop_gradient(high - low)
        return (jnp.where(above, high, low) + slope * (fraction - lax.stop_gradient(fraction))).astype(x.dtype)
