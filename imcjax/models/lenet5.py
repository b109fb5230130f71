"""The convolutional network on which IMC co-design studies of MNIST agree."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from imcjax.errors import UserError
from imcjax.models.pool import max_pool_2x2


SMALLEST = 16  # pixels: 16 -> 12 -> 6 -> 2 -> 1 through the two convolutions and poolings


class LeNet5(nnx.Module):
    """32C5-MP2-64C5-MP2-512-classes: 5 x 5 convolutions without padding, 2 x 2 max pooling, ReLU.

    On 28 x 28 x 1 images and 10 classes it has 582,026 parameters and does 4,267,008 multiplications an image.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, *, rngs: nnx.Rngs):
        if len(shape) != 3 or min(shape[:2]) < SMALLEST:
            raise UserError(
                f"the model lenet5 needs samples of at least {SMALLEST} x {SMALLEST} pixels x channels, and these are "
                f"{' x '.join(map(str, shape))}; take the model mlp instead."
            )
        height, width = (((size - 4) // 2 - 4) // 2 for size in shape[:2])
        self.conv1 = nnx.Conv(shape[2], 32, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (5, 5), padding="VALID", rngs=rngs)
        self.hidden = nnx.Linear(height * width * 64, 512, rngs=rngs)
        self.output = nnx.Linear(512, classes, rngs=rngs)

    def __call__(self, x: Float[Array | np.ndarray, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """x: (batch, *shape). Returns the logits."""
        x = max_pool_2x2(jax.nn.relu(self.conv1(jnp.asarray(x))))
        x = max_pool_2x2(jax.nn.relu(self.conv2(x)))
        x = jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1)))
        return self.output(x)
