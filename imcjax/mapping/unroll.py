"""Convolution as a matrix product: each output position sees one patch of the input as a vector."""

import itertools
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

    Built from shifted slices: XLA's own patch extraction convolves with an identity kernel, far slower on a CPU.

    Args:
      x: (batch, *space, channels).
      window: kernel size along each spatial axis.
      strides: step of the window along each spatial axis.
      padding: zeros (before, after) along each spatial axis.
      dilation: distance between taps of the kernel along each spatial axis.

    Returns:
      (batch, *positions, prod(window) * channels).
    """
    padded = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    outs = [(n - s) // t + 1 for n, s, t in zip(padded.shape[1:-1], spans, strides, strict=True)]
    taps = []
    for offset in itertools.product(*(range(w) for w in window)):
        start = [o * d for o, d in zip(offset, dilation, strict=True)]
        stop = [a + (n - 1) * t + 1 for a, n, t in zip(start, outs, strides, strict=True)]
        taps.append(lax.slice(padded, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *strides, 1)))
    return jnp.concatenate(taps, axis=-1)
