"""Convolution of images, quick where XLA's is not."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from imcjax.nn import unrolled


FEW = 4
"""Channels up to which XLA's convolution to the gradient of the inputs, which has so many outputs, is slow on a CPU."""
THIN = 8
"""Channels up to which XLA's convolution is slow on a CPU where the outputs do not fill its vectors."""
VECTOR = 32
"""Outputs that do."""


def convolve_rows(
    x: jax.Array, w: jax.Array, first: int, window: Sequence[int], strides: Sequence[int], padding: Any, **geometry: Any
) -> jax.Array:
    """What some of a convolution's inputs contribute: rows `first` on of the unrolled kernel (taps * channels, n_out).

    Of the window only what these rows lie in is convolved.
    """
    channels = x.shape[-1]
    block = math.prod(window[1:]) * channels
    begin, end = first // block, -(-(first + len(w)) // block)
    given = (x.shape, (*window, channels, w.shape[-1]), strides, padding, geometry.get("rhs_dilation"))
    _, dilation, ((low, high), *others), _ = unrolled.geometry(*given)
    low, high = low - begin * dilation[0], high - (window[0] - end) * dilation[0]
    x = x[:, max(0, -low) : x.shape[1] - max(0, -high)]
    cut = (max(0, low), max(0, high))
    whole = jnp.pad(w, [(first - begin * block, end * block - first - len(w)), (0, 0)])
    kernel = whole.reshape(end - begin, *window[1:], channels, -1)
    return convolve(x, kernel, strides, [cut, *others], **geometry)


def convolve(x: jax.Array, kernel: jax.Array, window_strides: Any, padding: Any, **geometry: Any) -> jax.Array:
    """`lax.conv_general_dilated`, channels last.

    Images of few channels have outputs of zeros added on a CPU: for LeNet-5 that takes a third of the time. The gradient to
    inputs of few channels is that of the unrolled product, a third of the time too: a learned input range of a first layer asks
    for it, and nothing else does.
    """
    dilates = math.prod(geometry.get("lhs_dilation") or (1,)) > 1
    channels, outputs = kernel.shape[-2:]
    grouped = geometry.get("feature_group_count", 1) > 1
    if channels > THIN or grouped or dilates or jax.default_backend() != "cpu":
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **geometry)

    def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **geometry)

    @jax.custom_jvp
    def value(x: jax.Array, kernel: jax.Array) -> jax.Array:
        if outputs >= VECTOR:
            return product(x, kernel)
        filled = jnp.pad(kernel, [(0, 0)] * (kernel.ndim - 1) + [(0, VECTOR - outputs)])
        return product(x, filled)[..., :outputs]

    def derivative(primals: Any, tangents: Any) -> tuple[jax.Array, Any]:
        (x, kernel), (dx, dkernel) = primals, tangents
        parts = []
        if not isinstance(dx, SymbolicZero):
            parts.append(matrix_product(dx, kernel) if channels <= FEW else product(dx, kernel))
        if not isinstance(dkernel, SymbolicZero):
            parts.append(product(x, dkernel))
        found = value(x, kernel)
        return found, sum(parts).astype(found.dtype) if parts else SymbolicZero(found.aval)  # type: ignore[union-attr]

    def matrix_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        rows = unrolled.unroll(x, kernel.shape, window_strides, padding, geometry.get("rhs_dilation"), 1)[..., 0, :]
        flat = kernel.reshape(-1, outputs)
        return lax.dot_general(rows, flat, (((rows.ndim - 1,), (0,)), ((), ())), precision=geometry.get("precision"))

    value.defjvp(derivative, symbolic_zeros=True)
    return value(x, kernel)
