"""Choosing the range of a converter from the values that it will see."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.quantize import quantize


CANDIDATES = 24


def best_range(
    values: Float[Array, " n"],
    bits: jax.Array | float,
    *,
    signed: bool = True,
    weights: Float[Array, " n"] | None = None,
    fallback: jax.Array | float = 1.0,
) -> Float[Array, ""]:
    """The range with the least mean squared error among `CANDIDATES` fractions, down to 1/16, of the largest magnitude.

    Few bits gain from clipping the tail; many bits keep it (Sung, Shin and Hwang, arXiv 1511.06488).

    Args:
      values: (n,) samples, any unit.
      bits: resolution of the converter.
      signed: whether the converter has negative codes.
      weights: (n,) how much each sample's error counts.
      fallback: the range where all values are zero.

    Returns:
      The range, in the unit of `values`; without gradient.
    """
    top = jnp.max(jnp.abs(values))
    fractions = jnp.geomspace(1 / 16, 1.0, CANDIDATES)

    def error(fraction: jax.Array) -> jax.Array:
        codes, step = quantize(values, fraction * top, bits, signed=signed)
        return jnp.average((codes * step - values) ** 2, weights=weights)

    errors = jax.lax.map(error, fractions)
    chosen = fractions[jnp.argmin(errors)] * top
    return jax.lax.stop_gradient(jnp.where(top > 0, chosen, fallback))
