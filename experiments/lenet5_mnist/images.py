"""The training images as they are shown: distorted copies, made once for all runs, and what a teacher makes of them."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lenet5_mnist import network
from imcjax.data import Split
from imcjax.data.affine import distort
from imcjax.keys import fold_index


BLOCK = 1000
"""Images handled at once."""
LEVELS = 255


class Views:
    """Distorted copies of a training set, held as bytes; the same for all seeds.

    Attributes:
      y: labels.
    """

    def __init__(self, split: Split, count: int):
        self.y = split.y
        self._x = split.x
        self._made: dict[int, np.ndarray] = {}
        self._count = count

    def __len__(self) -> int:
        return len(self.y)

    def number(self, epoch: int) -> int:
        """Which copy an epoch is shown."""
        return epoch % self._count

    def take(self, epoch: int, chosen: np.ndarray) -> np.ndarray:
        """Images by their numbers, as an epoch is shown them."""
        return self._view(self.number(epoch))[chosen].astype(np.float32) / LEVELS

    def logits(self, params: network.Params, epoch: int) -> np.ndarray:
        """(images, 10) what a float network says of an epoch's images."""
        view = self._view(self.number(epoch))
        blocks = [view[i : i + BLOCK].astype(np.float32) / LEVELS for i in range(0, len(view), BLOCK)]
        return np.concatenate([np.asarray(_said(params, block)) for block in blocks])

    def _view(self, number: int) -> np.ndarray:
        if number not in self._made:
            key = fold_index(jax.random.key(0), number)
            blocks = [np.asarray(_distorted(fold_index(key, i), self._x[i : i + BLOCK])) for i in range(0, len(self._x), BLOCK)]
            self._made[number] = np.concatenate(blocks)
        return self._made[number]


_said = jax.jit(network.forward)


@jax.jit
def _distorted(key: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.round(LEVELS * distort(key, x)).astype(jnp.uint8)
