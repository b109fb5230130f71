"""MobileNetV2: depthwise convolutions, the hard case for arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from imcjax.errors import UserError


STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and first stride of each stage: table 2 of the paper."""


class ConvNorm(nnx.Module):
    """A convolution, BatchNorm, and ReLU6 where asked for."""

    def __init__(
        self, n_in: int, n_out: int, size: int, *, strides: int = 1, groups: int = 1, active: bool = True, rngs: nnx.Rngs
    ):
        window, pad, init = (size, size), size // 2, nnx.initializers.he_normal()
        geometry: dict[str, Any] = {"strides": strides, "padding": pad, "feature_group_count": groups}
        self.conv = nnx.Conv(n_in, n_out, window, **geometry, use_bias=False, kernel_init=init, rngs=rngs)
        self.norm = nnx.BatchNorm(n_out, momentum=0.9, rngs=rngs)
        self.active = active

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch height1 width1 n_out"]:
        """Half the size where strides are 2."""
        y = self.norm(self.conv(x))
        return jax.nn.relu6(y) if self.active else y


class Inverted(nnx.Module):
    """An inverted residual: expand, filter each channel by itself, project; added to its input where the shapes agree."""

    def __init__(self, n_in: int, n_out: int, expansion: int, strides: int, *, rngs: nnx.Rngs):
        inside = n_in * expansion
        parts = [] if expansion == 1 else [ConvNorm(n_in, inside, 1, rngs=rngs)]
        parts.append(ConvNorm(inside, inside, 3, strides=strides, groups=inside, rngs=rngs))
        parts.append(ConvNorm(inside, n_out, 1, active=False, rngs=rngs))
        self.parts = nnx.List(parts)
        self.residual = strides == 1 and n_in == n_out

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch height1 width1 n_out"]:
        """Half the size where strides are 2."""
        y = x
        for part in self.parts:
            y = part(y)
        return x + y if self.residual else y


class MobileNetV2(nnx.Module):
    """The network of the paper at a width; on images below 64 pixels the first two strides are 1, so that something is left.

    With width 1 and 1000 classes it has 3,504,872 parameters. Source: M. Sandler et al., MobileNetV2: inverted residuals and
    linear bottlenecks, CVPR 2018.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, *, width: float = 0.5, rngs: nnx.Rngs):
        if len(shape) != 3 or min(shape[:2]) < 16:
            raise UserError(
                f"the model mobilenetv2 needs samples of at least 16 x 16 pixels x channels, and these are "
                f"{' x '.join(map(str, shape))}; take the model mlp instead."
            )
        small = min(shape[:2]) < 64
        n_in = _channels(32 * width)
        self.stem = ConvNorm(shape[2], n_in, 3, strides=1 if small else 2, rngs=rngs)
        blocks = []
        for stage, (expansion, channels, count, first) in enumerate(STAGES):
            n_out = _channels(channels * width)
            first = 1 if small and stage == 1 else first
            for i in range(count):
                blocks.append(Inverted(n_in, n_out, expansion, first if i == 0 else 1, rngs=rngs))
                n_in = n_out
        self.blocks = nnx.List(blocks)
        last = _channels(1280 * max(1.0, width))
        self.head = ConvNorm(n_in, last, 1, rngs=rngs)
        self.output = nnx.Linear(last, classes, rngs=rngs)

    def __call__(self, x: Float[Array | np.ndarray, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """x: (batch, *shape). Returns the logits."""
        y = self.stem(jnp.asarray(x))
        for block in self.blocks:
            y = block(y)
        return self.output(self.head(y).mean(axis=(1, 2)))


def _channels(wanted: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below, as the authors' code rounds."""
    found = max(8, int(wanted + 4) // 8 * 8)
    return found + 8 if found < 0.9 * wanted else found
