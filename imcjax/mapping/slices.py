"""Digits: a code of many bits as several digits of few bits, one per memory cell (weights) or per input phase (inputs).

Digits are of the magnitude and carry the sign of the code, least significant first: code = sum_s digit_s 2^(k s).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def count(magnitude_bits: int, digit_bits: int) -> int:
    """How many digits of `digit_bits` bits hold `magnitude_bits` bits."""
    return max(1, -(-magnitude_bits // digit_bits))


def in_use(magnitude_bits: jax.Array | float, digit_bits: int) -> jax.Array:
    """The number of digits that a traced number of magnitude bits needs: a whole number >= 1, without gradient."""
    return lax.stop_gradient(jnp.maximum(jnp.ceil(jnp.round(jnp.asarray(magnitude_bits, dtype=float)) / digit_bits), 1.0))


def split(codes: Float[Array, "..."], digits: int, digit_bits: int, used: jax.Array) -> Float[Array, "digits ..."]:
    """Signed digits of whole-numbered codes.

    The gradient of a code is shared between the digits in use, d digit_s / d code = 2^(-k s) / used, so that their weighted sum
    has the gradient of the code itself. Floor and modulus passed straight through would send all of it to the top digit.

    Args:
      codes: (...) whole numbers of magnitude < 2^(digits * digit_bits).
      digits: how many digits, S.
      digit_bits: bits of a digit, k.
      used: how many of them, from the least significant up, are in use (`in_use`); the others are zero.

    Returns:
      (S, ...) digits in [-(2^k - 1), 2^k - 1].
    """
    value = lax.stop_gradient(codes)
    magnitude, sign = jnp.abs(value), jnp.sign(value)
    smooth = codes - value
    parts = []
    for s in range(digits):
        digit = jnp.mod(jnp.floor(magnitude * 2.0 ** (-digit_bits * s)), 2.0**digit_bits)
        parts.append(sign * digit + smooth * (2.0 ** (-digit_bits * s) / used).astype(codes.dtype))
    return jnp.stack(parts)


def weights(digits: int, digit_bits: int, used: jax.Array, dtype: jnp.dtype) -> Float[Array, " digits"]:
    """(S,) the place value 2^(k s) of each digit, zero for those not in use: no noise, no conversion comes from them."""
    place = jnp.arange(digits)
    return jnp.where(place < used, jnp.exp2(place * float(digit_bits)), 0.0).astype(dtype)
