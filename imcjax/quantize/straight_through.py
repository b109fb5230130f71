"""The one rule by which rounding is differentiated: values as the hardware computes them, gradients of a smooth stand-in.

The straight-through estimator goes back to Bengio, Leonard and Courville, arXiv 1308.3432.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def straight_through(value: Float[Array, "..."], surrogate: Float[Array, "..."]) -> Float[Array, "..."]:
    """`value` in the forward pass, to the last bit; the derivatives of `surrogate` in every mode of differentiation."""
    return lax.stop_gradient(value) + (surrogate - lax.stop_gradient(surrogate))


def round_through(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Round half to even; the gradient passes as through the identity."""
    return straight_through(jnp.round(x), x)


def ceil_through(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Round up; the gradient passes as through the identity."""
    return straight_through(jnp.ceil(x), x)


def clip_through(x: jax.Array, low: jax.Array | float, high: jax.Array | float) -> jax.Array:
    """`x` held to [low, high]. Inside, ends included, the gradient goes to `x`; outside, to the end that was met."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))
