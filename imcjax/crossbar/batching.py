"""NumPy broadcasting of arrays against inputs, arranged so that an array that serves many inputs is never copied."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Batch(NamedTuple):
    """The leading axes of (g, v): those along which g differs (`arrays`) and those of inputs to one array (`inputs`)."""

    shape: tuple[int, ...]
    arrays: tuple[int, ...]
    inputs: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, int]:
        """(arrays, inputs per array)."""
        return tuple(int(np.prod([self.shape[i] for i in axes])) for axes in (self.arrays, self.inputs))  # type: ignore[return-value]

    def join_g(self, g: Float[Array, "*batch rows cols"]) -> Float[Array, "arrays rows cols"]:
        """One axis for all arrays; missing and size-1 axes vanish."""
        return g.reshape(self.counts[0], *g.shape[-2:])

    def join_v(self, v: Float[Array, "*batch rows"]) -> Float[Array, "arrays inputs rows"]:
        """One axis for all arrays and one for the inputs of each."""
        v = jnp.broadcast_to(v, (*self.shape, v.shape[-1]))
        v = jnp.transpose(v, (*self.arrays, *self.inputs, len(self.shape)))
        return v.reshape(*self.counts, v.shape[-1])

    def split(self, x: Array) -> Array:
        """(arrays, inputs, ...) back to the batch axes of the caller."""
        order = (*self.arrays, *self.inputs)
        x = x.reshape(*(self.shape[i] for i in order), *x.shape[2:])
        return jnp.transpose(x, (*np.argsort(order).tolist(), *range(len(order), x.ndim)))


def batch_of(g_batch: tuple[int, ...], v_batch: tuple[int, ...]) -> Batch:
    """Sort the broadcast of two batch shapes. Raises ValueError when they do not broadcast."""
    shape = np.broadcast_shapes(g_batch, v_batch)
    own = (1,) * (len(shape) - len(g_batch)) + tuple(g_batch)
    arrays = tuple(i for i, size in enumerate(own) if size != 1)
    return Batch(tuple(shape), arrays, tuple(i for i in range(len(shape)) if i not in arrays))
