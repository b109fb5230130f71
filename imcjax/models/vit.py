"""A small vision transformer."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from imcjax.errors import UserError


class Encoder(nnx.Module):
    """A pre-norm transformer block: attention and a perceptron of four times the width, each added to its input."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)
        self.hidden = nnx.Linear(width, 4 * width, rngs=rngs)
        self.project = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Of the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.project(jax.nn.gelu(self.hidden(self.norm2(x)), approximate=False))


class ViT(nnx.Module):
    """Patches, a class token, learned positions, encoders, a LayerNorm and a dense layer on the class token.

    With the defaults of width and heads, 12 encoders, 16 x 16 patches of 224 x 224 x 3 images and 1000 classes it is DeiT-Ti
    with its 5,717,416 parameters. Sources: A. Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021; H. Touvron et al.,
    Training data-efficient image transformers, ICML 2021, table 1.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        *,
        patch: int = 4,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        rngs: nnx.Rngs,
    ):
        if len(shape) != 3 or shape[0] % patch or shape[1] % patch:
            raise UserError(
                f"the model vit needs samples of pixels x channels that {patch} x {patch} patches tile, and these are "
                f"{' x '.join(map(str, shape))}; take the model mlp instead."
            )
        tokens = (shape[0] // patch) * (shape[1] // patch) + 1
        small = nnx.initializers.truncated_normal(0.02)
        self.patches = nnx.Conv(shape[2], width, (patch, patch), strides=patch, padding="VALID", rngs=rngs)
        self.token = nnx.Param(small(rngs.params(), (1, 1, width), jnp.float32))
        self.positions = nnx.Param(small(rngs.params(), (1, tokens, width), jnp.float32))
        self.encoders = nnx.List([Encoder(width, heads, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)
        self.output = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x: Float[Array | np.ndarray, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """x: (batch, *shape). Returns the logits."""
        x = self.patches(jnp.asarray(x))
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        token = jnp.broadcast_to(self.token[...], (x.shape[0], 1, x.shape[-1]))
        x = jnp.concatenate([token, x], axis=1) + self.positions[...]
        for encoder in self.encoders:
            x = encoder(x)
        return self.output(self.norm(x)[:, 0])
