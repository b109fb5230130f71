"""Differential encoding: a signed digit as the difference of two cells, at least one of them at the lowest conductance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.pytree import record, static


@record
class Differential:
    """One-sided differential pairs: g+ = g_min + max(d, 0) u and g- = g_min + max(-d, 0) u, u the conductance of one level.

    Attributes:
      weight_bits: the widest weight, sign included (static); None maps weights continuously, without codes.
      cell_bits: bits of one cell, k (static): 2^k levels from g_min to g_max.
    """

    weight_bits: int | None = static(default=None, low=2, high=16)
    cell_bits: int = static(default=2, low=1, high=8)

    @property
    def slices(self) -> int:
        """How many pairs of cells hold the widest weight."""
        return 1 if self.weight_bits is None else max(1, -(-(self.weight_bits - 1) // self.cell_bits))

    @property
    def top_digit(self) -> float:
        """The digit held by a cell at g_max."""
        return 1.0 if self.weight_bits is None else float(2**self.cell_bits - 1)

    def encode(
        self, digits: Float[Array, "slices ..."], g_min: jax.Array | float, g_max: jax.Array | float
    ) -> Float[Array, "slices 2 ..."]:
        """Target conductances (S, 2, ...), siemens, of signed digits (S, ...): g+ then g-.

        At digit zero the gradient goes half to each cell, so the gradient of the difference is the same for every digit.
        """
        level = (g_max - g_min) / self.top_digit
        pair = jnp.stack([jnp.maximum(digits, 0), jnp.maximum(-digits, 0)], axis=1)
        return (g_min + pair * level).astype(digits.dtype)
