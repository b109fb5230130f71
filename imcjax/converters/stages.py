"""The 1.5-bit stage of pipeline and cyclic converters.

Spear, Kim, Bennett, Agarwal, Marinella and Xiao, "The Impact of Analog-to-Digital Converter Architecture and Variability on
Analog Neural Network Accuracy", IEEE JXCDC 2023. A stage compares with +-1/4 of the reference, decides d = -1, 0 or 1, and
passes on the residue ((1 + C2/C1) v - d C2/C1) / (1 + 1/(A beta)), beta = C1 / (C1 + C2 + Cpar): twice what remains, where
C1 = C2 and the gain A is infinite. Voltages are fractions of the reference.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.converters.base import unit_normals
from imcjax.pytree import record


@record
class Stages:
    """Fabricated stages; one for each bit but the last, along the trailing axis, or one for all of them, without that axis.

    Attributes:
      c1, c2, parasitic: capacitors in units of the nominal one.
      high, low: offsets of the two comparators.
      last: (...) offset of the comparator that decides the last bit.
    """

    c1: jax.Array
    c2: jax.Array
    parasitic: jax.Array
    high: jax.Array
    low: jax.Array
    last: jax.Array


def draw_stages(
    shape: tuple[int, ...],
    own: tuple[int, ...],
    sigmas: tuple[jax.Array | float, jax.Array | float, jax.Array | float, jax.Array | float],
    key: jax.Array | None,
    dtype: jnp.dtype,
) -> Stages:
    """Stages (*shape, *own) with standard deviations (C1, C2, parasitic, comparator offset); nominal without a key."""
    c1, c2, parasitic, offset = sigmas
    count = math.prod(own)
    *drawn, last = unit_normals(key, shape, (count, count, count, count, count, 1), dtype)
    z1, z2, zp, high, low = (part.reshape(*shape, *own) for part in drawn)
    return Stages(1 + c1 * z1, 1 + c2 * z2, parasitic * zp, offset * high, offset * low, offset * last[..., 0])


def run_stages(
    v: jax.Array, b: jax.Array, widest: int, stage: Callable[[int], Stages], gain_db: jax.Array | float | None
) -> tuple[jax.Array, jax.Array]:
    """Codes (...) and the shift (...), in codes, by which flaws moved what they stand for: `decide` of `midrise`.

    Args:
      v: (...) inputs.
      b: bits; a narrower conversion takes its last bit earlier.
      widest: the most bits that b can be.
      stage: number -> the stage that decides that bit; leaves broadcast against v.
      gain_db: open-loop gain A of the residue amplifier, decibel; None: infinite.
    """
    inverse_gain = 0.0 if gain_db is None else 10 ** (-jnp.asarray(gain_db, v.dtype) / 20)
    residue, codes, place = v, jnp.zeros_like(v), jnp.round(jnp.exp2(b - 1))  # place: codes that a residue of one stands for
    for number in range(widest - 1):
        own = stage(number)
        active = number < b - 1
        # Both comparators are strict: an input exactly at a threshold belongs below it, and every input to one interval.
        above_low, above_high = residue > own.low - 0.25, residue > own.high + 0.25
        decision = lax.stop_gradient(above_low.astype(v.dtype) + above_high.astype(v.dtype) - 1)
        place = jnp.where(active, place / 2, place)
        codes = codes + jnp.where(active, (decision + 1) * place, 0)
        ratio = own.c2 / own.c1
        loss = 1 + inverse_gain * (own.c1 + own.c2 + own.parasitic) / own.c1
        residue = jnp.where(active, ((1 + ratio) * residue - decision * ratio) / loss, residue)
    last = stage(0).last
    codes = codes + (residue > last).astype(v.dtype)
    # Codes stand for v = sum of decisions / 2^(n+1) + residue / 2^(b-1), if the stages are what they should be. That flaws move
    # the decisions of a stage has no slope here: the next stages make up for it, to the accuracy of the stage itself.
    return lax.stop_gradient(codes), residue - last
