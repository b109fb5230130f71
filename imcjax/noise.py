"""Gaussian noise added in one pass: around random numbers XLA's loops are quick where nothing else is in them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.fast_random import normal
from imcjax.written import written


def with_noise(x: jax.Array, sigma: jax.Array | float, key: jax.Array, **how: Any) -> jax.Array:
    """`x` and Gaussian noise of standard deviation `sigma`, as many numbers as both broadcast to; stored, so drawn once.

    Args:
      x: (...) any unit.
      sigma: in that unit.
      key: of the noise.
      how: as for `parts_with_noise`.
    """
    sigma = jnp.asarray(sigma, x.dtype)
    x = jnp.broadcast_to(x, jnp.broadcast_shapes(x.shape, sigma.shape))
    (noisy,) = parts_with_noise(x if x.ndim else x[None], sigma, key, (len(x) if x.ndim else 1,), **how)
    return noisy.reshape(x.shape)


def parts_with_noise(
    x: jax.Array,
    sigma: jax.Array,
    key: jax.Array,
    sizes: Sequence[int],
    *,
    draw: Callable[..., jax.Array] = normal,
    number: jax.Array | None = None,
    cotangent: bool = False,
) -> tuple[jax.Array, ...]:
    """`with_noise` in parts of so many entries along the first axis: to split what is stored whole would be to copy it.

    Args:
      x: (n, ...) any unit.
      sigma: in that unit; broadcasts against x.
      key: of the noise, which does not depend on the parts.
      sizes: of the parts; together the first axis of x.
      draw: `normal`, or `rough_normal` for noise in training.
      number: as `written` takes it, where one is an argument of the program and the same for all keys that are mapped over: XLA
        stores nothing behind a branch that it knows, or of which it computes both sides. None: one made of the key.
      cotangent: store the gradient in one pass, too: for what a convolution gives.
    """
    sigma = jnp.asarray(sigma, x.dtype)
    sigma = sigma.reshape(()) if sigma.size == 1 else sigma
    each = x.size // max(1, sum(sizes))

    def noisy(x: jax.Array, sigma: jax.Array, key: jax.Array) -> list[jax.Array]:
        if jax.default_backend() != "cpu":  # an array that lies on several devices would have to be put together first
            return derived(x, sigma, key)
        # One axis: a loop over two, around random numbers, is not vectorised.
        sigma = jnp.broadcast_to(sigma, x.shape).ravel() if sigma.ndim else sigma
        parts = lax.split(x.ravel() + sigma * draw(key, (x.size,), x.dtype), [size * each for size in sizes])
        return [part.reshape(size, *x.shape[1:]) for part, size in zip(parts, sizes, strict=True)]

    def derived(x: jax.Array, sigma: jax.Array, key: jax.Array) -> list[jax.Array]:
        return list(lax.split(x + sigma * draw(key, x.shape, x.dtype), sizes))

    number = _number_of(key) if number is None else number
    return tuple(written(noisy, x, sigma, key, number=number, derive=derived, cotangent=cotangent))


def _number_of(key: jax.Array) -> jax.Array:
    """A float32 that is finite whatever the key."""
    word = jax.random.key_data(key).ravel()[0]
    return lax.bitcast_convert_type(word & jnp.uint32(0x3FFFFFFF), jnp.float32)
