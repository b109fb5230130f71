"""Post-training calibration: the range of a format from samples of what it will see."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax.errors import UserError, check_number, nearest
from imcjax.quantize.base import Format, check_values, whole_bits
from imcjax.quantize.groups import each_group, reduce_groups
from imcjax.quantize.kl import kl_clip


RULES = ("minmax", "percentile", "mse", "kl", "aciq")
"""Nothing clips; so many percent do not; least squared error; least KL divergence of histograms; least expected squared error
of a Laplace or normal distribution."""

FRACTIONS = 64
"""How many candidates "mse" tries for each end of a range, from 1/32 of the farthest value to all of it."""

BISECTIONS = 40
"""Enough for all digits of float32 between 0 and 16."""

F = TypeVar("F", bound=Format)


def calibrate(fmt: F, x: Float[Array, "..."], rule: str = "mse", *, percent: float = 99.9) -> F:
    """The format with its range chosen from samples, one for each of its groups.

    Args:
      fmt: a format that has a range; its other numbers stay, its bits may be traced.
      x: (...) samples, any unit.
      rule: one of `RULES`: "minmax"; "percentile"; "mse", the range with the least mean squared error of this very format
        among `FRACTIONS` (Sung, Shin and Hwang, arXiv 1511.06488); "kl" (`kl_clip`); "aciq" (`aciq_clip`, of whichever of its
        two distributions is the likelier).
      percent: what does not clip with "percentile"; on either side where a format has two ends of its own.

    Raises:
      UserError: samples that are empty or not finite, an unknown rule, or a format without a range.
    """
    if not isinstance(fmt, Format):
        given = fmt.__name__ if isinstance(fmt, type) else f"a {type(fmt).__name__}"
        raise UserError(f"fmt is {given}; give a format, as Affine(bits=4), first, and samples as x.")
    if rule not in RULES:
        raise UserError(f"rule is {rule!r}{nearest(str(rule), RULES)}.")
    check_values("x", x)
    check_number("percent", percent, 50.0, 100.0, unit="%")
    if not fmt.span:
        raise UserError(f"{type(fmt).__name__} has no range to calibrate; use init(x).")
    if rule == "kl" and np.ndim(_bits(fmt)) > 0:
        raise UserError("kl calibrates one bit-width at a time, and bits is an array; use another rule.")
    return _calibrated(fmt, fmt._checked(x, needed=False), jnp.asarray(percent, dtype=float), rule)


@functools.partial(jax.jit, static_argnames="rule")
def _calibrated(fmt: F, x: jax.Array, percent: jax.Array, rule: str) -> F:
    low, high = _minmax(fmt, x)
    if rule == "mse":
        return _least_error(fmt, x, low, high)
    if rule == "percentile":
        low, high = _percentile(fmt, x, percent)
    elif rule in ("kl", "aciq"):
        middle, clip = _clip(fmt, x, rule)
        low, high = jnp.maximum(middle - clip, low), jnp.minimum(middle + clip, high)
        if fmt.span == "signed":
            low, high = -clip, clip
    return lax.stop_gradient(fmt.spanning(low, high))


def aciq_clip(bits: jax.Array | float, distribution: str = "laplace") -> jax.Array:
    """The clipping level of least expected squared error of 2^b equal intervals between its two signs.

    Banner et al., "Post training 4-bit quantization of convolutional networks for rapid-deployment", NeurIPS 2019: noise
    clip^2 / (3 4^b) inside and the squared excess outside. The derivative is zero where clip e^clip = 3 4^b (Laplace), and
    where the normal tail's mean excess is clip / (6 4^b); solved here by iteration.

    Args:
      bits: b, may be traced.
      distribution: "laplace" or "gauss".

    Returns:
      In units of E|x - mean| (Laplace) or of the standard deviation (normal).
    """
    if distribution not in ("laplace", "gauss"):
        raise UserError(f"distribution is {distribution!r}; give 'laplace' or 'gauss'.")
    bits = jnp.asarray(bits, dtype=float)
    target = np.log(3) + bits * np.log(4)

    def too_low(clip: jax.Array) -> jax.Array:
        if distribution == "laplace":
            return clip + jnp.log(clip) < target
        density = jnp.exp(-(clip**2) / 2) / np.sqrt(2 * np.pi)
        excess = density - clip * jax.scipy.special.erfc(clip / np.sqrt(2)) / 2
        return excess > clip / 2 * jnp.exp(-target)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        up = too_low(middle)
        return jnp.where(up, middle, low), jnp.where(up, high, middle)

    low, high = lax.fori_loop(0, BISECTIONS, halve, (jnp.zeros_like(bits), jnp.full_like(bits, 32.0)))
    return (low + high) / 2


def _bits(fmt: Format) -> Any:
    steps = getattr(fmt, "steps", None)
    return fmt.bits if steps is None else np.log2(steps + 1)  # type: ignore[attr-defined]


def _over(fmt: Format, reduce: Callable[..., jax.Array], x: jax.Array) -> jax.Array:
    return reduce_groups(reduce, x, fmt.axis, fmt.rows)


def _minmax(fmt: Format, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _over(fmt, jnp.min, x), _over(fmt, jnp.max, x)


def _percentile(fmt: Format, x: jax.Array, percent: jax.Array) -> tuple[jax.Array, jax.Array]:
    if fmt.span == "signed":
        reach = _over(fmt, functools.partial(jnp.percentile, q=percent), jnp.abs(x))
        return -reach, reach
    return tuple(_over(fmt, functools.partial(jnp.percentile, q=q), x) for q in (100 - percent, percent))  # type: ignore


def _least_error(fmt: F, x: jax.Array, low: jax.Array, high: jax.Array) -> F:
    """Both ends of the range by the same fraction, then each end of a format with two."""
    fractions = jnp.geomspace(1 / 32, 1.0, FRACTIONS)

    def best(range_of: Callable[[jax.Array], tuple[jax.Array, jax.Array]]) -> tuple[jax.Array, jax.Array]:
        def error(fraction: jax.Array) -> jax.Array:
            return _over(fmt, jnp.mean, (fmt.spanning(*range_of(fraction)).quantize(x) - x) ** 2)

        return range_of(fractions[jnp.argmin(lax.map(error, fractions), axis=0)])

    found = best(lambda fraction: (fraction * low, fraction * high))
    if fmt.span == "between":
        found = best(lambda fraction: (fraction * low, found[1]))
        found = best(lambda fraction: (found[0], fraction * high))
    return lax.stop_gradient(fmt.spanning(*found))


def _clip(fmt: Format, x: jax.Array, rule: str) -> tuple[jax.Array, jax.Array]:
    """(the middle of the range, how far it reaches from there)."""
    bits = whole_bits(_bits(fmt), x.dtype)
    one_sided = fmt.span == "unsigned"
    # Half a distribution in so many intervals is a whole one in twice as many.
    bits = bits + 1 if one_sided else bits
    if rule == "kl":
        codes = jnp.round(jnp.exp2(bits - 1))
        return jnp.zeros(()), each_group(lambda values: kl_clip(values, codes), x, fmt.axis, fmt.rows)
    middle = _over(fmt, jnp.mean, x) if fmt.span == "between" else jnp.zeros(())
    away = x - fmt._number(middle, x)
    spread, deviation = _over(fmt, jnp.mean, jnp.abs(away)), jnp.sqrt(_over(fmt, jnp.mean, away**2))
    # The larger likelihood: ln(2 b) + 1 against ln(sqrt(2 pi e) sigma).
    peaked = jnp.log(2 * spread) + 1 < jnp.log(deviation) + 0.5 * np.log(2 * np.pi * np.e)
    return middle, jnp.where(peaked, aciq_clip(bits, "laplace") * spread, aciq_clip(bits, "gauss") * deviation)
