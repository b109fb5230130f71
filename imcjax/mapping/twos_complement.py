"""Two's complement: bits of a weight in single cells, the sign bit in a cell of its own that counts negatively."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.mapping import slices
from imcjax.mapping.base import ENCODINGS, Digits, Encoding
from imcjax.pytree import record, static


@ENCODINGS.family("twos_complement")
@record
class TwosComplement(Encoding):
    """code = sum_s 2^(k s) digit_s - 2^(b - 1) sign: the lower b - 1 bits in cells of k bits, the sign in one more.

    Cells at digit zero still conduct g_min; what that adds is a multiple of the sum of the inputs, taken off digitally.

    Attributes:
      weight_bits: the widest weight, sign included (static).
      cell_bits: bits of one cell, k (static).
    """

    weight_bits: int = static(default=8, low=2, high=16)
    cell_bits: int = static(default=1, low=1, high=8)

    sign_slices = 1

    def split(self, codes: Float[Array, "n_in n_out"], bits: jax.Array | float, count: int) -> Digits:
        """Digits of the lower bits, then the sign."""
        digits, place = slices.twos_complement(codes, bits, count, self.cell_bits)
        return Digits(digits, place, None)

    def encode(
        self,
        tiles: Float[Array, "S T C r c"],
        g_min: jax.Array | float,
        g_max: jax.Array | float,
        zero: Float[Array, " S"] | None = None,
    ) -> Float[Array, "S 1 T C r c"]:
        """Target conductances, siemens."""
        return (g_min + tiles * ((g_max - g_min) / self.top_digit)).astype(tiles.dtype)[:, None]

    def decoding(
        self, tiles: Float[Array, "S T C r c"], baseline: jax.Array | float, zero: Float[Array, " S"] | None = None
    ) -> tuple:
        """The baseline taken off every column."""
        shape = (*tiles.shape[:-2], 1, tiles.shape[-1])
        return None, jnp.broadcast_to(-jnp.asarray(baseline, tiles.dtype), shape)
