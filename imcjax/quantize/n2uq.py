"""N2UQ: thresholds anywhere, outputs equally spaced, as a flash or SAR converter with a trained ladder would have them."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.errors import UserError
from imcjax.pytree import number, record, static
from imcjax.quantize.base import Codes, Format, format_family
from imcjax.quantize.straight_through import straight_through


LEAST = 1e-3
"""Narrowest interval between thresholds, of their mean."""


@format_family("n2uq")
@record
class N2uq(Format):
    """x^ = top / n times the number of thresholds below x.

    Liu et al., "Nonuniform-to-uniform quantization", CVPR 2022: threshold i is in the middle of the i-th of n intervals, which
    follow each other from `start` with the trained `widths`. The gradient (their generalized straight-through estimator)
    is that of the line from one end of the interval to the other: 1 / width codes to x, and to the start and the widths what
    moving them does to that line; none outside.

    Attributes:
      start: where the first interval begins.
      widths: (n,) of the intervals.
      top: the value of the largest code.
      steps: n = 2^b - 1 where `init` makes the intervals (static).
    """

    start: Any = number(default=0.0)
    widths: Any = number(default=None)
    top: Any = number(default=None, low=0.0)
    steps: int = static(default=3, low=1, high=255)

    needed: ClassVar[tuple[str, ...]] = ("widths", "top")
    learned: ClassVar[tuple[str, ...]] = ("start", "widths", "top")

    def check(self, path: str) -> None:
        """Refuse groups, which would each need a ladder, and widths that are no list."""
        if self.axis is not None or self.rows is not None:
            raise UserError(f"{path} has one ladder of thresholds for all of x; leave axis and rows out.")
        if self.widths is not None and np.ndim(self.widths) != 1:
            raise UserError(f"{path}.widths has the shape {np.shape(self.widths)}; give a list, one width a threshold.")

    @property
    def span(self) -> str:
        """From zero."""
        return "unsigned"

    def thresholds(self) -> jax.Array:
        """(n,) ascending."""
        widths = self._widths(jnp.asarray(self.widths, dtype=float))
        return self.start + jnp.cumsum(widths) - widths / 2

    def _widths(self, widths: jax.Array) -> jax.Array:
        least = LEAST * jax.lax.stop_gradient(jnp.mean(jnp.abs(widths)))
        return jnp.where(widths > least, widths, least)

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        widths = self._widths(jnp.asarray(self.widths, x.dtype))
        start, count = jnp.asarray(self.start, x.dtype), widths.shape[0]
        ends = start + jnp.cumsum(widths)
        begins = ends - widths
        codes = jnp.searchsorted(ends - widths / 2, x).astype(x.dtype)
        place = jnp.clip(jnp.searchsorted(ends, x), 0, count - 1)
        along = (x - begins[place]) / widths[place]
        inside = (x > begins[0]) & (x < ends[-1])
        return Codes(straight_through(codes, jnp.where(inside, place + along, codes)), jnp.asarray(self.top, x.dtype) / count)

    def _init(self, x: jax.Array) -> Self:
        return self._spanning(jnp.zeros(()), jnp.max(x))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        high = jnp.where(high > 0, high, 1)
        return self.replace(start=jnp.zeros_like(high), widths=jnp.full(self.steps, high / self.steps), top=high)
