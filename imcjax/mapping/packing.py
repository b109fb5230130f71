"""Several small matrices on one array, along its diagonal: depthwise and grouped convolutions."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Packing:
    """`groups` matrices, `together` of them on the diagonal of one; the cells beside the diagonal hold weight zero.

    A grouped convolution has a small matrix for each group: by itself it would leave most of its array unused. Packed ones
    share wordline drivers, converters and wires, and the noise of the cells that hold nothing.
    """

    groups: int
    together: int

    @classmethod
    def of(cls, groups: int, n_in: int, n_out: int, rows: int, cols: int) -> "Packing":
        """As many (n_in, n_out) matrices together as arrays of rows x cols weights take, spread evenly."""
        most = max(1, min(rows // n_in, cols // n_out, groups))
        arrays = -(-groups // most)
        return cls(groups, -(-groups // arrays))

    @property
    def matrices(self) -> int:
        """How many there are after packing."""
        return -(-self.groups // self.together)

    def pack(self, w: Float[Array, "groups n_in n_out"]) -> Float[Array, "matrices rows cols"]:
        """The matrices on diagonals."""
        _, n_in, n_out = w.shape
        filled = jnp.pad(w, ((0, self._missing), (0, 0), (0, 0)))
        blocks = filled.reshape(self.matrices, self.together, n_in, 1, n_out)
        diagonal = jnp.eye(self.together, dtype=w.dtype)[:, None, :, None]
        return (blocks * diagonal).reshape(self.matrices, self.together * n_in, self.together * n_out)

    def join(self, x: Float[Array, "... groups n_in"]) -> Float[Array, "... matrices rows"]:
        """The inputs of the groups that lie together, one after another."""
        filled = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, self._missing), (0, 0)])
        return filled.reshape(*x.shape[:-2], self.matrices, -1)

    def part(self, y: Float[Array, "... matrices cols"]) -> Float[Array, "... groups n_out"]:
        """The outputs of each group."""
        return y.reshape(*y.shape[:-2], self.matrices * self.together, -1)[..., : self.groups, :]

    @property
    def _missing(self) -> int:
        return self.matrices * self.together - self.groups
