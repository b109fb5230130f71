"""Gaussian noise added in one pass: around random numbers XLA's loops are quick where nothing else is in them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.fast_random import normal
from imcjax.written import written


def with_noise(
    x: jax.Array,
    sigma: jax.Array | float,
    key: jax.Array,
    *,
    draw: Callable[..., jax.Array] = normal,
    number: jax.Array | None = None,
    cotangent: bool = False,
) -> jax.Array:
    """`x` and Gaussian noise of standard deviation `sigma`, as many numbers as both broadcast to; stored, so drawn once.

    Args:
      x: (...) any unit.
      sigma: in that unit.
      key: of the noise.
      draw: `normal`, or `rough_normal` for noise in training.
      number: as `written` takes it, where one is an argument of the program and the same for all keys that are mapped over: XLA
        stores nothing behind a branch that it knows, or of which it computes both sides. None: one made of the key.
      cotangent: store the gradient in one pass, too: for what a convolution gives.
    """
    sigma = jnp.asarray(sigma, x.dtype)
    x = jnp.broadcast_to(x, jnp.broadcast_shapes(x.shape, sigma.shape))
    # One axis: a loop over two, around random numbers, is not vectorised.
    flat = sigma.reshape(()) if sigma.size == 1 else jnp.broadcast_to(sigma, x.shape).ravel()

    def noisy(x: jax.Array, sigma: jax.Array, key: jax.Array) -> jax.Array:
        return x + sigma * draw(key, x.shape, x.dtype)

    number = _number_of(key) if number is None else number
    return written(noisy, x.ravel(), flat, key, number=number, cotangent=cotangent).reshape(x.shape)


def _number_of(key: jax.Array) -> jax.Array:
    """A float32 that is finite whatever the key."""
    word = jax.random.key_data(key).ravel()[0]
    return lax.bitcast_convert_type(word & jnp.uint32(0x3FFFFFFF), jnp.float32)
