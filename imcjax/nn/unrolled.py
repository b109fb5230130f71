"""Convolutions as matrix products: the input vectors of every position."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from imcjax.mapping import patches


def unroll(
    x: jax.Array,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    padding: Any,
    dilation: Sequence[int] | None,
    groups: int,
) -> jax.Array:
    """The input vectors (batch, *positions, groups, n_in) of a channels-last convolution; padding as in `lax`."""
    window, dilation, pads, _ = geometry(x.shape, kernel_shape, strides, padding, dilation)
    taps = patches(x, window, tuple(strides), pads, dilation)
    return _by_group(taps.reshape(*taps.shape[:-1], math.prod(window), -1), groups)


def some_vectors(
    x: jax.Array,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    padding: Any,
    dilation: Sequence[int] | None,
    groups: int,
    most: int,
) -> tuple[jax.Array, int]:
    """At most `most` of the vectors that `unroll` gives, evenly chosen, as (vectors, groups, n_in); and how many there are."""
    window, dilation, pads, spans = geometry(x.shape, kernel_shape, strides, padding, dilation)
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    outs = [(n - s) // t + 1 for n, s, t in zip(padded.shape[1:-1], spans, strides, strict=True)]
    total = x.shape[0] * math.prod(outs)
    image, *position = np.unravel_index(evenly(total, most), (x.shape[0], *outs))
    corners = np.stack([image, *(p * t for p, t in zip(position, strides, strict=True))], axis=1).astype(np.int32)

    def cut(corner: jax.Array) -> jax.Array:
        seen = lax.dynamic_slice(padded, [*corner, jnp.int32(0)], (1, *spans, x.shape[-1]))
        return seen[(0, *(slice(None, None, d) for d in dilation))].reshape(math.prod(window), -1)

    return _by_group(jax.vmap(cut)(jnp.asarray(corners)), groups), total


def evenly(length: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `length` things, the first and the last among them."""
    return np.linspace(0, length - 1, min(most, length)).astype(int)


def geometry(
    shape: Sequence[int], kernel_shape: Sequence[int], strides: Sequence[int], padding: Any, dilation: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]], list[int]]:
    """Window, dilation, padding in numbers, and how far the window reaches; `padding` and `dilation` as in `lax`."""
    window = tuple(kernel_shape[:-2])
    dilation = (1,) * len(window) if dilation is None else tuple(dilation)
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(shape[1:-1], spans, strides, padding)
    return window, dilation, list(padding), spans


def _by_group(taps: jax.Array, groups: int) -> jax.Array:
    """(..., taps, channels) as (..., groups, taps * channels / groups)."""
    parts = taps.reshape(*taps.shape[:-1], groups, -1)
    parts = jnp.swapaxes(parts, -3, -2)  # (..., groups, taps, channels / groups)
    return parts.reshape(*parts.shape[:-2], -1)
