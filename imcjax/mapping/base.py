"""What an encoding is to the rest of imcjax: how weights become the conductances of cells, and how columns are read back.

With x the input digits on the rows of a tile and d the weight digits of a column, the digital side recovers

    sum_i x_i d_i  =  sum_k gain_k column_k / unit  +  offset * X      X = sum_i x_i

where k runs over the columns that are converted by themselves for one digit, and unit is the current of digit one under input
digit one. A cell at digit zero conducts g_min: its `baseline` is g_min in levels.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.families import Families
from imcjax.quantize import clip_through, quantize


ENCODINGS = Families("encoding")
"""The encodings that a hardware file can name."""


class Digits(NamedTuple):
    """Weights as digits of cells: code = sum_s place_s (digit_s - zero_s)."""

    values: Float[Array, "S n_in n_out"]
    place: Float[Array, " S"]
    """Place value of each digit, zero for those not in use."""
    zero: Float[Array, " S"] | None
    """The digits of weight zero; None: all zero."""


class Encoding:
    """A way to hold weights in cells, and what most of them have in common: one cell, one column, one wordline.

    A record of `ENCODINGS` with the fields weight_bits (int or None: continuous) and cell_bits, and these class attributes and
    methods. S counts digits, K separately converted columns of a digit, T and C tiles, r and c rows and columns of one.
    """

    weight_bits: int | None
    cell_bits: int
    cells = 1
    """Cells that hold one digit."""
    columns: Any = 1
    """K."""
    extra_columns: Any = 0
    """Columns of each array that hold no weight."""
    rows_per_input = 1
    """Wordlines that one input drives."""
    sign_slices = 0
    """Slices beyond those that hold `stored_bits`."""
    interleaved: Any = False
    """Whether the two cells of a digit meet at one bitline, between wordlines of opposite voltage."""
    sequential: Any = False
    """Whether a slice is programmed after the ones before it were measured."""
    signed_columns: Any = False
    """Whether a converted column can be negative while no input is."""

    @property
    def slices(self) -> int:
        """S of the widest weight."""
        return 1 if self.weight_bits is None else self.count(self.weight_bits)

    @property
    def top_digit(self) -> float:
        """The digit of a cell at g_max."""
        return 1.0 if self.weight_bits is None else float(2**self.cell_bits - 1)

    def count(self, weight_bits: int) -> int:
        """S of a weight of so many bits."""
        return max(1, -(-int(self.stored_bits(weight_bits)) // self.cell_bits)) + self.sign_slices

    def stored_bits(self, weight_bits: Any) -> Any:
        """Bits that are spread over cells of `cell_bits` bits; all but the sign where nothing else is said."""
        return weight_bits - 1

    def largest(self, baseline: jax.Array | float) -> jax.Array | float:
        """The most that a converted column can show for each row, in levels."""
        return self.top_digit + baseline

    def default_range(self, w: jax.Array) -> jax.Array:
        """The weight range where none is set: max|w|."""
        return jnp.max(jnp.abs(w))

    def codes(
        self, w: Float[Array, "n_in n_out"], limit: jax.Array | float, bits: jax.Array | float | None
    ) -> tuple[Float[Array, "n_in n_out"], jax.Array]:
        """Signed codes of weights of magnitude up to `limit`, and the value of one; in [-1, 1] where `bits` is None."""
        if bits is None:
            step = jnp.where(limit > 0, limit, 1).astype(w.dtype)
            return clip_through(w, -limit, limit) / step, step
        return quantize(w, limit, bits)

    def conversions(self, n_out: int, col_tiles: int) -> int:
        """Conversions of one digit of all weights of a row tile in one phase."""
        return n_out * self.columns

    def split(self, codes: Float[Array, "n_in n_out"], bits: jax.Array | float | None, count: int) -> Digits:
        """`count` digits of signed codes, or of continuous weights in [-1, 1] where `bits` is None."""
        raise NotImplementedError

    def encode(
        self,
        tiles: Float[Array, "S T C r c"],
        g_min: jax.Array | float,
        g_max: jax.Array | float,
        zero: Float[Array, " S"] | None = None,
    ) -> Float[Array, "S cells T C rows columns"]:
        """Target conductances, siemens."""
        raise NotImplementedError

    def respond(self, s: Float[Array, "S cells T C rows columns"]) -> Float[Array, "K S T C rows c"]:
        """What the converted columns answer with, of what the physical columns do."""
        return s[None, :, 0]

    def decoding(
        self, tiles: Float[Array, "S T C r c"], baseline: jax.Array | float, zero: Float[Array, " S"] | None = None
    ) -> tuple[Float[Array, "K S T C 1 c"] | None, Float[Array, "S T C 1 c"] | None]:
        """Gains and offsets; None: all one, all zero."""
        return None, None

    def drive(self, digits: Float[Array, "... r"]) -> Float[Array, "... rows"]:
        """The digits of the wordlines for the input digits of a tile."""
        return digits

    def input_sum(self, digits: Float[Array, "... r"]) -> Float[Array, "..."]:
        """X."""
        return jnp.sum(digits, -1)
