"""Random numbers of a device, drawn once and kept in its state; without a key the value of a device that is like the mean."""

import jax
import jax.numpy as jnp

from imcjax import fast_random


def normal(key: jax.Array | None, like: jax.Array) -> jax.Array:
    """Standard normal deviates of the shape of `like`; zero without a key."""
    return jnp.zeros_like(like) if key is None else fast_random.normal(key, like.shape, like.dtype)


def chosen(key: jax.Array | None, probability: jax.Array | float, like: jax.Array) -> jax.Array:
    """1.0 where a device is one of the `probability` that has something, else 0.0; none has without a key.

    A number and not a boolean, so that a whole chip can be differentiated.
    """
    if key is None:
        return jnp.zeros_like(like)
    return (jax.random.uniform(key, like.shape, like.dtype) < probability).astype(like.dtype)
