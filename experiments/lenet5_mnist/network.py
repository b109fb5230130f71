"""LeNet-5 with its kernels as matrices, and a place for a quantizer at each of its seven tensors.

Convolutions are XLA's: a step takes half the processor time of one with slices side by side times a matrix. The first layer's
input is the image, whose 8-bit pixels are their own codes: it is not quantized again.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.cost import Work
from imcjax.models.lenet5 import LeNet5
from imcjax.models.pool import max_pool_2x2


LAYERS = ("conv1", "conv2", "hidden", "output")
TENSORS = (
    "conv1 weights",
    "conv2 weights",
    "hidden weights",
    "output weights",
    "conv2 inputs",
    "hidden inputs",
    "output inputs",
)
SIGNED = (True,) * 4 + (False,) * 3
WORKS = (
    Work("conv1", 25, 32, positions=24 * 24, input_signed=False),
    Work("conv2", 25 * 32, 64, positions=8 * 8, input_signed=False),
    Work("hidden", 1024, 512, input_signed=False),
    Work("output", 512, 10, input_signed=False),
)
COUNTS = np.array([25 * 32, 800 * 64, 1024 * 512, 512 * 10, 12 * 12 * 32, 1024, 512])
"""How many numbers each tensor holds; activations, for one image."""
KERNEL = 5

Params = dict[str, dict[str, jax.Array]]
Keep = tuple[jax.Array | float, ...]
"""1 for each output channel of the first three layers that is kept, 0 for one that is pruned."""
Quantizer = Callable[[int, jax.Array], jax.Array]
"""(number of the tensor in `TENSORS`, its values) -> quantized values."""


def start(seed: int) -> Params:
    """Fresh parameters: {"conv1": {"kernel": (n_in, n_out), "bias": (n_out,)}, ...}."""
    model = LeNet5((28, 28, 1), 10, rngs=nnx.Rngs(seed))
    found = {}
    for name in LAYERS:
        layer = getattr(model, name)
        kernel = jnp.asarray(layer.kernel[...])
        found[name] = {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": jnp.asarray(layer.bias[...])}
    return found


def nothing_pruned() -> Keep:
    """Every channel kept."""
    return tuple(jnp.ones(work.n_out) for work in WORKS[:3])


def rows_kept(keep: Keep) -> list[jax.Array | float]:
    """For each layer, which of its (n_in,) inputs are of channels that are kept."""
    # A kernel's rows run over its places and within them over channels, as the flattened image of the hidden layer does.
    return [1.0, *(jnp.tile(k, work.n_in // before.n_out) for k, work, before in zip(keep, WORKS[1:], WORKS, strict=False))]


def forward(
    params: Params, x: jax.Array, quantized: Quantizer = lambda i, values: values, keep: Keep = (1.0, 1.0, 1.0)
) -> jax.Array:
    """Logits of images (batch, 28, 28, 1)."""

    def layer(i: int, x: jax.Array) -> jax.Array:
        own = params[LAYERS[i]]
        kernel = quantized(i, own["kernel"])
        return (convolve(x, kernel) if x.ndim == 4 else x @ kernel) + own["bias"]

    x = max_pool_2x2(jax.nn.relu(layer(0, x))) * keep[0]
    x = max_pool_2x2(jax.nn.relu(layer(1, quantized(4, x)))) * keep[1]
    x = jax.nn.relu(layer(2, quantized(5, x.reshape(x.shape[0], -1)))) * keep[2]
    return layer(3, quantized(6, x))


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """(batch, height, width, channels) by a kernel (25 channels, outputs), without padding."""
    shaped = kernel.reshape(KERNEL, KERNEL, x.shape[-1], -1)
    return jax.lax.conv_general_dilated(x, shaped, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def seen(params: Params, x: jax.Array) -> list[jax.Array]:
    """The values of the seven tensors, weights divided by the mean magnitude of their columns."""
    found: dict[int, Any] = {}

    def keep(i: int, values: jax.Array) -> jax.Array:
        found[i] = values / column_scale(values) if SIGNED[i] else values
        return values

    forward(params, x, keep)
    return [found[i] for i in range(len(TENSORS))]


def column_scale(kernel: jax.Array) -> jax.Array:
    """(n_out,) mean magnitude of each column, without gradient."""
    return jax.lax.stop_gradient(jnp.mean(jnp.abs(kernel), axis=0))
