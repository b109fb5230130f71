"""Complementary encoding of binary weights: XNOR in two cells."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.mapping.base import ENCODINGS, Digits, Encoding
from imcjax.pytree import record, static
from imcjax.quantize import straight_through


@ENCODINGS.family("complementary")
@record
class Complementary(Encoding):
    """Weights of -1 and 1 only: of two cells on two wordlines one is at g_max, the other at g_min.

    A positive input drives the wordline of the first cell, a negative one that of the second, with voltages that are never
    negative; a column therefore counts the rows on which input and weight agree (XNOR, then count; Rastegari et al.,
    XNOR-Net, ECCV 2016), which is half of |x| summed, plus half of the product. The digital side takes the first part off.

    Attributes:
      weight_bits: 1 (static).
      cell_bits: 1 (static).
    """

    weight_bits: int = static(default=1, low=1, high=1)
    cell_bits: int = static(default=1, low=1, high=1)

    rows_per_input = 2

    def stored_bits(self, weight_bits: int) -> int:
        """The one bit."""
        return weight_bits

    def default_range(self, w: jax.Array) -> jax.Array:
        """mean|w|, with which binary weights are closest to w (XNOR-Net, eq. 6)."""
        return jnp.mean(jnp.abs(w))

    def codes(self, w: Float[Array, "n_in n_out"], limit: jax.Array | float, bits: jax.Array | float | None) -> tuple:
        """w in units of the range, which is the value of weight one."""
        step = jnp.where(limit > 0, limit, 1).astype(w.dtype)
        return w / step, step

    def split(self, codes: Float[Array, "n_in n_out"], bits: jax.Array | float | None, count: int) -> Digits:
        """-1 and 1; the gradient passes straight through."""
        sign = jnp.where(codes < 0, -1.0, 1.0).astype(codes.dtype)
        return Digits(straight_through(sign, codes)[None], jnp.ones(1, codes.dtype), None)

    def encode(
        self,
        tiles: Float[Array, "1 T C r c"],
        g_min: jax.Array | float,
        g_max: jax.Array | float,
        zero: Float[Array, " S"] | None = None,
    ) -> Float[Array, "1 1 T C rows c"]:
        """Target conductances, siemens, two rows an input."""
        cells = jnp.stack([0.5 * (1 + tiles), 0.5 * (1 - tiles)], -2)  # (1, T, C, r, 2, c)
        g = g_min + cells * (g_max - g_min)
        return g.reshape(*tiles.shape[:-2], -1, tiles.shape[-1]).astype(tiles.dtype)[:, None]

    def decoding(
        self, tiles: Float[Array, "1 T C r c"], baseline: jax.Array | float, zero: Float[Array, " S"] | None = None
    ) -> tuple:
        """column = baseline |x| + (|x| + x w) / 2, summed."""
        shape = (*tiles.shape[:-2], 1, tiles.shape[-1])
        gains = jnp.full((1, *shape), 2.0, tiles.dtype)
        return gains, jnp.broadcast_to(-jnp.asarray(2 * baseline + 1, tiles.dtype), shape)

    def drive(self, digits: Float[Array, "... r"]) -> Float[Array, "... rows"]:
        """Positive parts and negative parts on alternate wordlines; at zero the gradient goes half to each."""
        pair = jnp.stack([jnp.maximum(digits, 0), jnp.maximum(-digits, 0)], -1)
        return pair.reshape(*digits.shape[:-1], -1)

    def input_sum(self, digits: Float[Array, "... r"]) -> Float[Array, "..."]:
        """Of the magnitudes, which is what all rows together are driven with."""
        return jnp.sum(self.drive(digits), -1)
