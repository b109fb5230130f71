"""The one protocol of learned bit-widths: a width is a float leaf, and every forward pass computes with whole ones.

A method keeps *variables* for each tensor (or each part of it that has a width of its own): a pytree of float leaves, for most
methods the real widths themselves. It says which real widths the cost and the constraint see, which whole ones a chip gets,
and how values are quantized while the widths are being learned. Where a published method computes with something that no
hardware has (a blend of two widths, half a gate), the forward pass here has the nearest whole width and the gradients are the
method's; each file says so.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from imcjax.errors import check_number
from imcjax.quantize import clip_through, quantize, straight_through


WIDEST = 32.0
"""Beyond which there is nothing left to quantize in a float32 number."""
Variables = Any
"""A pytree of float leaves."""


class Method(Protocol):
    """How a bit-width is learned."""

    def start(self, bits: jax.Array, value_range: jax.Array) -> Variables:
        """Variables whose width is `bits` and, where the method learns it, whose range is `value_range`."""
        ...

    def widths(self, variables: Variables) -> jax.Array:
        """Real widths, differentiable: what a cost is computed from."""
        ...

    def whole(self, variables: Variables) -> jax.Array:
        """The whole widths of the hardware."""
        ...

    def quantize(
        self,
        x: jax.Array,
        value_range: jax.Array,
        variables: Variables,
        *,
        signed: bool,
        key: jax.Array | None = None,
        progress: jax.Array | float = 0.0,
    ) -> jax.Array:
        """Values of `x` in its own unit.

        Args:
          x: (...) values.
          value_range: largest representable magnitude, broadcasting against x.
          variables: widths broadcast against x.
          signed: whether codes have a sign.
          key: of what is drawn; None: nothing is, and the result is that of the hardware.
          progress: how much of the search is done, 0 to 1.
        """
        ...


class RealWidths:
    """For methods whose variables are the real widths themselves."""

    def start(self, bits: jax.Array, value_range: jax.Array) -> Variables:
        """The widths.

        Raises:
          UserError: widths below 0 or above 32.
        """
        del value_range
        check_number("bits", bits, 0, WIDEST)
        return jnp.asarray(bits, dtype=float)

    def widths(self, variables: Variables) -> jax.Array:
        """The variables."""
        return variables

    def whole(self, variables: Variables) -> jax.Array:
        """The nearest whole widths."""
        return jnp.round(variables)


def at_width(x: jax.Array, value_range: jax.Array | float, bits: jax.Array | float, *, signed: bool) -> jax.Array:
    """`x` quantized at whole widths (real ones are rounded), 0 and 1 included.

    From 2 bits on, and unsigned from 1 bit on, it is the uniform quantizer (`imcjax.quantize.quantize`). One signed bit is the
    sign times the range: with the mean magnitude of a column as range, the binary weights of BWN (Rastegari et al., ECCV 2016);
    its gradient passes to `x` as through the identity. 0 bits are pruned: zero.
    """
    bits = jnp.asarray(bits, dtype=float)
    wide = jnp.round(jax.lax.stop_gradient(bits))
    least = 2.0 if signed else 1.0
    codes, step = quantize(x, value_range, jnp.where(wide < least, least, bits), signed=signed)
    found = codes * step
    if signed:
        sign = jnp.where(x < 0, -1.0, 1.0).astype(x.dtype) * value_range
        found = jnp.where(wide < 1.5, straight_through(sign, sign + x), found)
    return jnp.where(wide < 0.5, jnp.zeros_like(found), found)


def neighbours(
    x: jax.Array, value_range: jax.Array | float, bits: jax.Array, *, signed: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`x` at the whole width below a real one, at the next, and the fraction between; no gradient to the width."""
    below = jnp.floor(jax.lax.stop_gradient(bits))
    low, high = (at_width(x, value_range, b, signed=signed) for b in (below, below + 1))
    return low, high, bits - below


def clipped(x: jax.Array, value_range: jax.Array | float, *, signed: bool) -> jax.Array:
    """`x` held to its range."""
    limit = jnp.asarray(value_range, x.dtype)
    return clip_through(x, -limit if signed else jnp.zeros_like(limit), limit)
