"""Residual networks for small images."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from imcjax.errors import UserError


def _conv(n_in: int, n_out: int, strides: int, rngs: nnx.Rngs) -> nnx.Conv:
    # Padding by one on both sides, as published: with strides, "SAME" pads the end alone.
    init = nnx.initializers.he_normal()
    return nnx.Conv(n_in, n_out, (3, 3), strides=strides, padding=1, use_bias=False, kernel_init=init, rngs=rngs)


class Block(nnx.Module):
    """Two 3 x 3 convolutions beside a shortcut without weights: strided, missing channels zero (option A of the paper)."""

    def __init__(self, n_in: int, n_out: int, strides: int, *, rngs: nnx.Rngs):
        self.strides, self.more = strides, n_out - n_in
        self.conv1 = _conv(n_in, n_out, strides, rngs)
        self.norm1 = nnx.BatchNorm(n_out, momentum=0.9, rngs=rngs)
        self.conv2 = _conv(n_out, n_out, 1, rngs)
        self.norm2 = nnx.BatchNorm(n_out, momentum=0.9, rngs=rngs)

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch height1 width1 n_out"]:
        """Half the size where strides are 2."""
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        shortcut = x[:, :: self.strides, :: self.strides]
        before = self.more // 2
        shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (before, self.more - before)))
        return jax.nn.relu(y + shortcut)


class ResNet(nnx.Module):
    """6 n + 2 layers: a convolution, three stages of n blocks with 16, 32 and 64 channels, average pooling, a dense layer.

    On 32 x 32 x 3 images and 10 classes, n = 3 (ResNet-20) has 268,336 weights in convolutions and the dense layer and does
    40.55 million multiplications an image. Source: K. He et al., Deep residual learning for image recognition, CVPR 2016,
    section 4.2.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, *, blocks: int = 3, rngs: nnx.Rngs):
        if len(shape) != 3 or min(shape[:2]) < 4:
            raise UserError(
                f"a residual network needs samples of at least 4 x 4 pixels x channels, and these are "
                f"{' x '.join(map(str, shape))}; take the model mlp instead."
            )
        self.conv = _conv(shape[2], 16, 1, rngs)
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        stages, n_in = [], 16
        for n_out in (16, 32, 64):
            for _ in range(blocks):
                stages.append(Block(n_in, n_out, 1 if n_in == n_out else 2, rngs=rngs))
                n_in = n_out
        self.blocks = nnx.List(stages)
        self.output = nnx.Linear(n_in, classes, rngs=rngs)

    def __call__(self, x: Float[Array | np.ndarray, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """x: (batch, *shape). Returns the logits."""
        x = jax.nn.relu(self.norm(self.conv(jnp.asarray(x))))
        for block in self.blocks:
            x = block(x)
        return self.output(x.mean(axis=(1, 2)))
