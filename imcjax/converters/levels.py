"""Comparing with a table of levels: what SAR, ramp and flash converters do."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from imcjax.fast_random import normal
from imcjax.keys import fold_index


def nominal_levels(widest: int, dtype: jnp.dtype) -> Float[Array, " levels"]:
    """The 2^widest thresholds of an ideal converter, -1 + 2k / 2^widest; number 0 is below every input."""
    return jnp.arange(-(2 ** (widest - 1)), 2 ** (widest - 1), dtype=dtype) / 2 ** (widest - 1)


def look_up(table: Float[Array, "... n"], index: Int[Array, "..."]) -> Float[Array, "..."]:
    """table[..., index]: the leading axes of the table broadcast against the axes of `index`, without being repeated."""
    leading = table.shape[:-1]
    first = jnp.arange(math.prod(leading), dtype=index.dtype).reshape(leading) * table.shape[-1]
    return jnp.take(table.reshape(-1), first + index, mode="clip")  # on CPUs in two thirds of take_along_axis's time


def successive(
    v: Float[Array, "..."],
    levels: Float[Array, "... n"],
    bits: jax.Array | float,
    *,
    noise_sigma: jax.Array | float | None = None,
    key: jax.Array | None = None,
) -> tuple[Int[Array, "..."], Float[Array, "..."]]:
    """Successive approximation: one bit after another, most significant first, each kept where the input is above its level.

    Where levels rise this is also the count of levels below the input. Narrower conversions stop early.

    Args:
      v: (...) inputs.
      levels: (..., 2^widest) level number k is compared with when the register would become k; leading axes broadcast.
      bits: bits to decide, at most the widest.
      noise_sigma: standard deviation of each comparison's noise, in units of v.
      key: draws that noise.

    Returns:
      The register (...), in [0, 2^widest), its undecided bits zero; and the noise (...), in standard deviations, of the
      comparison closest to its level, the one that mattered most. Both without gradient.
    """
    widest = levels.shape[-1].bit_length() - 1
    shape = jnp.broadcast_shapes(v.shape, levels.shape[:-1])
    v, levels, noise_sigma = lax.stop_gradient((jnp.broadcast_to(v, shape), levels, noise_sigma))
    register = jnp.zeros(shape, jnp.int32)
    critical, margin = jnp.zeros(shape, v.dtype), jnp.full(shape, jnp.inf, v.dtype)
    for stage in reversed(range(widest)):
        trial = register + 2**stage
        excess = v - look_up(levels, trial)
        decided = widest - stage <= bits
        if noise_sigma is not None and key is not None:
            noise = normal(fold_index(key, stage), shape, v.dtype)
            excess = excess + noise_sigma * noise
            closer = decided & (jnp.abs(excess) < margin)
            critical, margin = jnp.where(closer, noise, critical), jnp.where(closer, jnp.abs(excess), margin)
        register = jnp.where(decided & (excess > 0), trial, register)
    return register, critical


def displacement(table: Float[Array, "... n"], register: Int[Array, "..."], span: Int[Array, ""]) -> Float[Array, "..."]:
    """How far the bin of each code has moved: the mean of the table at the two levels that enclose it.

    Args:
      table: (..., 2^widest) displacement of each level; entry 0 is not used.
      register: (...) the lower level of each bin.
      span: levels in one bin, 2^(widest - bits); the outermost bins have one enclosing level.
    """
    lower = look_up(table, jnp.maximum(register, span))
    upper = look_up(table, jnp.minimum(register + span, table.shape[-1] - span))
    return (lower + upper) / 2


def bin_span(widest: int, bits: jax.Array) -> Int[Array, ""]:
    """2^(widest - bits), how many of the widest converter's codes make one of a narrower one."""
    return jnp.maximum(jnp.round(jnp.exp2(widest - bits)), 1).astype(jnp.int32)
