"""The multilayer perceptron of the IMC literature's smallest studies."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


class MLP(nnx.Module):
    """Three dense layers, 256 and 128 ReLU units and one output a class, on samples of any `shape`, which are flattened."""

    def __init__(self, shape: tuple[int, ...], classes: int, *, rngs: nnx.Rngs):
        self.hidden1 = nnx.Linear(math.prod(shape), 256, rngs=rngs)
        self.hidden2 = nnx.Linear(256, 128, rngs=rngs)
        self.output = nnx.Linear(128, classes, rngs=rngs)

    def __call__(self, x: Float[Array | np.ndarray, "batch ..."]) -> Float[Array, "batch classes"]:
        """x: (batch, *shape). Returns the logits."""
        x = jnp.asarray(x).reshape(x.shape[0], -1)
        x = jax.nn.relu(self.hidden1(x))
        x = jax.nn.relu(self.hidden2(x))
        return self.output(x)
