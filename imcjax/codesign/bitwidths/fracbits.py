"""FracBits: between two whole widths, the blend of both quantizers (Yang and Jin, AAAI 2021).

    Q_b = (1 - f) Q_floor(b) + f Q_floor(b)+1,  f = b - floor(b)        d Q_b / d b = Q_floor(b)+1 - Q_floor(b)

The paper computes with the blend, which takes two passes and is no hardware's; here the forward pass has the nearer of the two
widths, and gradients are the blend's. BitPruning (Nikolic et al., arXiv 2002.03090) interpolates in the same way.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from imcjax.codesign.bitwidths.base import RealWidths, Variables, neighbours
from imcjax.quantize import straight_through


@dataclass(frozen=True)
class FracBits(RealWidths):
    """Variables are the real widths."""

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
        """See `Method`; nothing is drawn."""
        del key, progress
        low, high, fraction = neighbours(x, value_range, variables, signed=signed)
        nearer = jnp.where(jnp.round(variables) == jnp.floor(variables), low, high)
        return straight_through(nearer, (1 - fraction) * low + fraction * high)
