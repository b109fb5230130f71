"""Digits: a code of many bits as several digits of few bits, one per memory cell (weights) or per input phase (inputs).

Digits are of the magnitude and carry the sign of the code, least significant first: code = sum_s digit_s 2^(k s).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.mapping.base import Digits


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
    # What is left above each digit, whole numbers: a remainder is a library call for every element on CPUs.
    left = [magnitude, *(jnp.floor(magnitude * 2.0 ** (-digit_bits * s)) for s in range(1, digits)), jnp.zeros_like(magnitude)]
    for s in range(digits):
        digit = left[s] - 2.0**digit_bits * left[s + 1]
        parts.append(sign * digit + smooth * (2.0 ** (-digit_bits * s) / used).astype(codes.dtype))
    return jnp.stack(parts)


def weights(digits: int, digit_bits: int, used: jax.Array, dtype: jnp.dtype) -> Float[Array, " digits"]:
    """(S,) the place value 2^(k s) of each digit, zero for those not in use: no noise, no conversion comes from them."""
    place = jnp.arange(digits)
    return jnp.where(place < used, jnp.exp2(place * float(digit_bits)), 0.0).astype(dtype)


def signed_digits(codes: Float[Array, "..."], bits: jax.Array | float | None, digits: int, digit_bits: int) -> Digits:
    """Sign and magnitude: digits of the magnitude of codes of `bits` bits that carry their sign; with None, one digit."""
    if bits is None:
        return Digits(codes[None], jnp.ones(1, codes.dtype), None)
    used = in_use(jnp.round(bits) - 1, digit_bits)
    return Digits(split(codes, digits, digit_bits, used), weights(digits, digit_bits, used, codes.dtype), None)


def twos_complement(
    codes: Float[Array, "..."], bits: jax.Array | float, digits: int, digit_bits: int
) -> tuple[Float[Array, "digits ..."], Float[Array, " digits"]]:
    """Two's complement digits of codes of `bits` bits, and their place values; the last is the sign, of place -2^(bits - 1).

    None of the digits is negative. The gradient of a code is shared between the digits below the sign.
    """
    bits = lax.stop_gradient(jnp.round(jnp.asarray(bits, codes.dtype)))
    modulus = jnp.exp2(bits - 1)
    negative = lax.stop_gradient((codes < 0).astype(codes.dtype))
    used = in_use(bits - 1, digit_bits)
    lower = split(codes + negative * modulus, digits - 1, digit_bits, used)
    place = jnp.append(weights(digits - 1, digit_bits, used, codes.dtype), -modulus)
    return jnp.concatenate([lower, negative[None]]), place
