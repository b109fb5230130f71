"""The plain convolutional networks that IMC studies of CIFAR-10 use."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from imcjax.errors import UserError
from imcjax.models.pool import max_pool_2x2


class VGG(nnx.Module):
    """2x128C3-MP2-2x256C3-MP2-2x512C3-MP2, then dense layers of `hidden` units and one output a class; BatchNorm, ReLU.

    Six convolutions and one to three dense layers make VGG-7, VGG-8 and VGG-9. VGG-8 is the network of DNN+NeuroSim (X. Peng et
    al., IEDM 2019), which ternary weight networks (F. Li et al., arXiv 1605.04711) call VGG-7; VGG-9 is that of BinaryConnect
    (M. Courbariaux et al., NeurIPS 2015).
    """

    def __init__(self, shape: tuple[int, ...], classes: int, *, hidden: Sequence[int] = (1024,), rngs: nnx.Rngs):
        if len(shape) != 3 or min(shape[:2]) < 8:
            raise UserError(
                f"a VGG network needs samples of at least 8 x 8 pixels x channels, and these are "
                f"{' x '.join(map(str, shape))}; take the model mlp instead."
            )
        init = nnx.initializers.he_normal()
        widths = (shape[2], 128, 128, 256, 256, 512, 512)
        pairs = list(itertools.pairwise(widths))
        self.convs = nnx.List([nnx.Conv(a, b, (3, 3), use_bias=False, kernel_init=init, rngs=rngs) for a, b in pairs])
        self.conv_norms = nnx.List([nnx.BatchNorm(b, momentum=0.9, rngs=rngs) for _, b in pairs])
        sizes = [(shape[0] // 8) * (shape[1] // 8) * widths[-1], *hidden]
        pairs = list(itertools.pairwise(sizes))
        self.dense = nnx.List([nnx.Linear(a, b, use_bias=False, kernel_init=init, rngs=rngs) for a, b in pairs])
        self.dense_norms = nnx.List([nnx.BatchNorm(b, momentum=0.9, rngs=rngs) for _, b in pairs])
        self.output = nnx.Linear(sizes[-1], classes, rngs=rngs)

    def __call__(self, x: Float[Array | np.ndarray, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """x: (batch, *shape). Returns the logits."""
        x = jnp.asarray(x)
        for i, (conv, norm) in enumerate(zip(self.convs, self.conv_norms)):
            x = conv(x)
            x = jax.nn.relu(norm(max_pool_2x2(x) if i % 2 else x))
        x = x.reshape(x.shape[0], -1)
        for dense, norm in zip(self.dense, self.dense_norms):
            x = jax.nn.relu(norm(dense(x)))
        return self.output(x)
