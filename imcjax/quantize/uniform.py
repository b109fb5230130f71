"""Uniform quantizers with a range and a traced bit-width: number -> integer code, held as a float.

The step is derived from the range, so a bit less coarsens the grid and leaves the range alone. Because rounding passes
gradients straight through, the product `code * step` has the LSQ gradient with respect to the step (Esser et al., ICLR 2020,
eq. 3) and, through step(bits), a gradient with respect to the bit-width.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.quantize.straight_through import clip_through, round_through


def largest_code(bits: jax.Array | float, *, signed: bool) -> jax.Array:
    """The largest code of `bits` bits: 2^(b-1) - 1 signed (narrow range: as many codes below zero as above), else 2^b - 1."""
    return jnp.exp2(jnp.asarray(bits, dtype=float) - 1.0) - 1.0 if signed else jnp.exp2(jnp.asarray(bits, dtype=float)) - 1.0


def quantize(
    x: Float[Array, "..."], value_range: jax.Array | float, bits: jax.Array | float, *, signed: bool = True
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Codes and step of a uniform quantizer.

    Args:
      x: (...) the numbers to quantize.
      value_range: the largest representable magnitude, in units of x; broadcasts against x. A range of 0 gives codes of 0.
      bits: bit-width; rounded to a whole number in the forward pass, the gradient passes straight through. At least 2 if
        signed (one bit would leave the zero code alone), at least 1 if unsigned.
      signed: codes in [-(2^(b-1) - 1), 2^(b-1) - 1], else in [0, 2^b - 1].

    Returns:
      (codes, step): whole numbers of the shape of x, and the value of one code, in units of x.
    """
    top = largest_code(round_through(jnp.asarray(bits, dtype=float)), signed=signed).astype(x.dtype)
    value_range = jnp.asarray(value_range, x.dtype)
    # A range of 0, or one so small that its codes per unit overflow, has no codes but 0.
    nonzero = value_range > top * jnp.finfo(x.dtype).tiny
    codes_per_unit = top / jnp.where(nonzero, value_range, 1)
    # Clipped before scaling: x at the very end of the range counts as inside, whatever the rounding of the quotient.
    clipped = clip_through(x, -value_range if signed else jnp.zeros_like(value_range), value_range)
    return round_through(jnp.where(nonzero, clipped * codes_per_unit, 0)), value_range / top
