"""A random generator made for Monte-Carlo on CPUs: an eleventh of threefry's time per normal number.

Bits come from a 32-bit counter hash (C. Wellons' "lowbias32", the multiply-xorshift hash of least measured bias), applied twice
with a key word mixed in before each round. Seeding, folding and splitting are threefry's, so keys are as independent as
`jax.random`'s; only the stream of one key is cheaper. At most 2^32 numbers are drawn from one key. It is made for noise in
simulations, not for cryptography; `jax.random.key(seed)` selects threefry instead, and everything in imcjax takes either.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random as extend


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    words = 2 if bit_width == 64 else 1
    counter = lax.iota(jnp.uint32, words * math.prod(shape))
    bits = _mix(_mix(counter ^ key[0]) + key[1])
    if bit_width == 64:
        high, low = bits.reshape(2, *shape).astype(jnp.uint64)
        return (high << 32) | low
    return (bits >> (32 - bit_width)).astype(f"uint{bit_width}").reshape(shape)


def _threefry(key: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(key, impl="threefry2x32")


def _seed(seed: jax.Array) -> jax.Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.key_data(jax.random.split(_threefry(key), shape))


def _fold_in(key: jax.Array, data: jax.Array | int) -> jax.Array:
    return jax.random.key_data(jax.random.fold_in(_threefry(key), data))


FAST = extend.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="imcjax_fast",
    tag="imcf",
)


def fast_key(seed: int | jax.Array) -> jax.Array:
    """A typed key as `jax.random.key(seed)`, whose streams are cheap; all of `jax.random` and of imcjax takes it."""
    return jax.random.key(seed, impl=FAST)
