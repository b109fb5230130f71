"""The perceptron that several benchmarks measure."""

import itertools
from collections.abc import Sequence

import jax
from flax import nnx


SIZES = (784, 512, 256, 10)


class Perceptron(nnx.Module):
    """Dense layers, ReLU between them."""

    def __init__(self, rngs: nnx.Rngs, sizes: Sequence[int] = SIZES, *, use_bias: bool = True):
        pairs = itertools.pairwise(sizes)
        self.layers = nnx.List([nnx.Linear(n_in, n_out, use_bias=use_bias, rngs=rngs) for n_in, n_out in pairs])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs of (batch, sizes[0])."""
        for i, layer in enumerate(self.layers):
            x = layer(jax.nn.relu(x) if i else x)
        return x
