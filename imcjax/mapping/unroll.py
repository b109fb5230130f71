"""Convolution as a matrix product: each output position sees one patch of the input as a vector."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def patches(
    x: Float[Array, "batch *space channels"],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch *positions values"]:
    """The input patches of a convolution, in the order of a (*window, channels, n_out) kernel flattened to (values, n_out).

    Built from shifted slices of one axis after another: XLA's own patch extraction convolves with an identity kernel, which is
    far slower on a CPU.

    Args:
      x: (batch, *space, channels).
      window: kernel size along each spatial axis.
      strides: step of the window along each spatial axis.
      padding: zeros (before, after) along each spatial axis.
      dilation: distance between taps of the kernel along each spatial axis.

    Returns:
      (batch, *positions, prod(window) * channels).
    """
    y = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    # Axis after axis, the last first: the taps of an axis end up before those of the axes after it, as in the kernel.
    for axis in range(len(window), 0, -1):
        taps, stride, apart = window[axis - 1], strides[axis - 1], dilation[axis - 1]
        reach = (y.shape[axis] - (taps - 1) * apart - 1) // stride * stride + 1
        shifted = [lax.slice_in_dim(y, tap * apart, tap * apart + reach, stride, axis) for tap in range(taps)]
        y = jnp.concatenate(shifted, axis=-1)
    return y
