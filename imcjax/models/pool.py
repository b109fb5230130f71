"""Max pooling whose gradient is quick on a CPU."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def max_pool_2x2(x: Float[Array, "*batch height width channels"]) -> Float[Array, "*batch height//2 width//2 channels"]:
    """The largest of each 2 x 2 block of pixels; an odd last row or column is left out.

    Value and gradient are those of `nnx.max_pool(x, (2, 2), (2, 2))`: among equal pixels the first, row by row, gets all of the
    gradient, and a NaN stays one. That function's gradient is a select-and-scatter, which XLA runs on a CPU about 30 times
    slower than the strided slices here.
    """
    height, width = x.shape[-3] // 2 * 2, x.shape[-2] // 2 * 2
    # Width before height: so the first of several equal pixels is the first in row-major order.
    x = _larger(x[..., :height, 0:width:2, :], x[..., :height, 1:width:2, :])
    return _larger(x[..., 0::2, :, :], x[..., 1::2, :, :])


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    # jnp.maximum would halve the gradient between equals, which quantized activations often are.
    return jnp.where((a >= b) | jnp.isnan(a), a, b)
