"""Differential encoding: a signed digit as the difference of two cells."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.errors import UserError
from imcjax.mapping import slices
from imcjax.mapping.base import ENCODINGS, Digits, Encoding
from imcjax.pytree import number, record, static


@ENCODINGS.family("differential")
@record
class Differential(Encoding):
    """Pairs of cells whose difference is the digit d, of sign and magnitude:

        g+ = g_min + (max(d, 0) + c) u      g- = g_min + (max(-d, 0) + c) u      c = common_mode (top - |d|) / 2

    with u the conductance of one level. At common_mode 0 one cell of each pair is at g_min (one-sided pairs); at 1 the sum of
    both is the same for every digit (two-sided pairs, on half levels).

    Attributes:
      weight_bits: the widest weight, sign included (static); None maps weights continuously, without codes.
      cell_bits: bits of one cell, k (static): 2^k levels from g_min to g_max.
      common_mode: from 0 (one-sided) to 1 (two-sided).
      subtract: where the columns of a pair are subtracted (static): "analog", before one conversion, or "digital", after two.
      pairs: where the cells of a pair are (static): "apart", each on an array of its own; "interleaved", at one node of one
        bitline, on wordlines driven with opposite voltages (2T2R), so that wires see the difference only.
    """

    weight_bits: int | None = static(default=None, low=2, high=16)
    cell_bits: int = static(default=2, low=1, high=8)
    common_mode: float = number(default=0.0, low=0.0, high=1.0)
    subtract: str = static(default="analog", options=("analog", "digital"))
    pairs: str = static(default="apart", options=("apart", "interleaved"))

    cells = 2

    def check(self, path: str) -> None:
        """Refuse to subtract digitally what the bitline has subtracted."""
        if self.interleaved and self.subtract == "digital":
            raise UserError(f"{path}.subtract is 'digital' with pairs 'interleaved', whose bitline subtracts; give 'analog'.")

    @property
    def interleaved(self) -> bool:
        """Whether the cells of a pair meet at one bitline."""
        return self.pairs == "interleaved"

    @property
    def columns(self) -> int:
        """Conversions of a digit: one of the difference, or one of each cell's column."""
        return 2 if self.subtract == "digital" and not self.interleaved else 1

    @property
    def signed_columns(self) -> bool:
        """A difference has a sign, a single column has none."""
        return self.columns == 1

    def largest(self, baseline: jax.Array | float) -> jax.Array | float:
        """The largest digit that a converted column can show for one row."""
        return self.top_digit if self.columns == 1 else self.top_digit + baseline

    def split(self, codes: Float[Array, "n_in n_out"], bits: jax.Array | float | None, count: int) -> Digits:
        """Signed digits of the magnitude; continuous weights are one digit."""
        return slices.signed_digits(codes, bits, count, self.cell_bits)

    def encode(
        self,
        tiles: Float[Array, "S ..."],
        g_min: jax.Array | float,
        g_max: jax.Array | float,
        zero: Float[Array, " S"] | None = None,
    ) -> Float[Array, "S 2 ..."]:
        """Target conductances (S, 2, ...), siemens, of signed digits (S, ...): g+ then g-.

        At digit zero the gradient goes half to each cell, so the gradient of the difference is the same for every digit.
        """
        return pair_targets(tiles, self.top_digit, self.common_mode, g_min, g_max)

    def respond(self, s: Float[Array, "S cells ..."]) -> Float[Array, "K S ..."]:
        """The difference, or both columns where they are subtracted digitally."""
        if s.shape[1] == 1:  # interleaved: the bitline has subtracted already
            return s[None, :, 0]
        return jnp.moveaxis(s, 1, 0) if self.columns == 2 else (s[:, 0] - s[:, 1])[None]

    def decoding(
        self, tiles: Float[Array, "S ..."], baseline: jax.Array | float, zero: Float[Array, " S"] | None = None
    ) -> tuple:
        """Gain -1 of the negative column where it is converted by itself; no offsets: what is common drops out."""
        if self.columns == 1:
            return None, None
        signs = jnp.asarray([1.0, -1.0], tiles.dtype).reshape(2, *(1,) * tiles.ndim)
        return jnp.broadcast_to(signs, (2, *tiles.shape[:-2], 1, tiles.shape[-1])), None


def pair_targets(
    digits: Float[Array, "S ..."],
    top: float,
    common_mode: jax.Array | float,
    g_min: jax.Array | float,
    g_max: jax.Array | float,
) -> Float[Array, "S 2 ..."]:
    """Conductances (S, 2, ...), siemens, of pairs that hold digits (S, ...) of magnitude up to `top`."""
    level = (g_max - g_min) / top
    positive, negative = jnp.maximum(digits, 0), jnp.maximum(-digits, 0)
    shared = common_mode * 0.5 * (top - positive - negative)
    pair = jnp.stack([positive + shared, negative + shared], axis=1)
    return (g_min + pair * level).astype(digits.dtype)
