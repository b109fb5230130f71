"""Offset encoding: a weight plus a constant, in single cells, with what the constant adds taken off again."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.errors import UserError
from imcjax.mapping import slices
from imcjax.mapping.base import ENCODINGS, Digits, Encoding
from imcjax.pytree import record, static


@ENCODINGS.family("offset")
@record
class Offset(Encoding):
    """Codes of b bits raised by 2^(b - 1), so that none is negative: one cell a digit, a pair of cells is not needed.

    The constant, and the conductance of a cell at digit zero, each add a multiple of the sum of the inputs. The digital side
    knows that sum ("digital"), or takes it from a further column of each array, errors and wires included: one that holds
    weight zero ("zero_column"), or digit one in every row ("unit_column"). With `flip`, a column whose digits sum to more than
    half of the most that they can is stored as its complement, which halves the largest sum and saves the ADC one bit
    (Shafiee et al., "ISAAC", ISCA 2016, section V).

    Attributes:
      weight_bits: the widest weight, sign included (static); None maps weights continuously, without codes.
      cell_bits: bits of one cell, k (static).
      reference: "digital", "zero_column" or "unit_column" (static).
      flip: 1 to store full columns complemented (static).
    """

    weight_bits: int | None = static(default=None, low=2, high=16)
    cell_bits: int = static(default=2, low=1, high=8)
    reference: str = static(default="digital", options=("digital", "zero_column", "unit_column"))
    flip: int = static(default=0, low=0, high=1)

    @property
    def extra_columns(self) -> int:
        """The reference column."""
        return int(self.reference != "digital")

    @property
    def columns(self) -> int:
        """Conversions that a digit needs: of its column, and of the reference."""
        return 1 + self.extra_columns

    def check(self, path: str) -> None:
        """Refuse complements beside a column of weight zero, which would need the bit that they save."""
        if self.flip and self.reference == "zero_column":
            raise UserError(
                f"{path}.flip is 1 with reference 'zero_column', whose sums are large; give 'unit_column' or 'digital'."
            )

    def stored_bits(self, weight_bits: Any) -> Any:
        """All bits: the sign is gone with the offset."""
        return weight_bits

    def largest(self, baseline: jax.Array | float) -> jax.Array | float:
        """The largest digit that a converted column can show for one row, on average over the rows."""
        if not self.flip:
            return self.top_digit + baseline
        return max(0.5 * self.top_digit, float(self.extra_columns)) + baseline

    def conversions(self, n_out: int, col_tiles: int) -> int:
        """Every column, and the reference of each array."""
        return n_out + self.extra_columns * col_tiles

    def split(self, codes: Float[Array, "n_in n_out"], bits: jax.Array | float | None, count: int) -> Digits:
        """Digits of the raised codes; continuous weights of -1 to 1 become one digit of 0 to 1."""
        if bits is None:
            half = jnp.full(1, 0.5, codes.dtype)
            return Digits((0.5 * (codes + 1))[None], 2 * jnp.ones(1, codes.dtype), half)
        raised = jnp.exp2(jnp.round(jnp.asarray(bits, codes.dtype)) - 1)
        used = slices.in_use(bits, self.cell_bits)
        digits = slices.split(codes + raised, count, self.cell_bits, used)
        zero = slices.split(lax.stop_gradient(raised), count, self.cell_bits, used)
        return Digits(digits, slices.weights(count, self.cell_bits, used, codes.dtype), zero)

    def encode(
        self,
        tiles: Float[Array, "S T C r c"],
        g_min: jax.Array | float,
        g_max: jax.Array | float,
        zero: Float[Array, " S"] | None = None,
    ) -> Float[Array, "S 1 T C r columns"]:
        """Target conductances, siemens; the reference column, where there is one, comes last."""
        if self.flip:
            tiles = jnp.where(self._flipped(tiles), self.top_digit - tiles, tiles)
        if self.extra_columns:
            assert zero is not None
            held = zero if self.reference == "zero_column" else jnp.ones_like(zero)
            reference = jnp.broadcast_to(held[:, None, None, None, None], (*tiles.shape[:-1], 1))
            tiles = jnp.concatenate([tiles, reference], -1)
        return (g_min + tiles * ((g_max - g_min) / self.top_digit)).astype(tiles.dtype)[:, None]

    def respond(self, s: Float[Array, "S 1 T C r columns"]) -> Float[Array, "K S T C r c"]:
        """Each column, and beside it the reference column of its array."""
        s = s[:, 0]
        if not self.extra_columns:
            return s[None]
        columns = s[..., :-1]
        return jnp.stack([columns, jnp.broadcast_to(s[..., -1:], columns.shape)])

    def decoding(
        self, tiles: Float[Array, "S T C r c"], baseline: jax.Array | float, zero: Float[Array, " S"] | None = None
    ) -> tuple:
        """Gains (K, S, T, C, 1, c), or with the digital reference offsets (S, T, C, 1, c).

        With X the sum of the inputs a column shows sum x d + baseline X, a flipped one (top + baseline) X - sum x d.
        """
        assert zero is not None
        zero = zero[:, None, None, None, None]
        shape = (*tiles.shape[:-2], 1, tiles.shape[-1])
        flipped = self._flipped(tiles) if self.flip else jnp.zeros(shape, bool)
        gain = jnp.where(flipped, -1.0, 1.0).astype(tiles.dtype)
        times_x = jnp.where(flipped, self.top_digit + baseline - zero, -baseline - zero).astype(tiles.dtype)
        if not self.extra_columns:
            return gain[None], times_x
        reference = -jnp.ones(shape, tiles.dtype) if self.reference == "zero_column" else times_x / (1 + baseline)
        return jnp.stack([gain, reference]), None

    def _flipped(self, tiles: Float[Array, "S T C r c"]) -> Array:
        """(S, T, C, 1, c) which columns are stored complemented."""
        return lax.stop_gradient(jnp.sum(tiles, -2, keepdims=True) > 0.5 * self.top_digit * tiles.shape[-2])
