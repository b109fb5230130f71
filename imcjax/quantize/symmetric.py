"""The plain integer format: codes around zero, as many below as above, or from zero up."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from imcjax.errors import check_number
from imcjax.pytree import number, record, static
from imcjax.quantize.base import Codes, Format, format_family
from imcjax.quantize.uniform import quantize


@format_family("symmetric")
@record
class Symmetric(Format):
    """Codes in [-(2^(b-1) - 1), 2^(b-1) - 1], the range that pairs of cells have, or in [0, 2^b - 1]; see `quantize`.

    Attributes:
      bits: b; at least 2 if signed.
      limit: the largest representable magnitude; None: max|x| of each call, which follows the batch.
      signed: whether there are codes below zero (static).
    """

    bits: Any = number(default=8.0, low=1, high=16)
    limit: Any = number(default=None, low=0.0)
    signed: bool = static(default=True)

    learned: ClassVar[tuple[str, ...]] = ("limit",)

    def check(self, path: str) -> None:
        """Refuse one signed bit, which would leave nothing but zero."""
        if self.signed:
            check_number(f"{path}.bits", self.bits, 2, 16, unit="bits")

    @property
    def span(self) -> str:
        """Around zero, or from zero."""
        return "signed" if self.signed else "unsigned"

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        limit = self._largest(x) if self.limit is None else self.limit
        return Codes(*quantize(x, self._number(limit, x), self._number(self.bits, x), signed=self.signed))

    def _init(self, x: jax.Array) -> Self:
        return self.replace(limit=or_one(self._largest(x)))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        return self.replace(limit=farthest(low, high, self.signed))


def farthest(low: jax.Array, high: jax.Array, signed: bool) -> jax.Array:
    """How far [low, high] reaches from zero, upwards only if unsigned; see `or_one`."""
    return or_one(jnp.where(-low > high, -low, high) if signed else high)


def or_one(extent: jax.Array) -> jax.Array:
    """`extent`, or 1 where it is nothing: from a range of zero no training finds out again."""
    return jnp.where(extent > 0, extent, 1)
