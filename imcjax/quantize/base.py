"""What a number format is to the rest of imcjax, the registry of the named ones, and the arithmetic that they share."""

import dataclasses
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from imcjax.errors import UserError, check_record, concrete
from imcjax.families import Families
from imcjax.pytree import record, static
from imcjax.quantize.groups import check_groups, reduce_groups, spread
from imcjax.quantize.straight_through import round_through
from imcjax.quantize.uniform import largest_code


FORMATS = Families("number format")
"""The number formats by the name that `kind` gives."""
format_family = FORMATS.family


class Codes(NamedTuple):
    """Whole numbers and what they stand for: values == codes * step + offset.

    Attributes:
      codes: (...) whole numbers, held as floats.
      step: the value of one code, broadcasting against them.
      offset: the value of code zero; None: 0.
    """

    codes: jax.Array
    step: jax.Array
    offset: jax.Array | None = None


@record
class Format:
    """A grid of numbers, and how gradients pass through it.

    A subclass gives `_codes` where its grid is uniform, else `_values`, and beside them `_init` and, where it has a range,
    `_spanning`. Its numbers are leaves: whole bits in every forward pass, no new program for other ones.

    Attributes:
      axis: the axis whose entries have numbers of their own (static); None: one for all. See `imcjax.quantize.groups`.
      rows: rows of a matrix that share them (static); None: all.
    """

    axis: int | None = static(default=None, kw_only=True)
    rows: int | None = static(default=None, low=1, kw_only=True)

    kind: ClassVar[str]
    needed: ClassVar[tuple[str, ...]] = ()
    """Numbers that have to be there before the format can be used; `init` finds them."""
    learned: ClassVar[tuple[str, ...]] = ()
    """Numbers that are trained with the weights."""

    def quantize(self, x: Float[Array, "..."], key: jax.Array | None = None) -> Float[Array, "..."]:
        """(...) the numbers of the grid that stand for x, in its unit; the gradients are the format's.

        Args:
          x: (...) numbers.
          key: draws where the format does; None: nothing is drawn.

        Raises:
          UserError: a number of the format out of range or missing, or an axis that x does not have.
        """
        x = self._checked(x)
        return self._values(x, key)

    def codes(self, x: Float[Array, "..."], key: jax.Array | None = None) -> Codes:
        """The whole numbers behind `quantize`.

        Raises:
          UserError: as for `quantize`, or the grid is not uniform.
        """
        x = self._checked(x)
        if type(self)._codes is Format._codes:
            raise UserError(f"{type(self).__name__} has no integer codes; use quantize(x).")
        return self._codes(x, key)

    def init(self, x: Float[Array, "..."]) -> Self:
        """The same format with the numbers that it starts training with on x.

        Raises:
          UserError: x is empty or not finite, or does not have the format's axis.
        """
        check_values("x", x)
        return self._init(self._checked(x, needed=False))

    def spanning(self, low: jax.Array | float, high: jax.Array | float) -> Self:
        """The same format with the range [low, high], each of the groups' shape; where zero is the middle, the larger counts.

        Raises:
          UserError: the format has no range.
        """
        if not self.span:
            raise UserError(f"{type(self).__name__} has no range to set; use init(x).")
        return self._spanning(jnp.asarray(low, dtype=float), jnp.asarray(high, dtype=float))

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def span(self) -> str:
        """Which ranges the format has: "signed" (around zero), "unsigned" (from zero), "between" (any), or "": none."""
        return ""

    def _values(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        found = self._codes(x, key)
        values = found.codes * found.step
        return values if found.offset is None else values + found.offset

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        raise NotImplementedError

    def _init(self, x: jax.Array) -> Self:
        return self

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        raise NotImplementedError

    def _checked(self, x: Any, *, needed: bool = True) -> jax.Array:
        """x as floats, after a look at what can be looked at."""
        name = type(self).__name__
        x = jnp.asarray(x)
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
        check_record(self, name)
        check_groups(name, x.shape, self.axis, self.rows)
        for field in self.needed if needed else ():
            if getattr(self, field) is None:
                raise UserError(f"{name}.{field} is not known yet; call init(x) with samples, or give it.")
        return x

    def _number(self, value: Any, x: jax.Array) -> jax.Array:
        """A leaf as it broadcasts against x, in its type."""
        return spread(jnp.asarray(value, dtype=x.dtype), x.shape, self.rows)

    def _reduce(self, reduce: Any, x: jax.Array) -> jax.Array:
        """`reduce` over each group of x, without gradient."""
        return jax.lax.stop_gradient(reduce_groups(reduce, x, self.axis, self.rows))

    def _largest(self, x: jax.Array) -> jax.Array:
        """max|x| of each group, without gradient."""
        return self._reduce(jnp.max, jnp.abs(x))


def whole_bits(bits: Any, dtype: Any) -> jax.Array:
    """Bits as the forward pass uses them; the gradient passes straight through the rounding."""
    return round_through(jnp.asarray(bits, dtype=float)).astype(dtype)


def top_code(bits: jax.Array, *, signed: bool) -> jax.Array:
    """`largest_code` of whole bits, to the last digit (exp2 alone is not exact everywhere)."""
    return round_through(largest_code(bits, signed=signed)).astype(bits.dtype)


def divisor(step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(a step to divide by, whether it is the one given): a grid without extent has no codes but zero."""
    usable = step > jnp.finfo(step.dtype).tiny
    return jnp.where(usable, step, 1), usable


def check_values(name: str, x: Any) -> None:
    """Refuse concrete arrays that are empty or hold NaN or infinite values.

    Raises:
      UserError: naming the array.
    """
    if not isinstance(x, Tracer) and np.asarray(x).dtype.kind in "OSU":
        raise UserError(f"{name} is a {type(x).__name__}; give an array of numbers.")
    if np.size(x) == 0:
        raise UserError(f"{name} is empty; give at least one value to choose ranges from.")
    array = concrete(x)
    if array is not None and not np.isfinite(array).all():
        raise UserError(f"{name} holds NaN or infinite values; check where they come from.")
