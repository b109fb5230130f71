"""Learned step sizes: LSQ, and LSQ+ with an offset."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.errors import check_number
from imcjax.pytree import number, record, static
from imcjax.quantize.base import Codes, Format, divisor, format_family, top_code, whole_bits
from imcjax.quantize.straight_through import clip_through, round_through, straight_through
from imcjax.quantize.symmetric import farthest, or_one


@format_family("lsq")
@record
class Lsq(Format):
    """x^ = s round(clip(x / s, -QN, QP)) with a trained step s (Esser et al., "Learned step size quantization", ICLR 2020).

    dx^/ds = round(x / s) - x / s inside, -QN or QP outside (eq. 3), times 1 / sqrt(N QP), N the number of values of x that
    share the step; dx^/dx = 1 inside, 0 outside.

    Attributes:
      bits: b; at least 2 if signed.
      step: s, in units of x; `init` makes it 2 E|x| / sqrt(QP). Its magnitude counts: an optimizer may step across zero.
      signed: QN = 2^(b-1), QP = 2^(b-1) - 1, else QN = 0, QP = 2^b - 1 (static).
      narrow: QN = QP where signed: -2^(b-1) has no code in a pair of cells (static).
    """

    bits: Any = number(default=4.0, low=1, high=16)
    step: Any = number(default=None)
    signed: bool = static(default=True)
    narrow: bool = static(default=False)

    needed: ClassVar[tuple[str, ...]] = ("step",)
    learned: ClassVar[tuple[str, ...]] = ("step",)

    def check(self, path: str) -> None:
        """Refuse one signed bit, which would leave nothing above zero."""
        if self.signed:
            check_number(f"{path}.bits", self.bits, 2, 16, unit="bits")

    @property
    def span(self) -> str:
        """Around zero, or from zero."""
        return "signed" if self.signed else "unsigned"

    def _ends(self, bits: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(-QN, QP)."""
        top = top_code(bits, signed=self.signed)
        if not self.signed:
            return jnp.zeros_like(top), top
        return -top if self.narrow else -top - 1, top

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        low, high = self._ends(whole_bits(self._number(self.bits, x), x.dtype))
        step = jnp.abs(self._number(self._paced(self.step, x), x))
        safe, usable = divisor(step)
        codes = round_through(clip_through(x / safe, low, high))
        return Codes(jnp.where(usable, codes, 0), step)

    def _paced(self, value: Any, x: jax.Array) -> jax.Array:
        """`value`, its gradient times 1 / sqrt(N QP)."""
        value = jnp.asarray(value, dtype=x.dtype)
        top = jax.lax.stop_gradient(self._ends(whole_bits(self.bits, x.dtype))[1])
        return straight_through(value, value / jnp.sqrt(top * (x.size / np.size(value))))

    def _init(self, x: jax.Array) -> Self:
        top = self._ends(whole_bits(self.bits, x.dtype))[1]
        return self.replace(step=or_one(2 * self._reduce(jnp.mean, jnp.abs(x)) / jnp.sqrt(top)))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        return self.replace(step=farthest(low, high, self.signed) / self._ends(whole_bits(self.bits, low.dtype))[1])


@format_family("lsq+")
@record
class LsqPlus(Lsq):
    """x^ = s round(clip((x - offset) / s, -QN, QP)) + offset, both trained (Bhalgat et al., "LSQ+", CVPR workshops 2020).

    dx^/doffset is 0 inside and 1 outside, at LSQ's pace. `init` spans the 3 sigma around the mean of a signed format,
    s = max|mean +- 3 sigma| / 2^(b-1) with offset 0, and min(x) to max(x) of an unsigned one; `imcjax.quantize.calibrate` then
    finds the range of least squared error, as their activations start with.

    Attributes:
      bits, step, signed, narrow: as of `Lsq`.
      offset: the value of code zero.
    """

    offset: Any = number(default=0.0)

    learned: ClassVar[tuple[str, ...]] = ("step", "offset")

    @property
    def span(self) -> str:
        """Any range."""
        return "between"

    def _codes(self, x: jax.Array, key: jax.Array | None) -> Codes:
        offset = self._number(self._paced(self.offset, x), x)
        codes, step, _ = super()._codes(x - offset, key)
        return Codes(codes, step, offset)

    def _init(self, x: jax.Array) -> Self:
        if not self.signed:
            return self._spanning(self._reduce(jnp.min, x), self._reduce(jnp.max, x))
        mean, three = self._reduce(jnp.mean, x), 3 * self._reduce(jnp.std, x)
        reach = farthest(mean - three, mean + three, True)
        return self.replace(step=reach / jnp.exp2(whole_bits(self.bits, x.dtype) - 1), offset=jnp.zeros_like(reach))

    def _spanning(self, low: jax.Array, high: jax.Array) -> Self:
        bottom, top = self._ends(whole_bits(self.bits, low.dtype))
        step = or_one((high - low) / (top - bottom))
        return self.replace(step=step, offset=low - bottom * step)
