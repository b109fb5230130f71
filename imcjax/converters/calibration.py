"""Choosing the range of a converter from the values that it will see, or learning it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.errors import UserError, concrete
from imcjax.quantize import largest_code, quantize, straight_through


CANDIDATES = 24
CSNR_CANDIDATES = 64
ITERATIONS = 40
"""Of the fixed point of `gaussian_range`, which converges to float32 in fewer for up to 16 bits."""


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


def max_range(values: Float[Array, " n"], *, fallback: jax.Array | float = 1.0) -> Float[Array, ""]:
    """The largest magnitude of (n,) values: nothing clips. `fallback` where all are zero; without gradient."""
    return _without_gradient(jnp.max(jnp.abs(values)), fallback)


def percentile_range(
    values: Float[Array, " n"],
    percent: jax.Array | float,
    *,
    weights: Float[Array, " n"] | None = None,
    fallback: jax.Array | float = 1.0,
) -> Float[Array, ""]:
    """The magnitude that `percent` of (n,) values do not exceed, linear between two of them; values of weight 0 do not count.

    `fallback` where it is zero; without gradient.
    """
    counted = jnp.ones(values.shape, bool) if weights is None else weights > 0
    magnitudes = jnp.sort(jnp.where(counted, jnp.abs(values), -1))  # what does not count comes first
    missing, last = jnp.sum(~counted), values.shape[0] - 1
    place = jnp.asarray(percent, magnitudes.dtype) / 100 * (last - missing)  # among those that count
    below = jnp.clip(missing + jnp.floor(place).astype(int), 0, last)
    low, high = magnitudes[below], magnitudes[jnp.minimum(below + 1, last)]
    return _without_gradient(low + (place - jnp.floor(place)) * (high - low), fallback)


def csnr(reported: Float[Array, "..."], ideal: Float[Array, "..."]) -> Float[Array, ""]:
    """Compute signal-to-noise ratio: the power of the ideal sums over that of all that was reported beside them.

    Both arrays have the same shape and unit. Unlike the converter's own ratio (SQNR) it counts what happened before the
    converter too (Kavishwar and Shanbhag, arXiv 2507.09776).
    """
    return jnp.var(ideal) / jnp.mean((reported - ideal) ** 2)


def csnr_range(
    values: Float[Array, " n"],
    ideal: Float[Array, " n"],
    convert: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    weights: Float[Array, " n"] | None = None,
    fallback: jax.Array | float = 1.0,
) -> Float[Array, ""]:
    """The range with the largest `csnr` among `CSNR_CANDIDATES` fractions, down to 1/16, of the largest magnitude.

    Args:
      values: (n,) what arrives at the converter, analog noise included.
      ideal: (n,) what would arrive without noise.
      convert: (values, range) -> (n,) what the converter reports, a circuit's own flaws included.
      weights: (n,) how much each value counts; None: all the same.
      fallback: the range where all values are zero.

    Returns:
      The range, in the unit of `values`; without gradient.
    """
    top = jnp.max(jnp.abs(values))
    fractions = jnp.geomspace(1 / 16, 1.0, CSNR_CANDIDATES)

    def error(fraction: jax.Array) -> jax.Array:
        return jnp.average((convert(values, fraction * top) - ideal) ** 2, weights=weights)

    errors = jax.lax.map(error, fractions)
    return _without_gradient(fractions[jnp.argmin(errors)] * top, fallback)


def gaussian_range(std: jax.Array | float, levels: jax.Array | float) -> jax.Array:
    """The range of least clipping and quantization noise for normal sums of zero mean.

    A partial sum of many products is nearly normal, so its standard deviation is all that has to be known. With the step
    D = 2 range / (levels - 1), the noise D^2 / 12 inside and the clipped tail outside, the minimum is the fixed point of

        range = E[|x|; |x| > range] / (D^2 / (12 range^2) P(|x| <= range) + P(|x| > range))

    (OCTAV: Sakr et al., "Optimal clipping and magnitude-aware differentiation for improved quantization-aware training", ICML
    2022, the recursion of their Newton's method), with the moments of the normal distribution in closed form.

    Args:
      std: (...) standard deviation, any unit.
      levels: how many levels the converter has, at least 3: 2^b - 1 of sign and magnitude, else 2^b.

    Returns:
      (...) the range, in the unit of `std`.
    """
    levels = jnp.asarray(levels, dtype=float)
    inside_noise = (2 / (levels - 1)) ** 2 / 12

    def step(_: int, ratio: jax.Array) -> jax.Array:
        beyond = jax.scipy.special.erfc(ratio / np.sqrt(2))
        tail = np.sqrt(2 / np.pi) * jnp.exp(-(ratio**2) / 2)
        return tail / (inside_noise * (1 - beyond) + beyond)

    return std * jax.lax.fori_loop(0, ITERATIONS, step, jnp.ones_like(levels))


def learned_range(
    current_range: jax.Array | float, count: int, bits: jax.Array | float, *, signed: bool = True
) -> Float[Array, "..."]:
    """`current_range` unchanged, its gradient scaled so that ranges are learned at the pace of LSQ's steps.

    The straight-through gradient of every converter with respect to its range is already that of LSQ. LSQ (Esser et al., ICLR
    2020, section 2.2) scales the gradient of a step s by 1 / sqrt(count * Q), Q the largest code. A range is Q s, so its
    gradient is Q times smaller and its value Q times larger: the same relative pace takes another factor of Q^2.

    Args:
      current_range: (...) the leaf that is trained.
      count: how many values of one batch share a range.
      bits: resolution of the converter.
      signed: whether the converter has negative codes.
    """
    top = largest_code(jnp.round(jax.lax.stop_gradient(jnp.asarray(bits, dtype=float))), signed=signed)
    top = jnp.maximum(top, 1.0)  # of one bit with a sign, which has codes -1 and 1
    value = jnp.asarray(current_range, dtype=float)
    return straight_through(value, value * (top**1.5 / np.sqrt(count)).astype(value.dtype))


def check_range(name: str, value: Any) -> None:
    """Refuse a concrete converter range, or array of ranges, that no converter can have; tracers and None pass.

    Raises:
      UserError: for a range that is zero, negative, NaN or infinite.
    """
    array = concrete(value)
    if array is None:
        return
    if array.dtype.kind not in "fiu":
        raise UserError(f"{name} is {value!r}, which is not a number; give a positive current in ampere.")
    bad = ~np.isfinite(array) | (array <= 0)
    if bad.any():
        raise UserError(f"{name} is {array[bad].ravel()[0]:g} A; give a positive, finite current, or None for the full scale.")


def _without_gradient(found: jax.Array, fallback: jax.Array | float) -> jax.Array:
    return jax.lax.stop_gradient(jnp.where(found > 0, found, fallback))
