"""Pseudo quantization noise in place of rounding (DiffQ: Defossez et al., TMLR 2022).

    x + Delta(b) U(-1/2, 1/2),   Delta = span / (2^b - 1),   span = 2 range signed, range unsigned

is differentiable in the value and in the width. The loss rises by about tr(H) Delta^2 / 24, so that its gradient to the width
sees the curvature. Here Delta is that of the nearest whole width (the gradient is that of the real one), and without a key the
values are the quantizer's. While noise stands in for rounding, training sees no discretisation, and at few bits the network is
off when rounding comes: follow it with sampled widths or with tuning.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from imcjax.codesign.bitwidths.base import RealWidths, Variables, at_width, clipped
from imcjax.quantize import round_through


@dataclass(frozen=True)
class Noise(RealWidths):
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
        """See `Method`; the noise is drawn from `key`, one number for each value."""
        del progress
        if key is None:
            return at_width(x, value_range, variables, signed=signed)
        held = clipped(x, value_range, signed=signed)
        bits = round_through(jnp.where(variables < 1, 1.0, variables))
        step = (2.0 if signed else 1.0) * value_range / (jnp.exp2(bits) - 1)
        return held + (step * jax.random.uniform(key, x.shape, x.dtype, -0.5, 0.5)).astype(x.dtype)
