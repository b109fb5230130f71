"""Convolution of images, quick where XLA's gradient is not."""

import math
from typing import Any

import jax
from jax import lax
from jax.custom_derivatives import SymbolicZero

from imcjax.nn.operator import unroll


FEW = 4
"""Channels up to which XLA's convolution to the gradient of the inputs, which has so many outputs, is slow on a CPU."""


def convolve(x: jax.Array, kernel: jax.Array, window_strides: Any, padding: Any, **geometry: Any) -> jax.Array:
    """`lax.conv_general_dilated`, channels last.

    The gradient to inputs of few channels is that of the unrolled product: for the 28 x 28 images of LeNet-5 a third of the
    time. A learned input range of a first layer asks for it, and nothing else does.
    """
    dilates = math.prod(geometry.get("lhs_dilation") or (1,)) > 1
    if kernel.shape[-2] > FEW or geometry.get("feature_group_count", 1) > 1 or dilates or jax.default_backend() != "cpu":
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **geometry)

    @jax.custom_jvp
    def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **geometry)

    def derivative(primals: Any, tangents: Any) -> tuple[jax.Array, Any]:
        (x, kernel), (dx, dkernel) = primals, tangents
        parts = []
        if not isinstance(dx, SymbolicZero):
            rows = unroll(dx, kernel.shape, window_strides, padding, geometry.get("rhs_dilation"), 1)[..., 0, :]
            flat = kernel.reshape(-1, kernel.shape[-1])
            parts.append(lax.dot_general(rows, flat, (((rows.ndim - 1,), (0,)), ((), ())), precision=geometry.get("precision")))
        if not isinstance(dkernel, SymbolicZero):
            parts.append(product(x, dkernel))
        value = product(x, kernel)
        return value, sum(parts).astype(value.dtype) if parts else SymbolicZero(value.aval)  # type: ignore[union-attr]

    product.defjvp(derivative, symbolic_zeros=True)
    return product(x, kernel)
