"""Levels spaced by powers of two, dense near zero: a product is a shift, and so are log-spaced conductances."""

import itertools
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.errors import check_number
from imcjax.pytree import number, record, static
from imcjax.quantize.base import Format, divisor, format_family, whole_bits
from imcjax.quantize.straight_through import clip_through, straight_through
from imcjax.quantize.symmetric import farthest, or_one


WIDEST = 8
"""Bits of the widest format of sums of powers."""


@record
class _Scaled(Format):
    """limit times the nearest level in [-1, 1].

    The gradient is 1 inside; that of the limit is the level minus x / limit inside and sign(x) beyond, as Li, Dong and Wang,
    "Additive powers-of-two quantization", ICLR 2020, have it.
    """

    bits: Any = number(default=4.0, low=1, high=WIDEST)
    limit: Any = number(default=None, low=0.0)
    signed: bool = static(default=True)

    learned: ClassVar[tuple[str, ...]] = ("limit",)

    def check(self, path: str) -> None:
        """Refuse one signed bit."""
        if self.signed:
            check_number(f"{path}.bits", self.bits, 2, WIDEST, unit="bits")

    @property
    def span(self) -> str:
        """Around zero, or from zero."""
        return "signed" if self.signed else "unsigned"

    def _values(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        limit = self._number(self._largest(x) if self.limit is None else self.limit, x)
        safe, usable = divisor(limit)
        units = clip_through(x / safe, -1.0 if self.signed else 0.0, 1.0)
        size = self._nearest(jnp.abs(jax.lax.stop_gradient(units)), x)
        levels = straight_through(jnp.where(units < 0, -size, size), units)
        return jnp.where(usable, levels * safe, 0)

    def _nearest(self, size: jax.Array, x: jax.Array) -> jax.Array:
        """The levels nearest to magnitudes in [0, 1]."""
        raise NotImplementedError

    def _magnitude_bits(self, x: jax.Array) -> jax.Array:
        bits = whole_bits(self._number(self.bits, x), x.dtype)
        return jax.lax.stop_gradient(bits - 1 if self.signed else bits)

    def _init(self, x: jax.Array) -> Self:
        return self.replace(limit=or_one(self._largest(x)))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        return self.replace(limit=farthest(low, high, self.signed))


@format_family("power_of_two")
@record
class PowerOfTwo(_Scaled):
    """Levels limit {0, 2^-(2^m - 2), ..., 1/2, 1} with m bits of magnitude, the nearest taken (Li, Dong and Wang, ICLR 2020).

    Attributes:
      bits: m, and one for the sign where signed.
      limit: the largest level; None: max|x| of each call, which follows the batch.
      signed: whether there are levels below zero (static).
    """

    def _nearest(self, size: jax.Array, x: jax.Array) -> jax.Array:
        # Between 2^-k and its half the middle is 3/4 2^-k: the power is the largest one not above 4/3 of the number.
        _, exponent = jnp.frexp(size * (4 / 3))
        smallest = -(jnp.exp2(self._magnitude_bits(x)) - 2)
        power = jnp.clip(exponent - 1, smallest, 0).astype(exponent.dtype)
        least = jnp.ldexp(jnp.ones((), x.dtype), smallest.astype(exponent.dtype))
        return jnp.where(size > least / 2, jnp.ldexp(jnp.ones((), x.dtype), power), 0)


@format_family("apot")
@record
class AdditivePowers(_Scaled):
    """Levels limit gamma (p_0 + ... + p_{n-1}), p_i in {0, 2^-i, 2^-(i+n), 2^-(i+2n)}, the nearest taken; gamma makes the
    largest 1.

    Li, Dong and Wang, ICLR 2020, with their base width of 2 bits: n = m / 2 for m bits of magnitude. An odd bit is a
    term of one power between the second and the third of the others, as in their code.

    Attributes:
      bits: m, and one for the sign where signed.
      limit: the largest level; None: max|x| of each call, which follows the batch.
      signed: whether there are levels below zero (static).
    """

    def _nearest(self, size: jax.Array, x: jax.Array) -> jax.Array:
        table = jnp.asarray(LEVELS, x.dtype)
        widths = self._magnitude_bits(x).astype(int)
        if jnp.ndim(widths) == 0:
            return nearest(size, table[widths])
        found = jnp.zeros_like(size)
        for width in range(1, WIDEST + 1):
            found = jnp.where(widths == width, nearest(size, table[width]), found)
        return found


def nearest(x: jax.Array, levels: jax.Array) -> jax.Array:
    """(...) the nearest of sorted levels (n,), the larger of two equally near."""
    return levels[jnp.searchsorted((levels[:-1] + levels[1:]) / 2, x, side="right")]


def additive_levels(bits: int) -> np.ndarray:
    """The magnitudes of so many bits, ascending from 0 to 1: at most 2^bits of them."""
    terms, odd = divmod(bits, 2)
    powers: list[list[float]] = [[0.0] for _ in range(terms)]
    for place, power in itertools.product(range(3), range(terms)):
        late = 1 if odd and place == 2 else 0
        powers[power].append(2.0 ** -(place * terms + power + late))
    if odd:
        powers.append([0.0, 2.0 ** -(2 * terms)])
    found = np.unique([sum(chosen) for chosen in itertools.product(*powers)])
    return found / found[-1]


def _table() -> np.ndarray:
    """(WIDEST + 1, 2^WIDEST) levels by width; the place of levels that a width does not have is taken by its largest."""
    rows = [additive_levels(bits) if bits else np.zeros(1) for bits in range(WIDEST + 1)]
    return np.stack([np.pad(row, (0, 2**WIDEST - len(row)), mode="edge") for row in rows])


LEVELS = _table()
