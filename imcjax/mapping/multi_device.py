"""Several pairs of analog cells for one weight, each of its own significance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.mapping.base import ENCODINGS, Digits, Encoding
from imcjax.mapping.differential import pair_targets
from imcjax.pytree import number, record, static
from imcjax.quantize import clip_through


@ENCODINGS.family("multi_device")
@record
class MultiDevice(Encoding):
    """A continuous weight as the sum of differential pairs of significance 1, ratio, ratio^2, ...

    With order "fill" the least significant pair takes as much as it holds and the next ones the rest: the more cells, the
    larger the range and the smaller the share of each cell's error. With "residual" the most significant pair is written with
    the whole weight, what it then really holds is measured, and each next pair, a factor `ratio` finer, is written with what
    is still missing: the error of a weight is that of its last pair (residual write-verify; see Mackin et al., Advanced
    Electronic Materials 5, 1900026 (2019), for weights of several devices of different significance).

    Attributes:
      pairs: pairs of cells a weight (static).
      ratio: between the significances of neighbouring pairs.
      order: "fill" or "residual" (static).
    """

    pairs: int = static(default=2, low=1, high=8)
    ratio: float = number(default=3.0, low=1.0, high=1e4)
    order: str = static(default="fill", options=("fill", "residual"))

    weight_bits = None
    cell_bits = 1
    cells = 2
    signed_columns = True

    @property
    def slices(self) -> int:
        """Pairs."""
        return self.pairs

    @property
    def sequential(self) -> bool:
        """Whether a pair is programmed after the one before it was measured."""
        return self.order == "residual"

    def largest(self, baseline: jax.Array | float) -> jax.Array | float:
        """One pair at its end."""
        return 1.0

    def split(self, codes: Float[Array, "n_in n_out"], bits: None, count: int) -> Digits:
        """What each pair holds; with order "residual" what it would where every pair before it held what it should."""
        steps = jnp.asarray(self.ratio, codes.dtype) ** jnp.arange(count, dtype=codes.dtype)
        if self.sequential:
            return Digits(jnp.stack([codes, *[jnp.zeros_like(codes)] * (count - 1)]), 1 / steps, None)
        digits, rest = [], codes * jnp.sum(steps)
        for k in range(count):
            digits.append(clip_through(rest / steps[k], -1.0, 1.0))
            rest = rest - digits[-1] * steps[k]
        return Digits(jnp.stack(digits), steps / jnp.sum(steps), None)

    def missing(self, held: Float[Array, "..."], target: Float[Array, "..."]) -> Float[Array, "..."]:
        """The digit of the next pair, of that of the one before and what it was measured to hold."""
        return clip_through((target - held) * self.ratio, -1.0, 1.0)

    def encode(
        self,
        tiles: Float[Array, "S ..."],
        g_min: jax.Array | float,
        g_max: jax.Array | float,
        zero: Float[Array, " S"] | None = None,
    ) -> Float[Array, "S 2 ..."]:
        """Target conductances, siemens: one-sided pairs."""
        return pair_targets(tiles, 1.0, 0.0, g_min, g_max)

    def respond(self, s: Float[Array, "S 2 ..."]) -> Float[Array, "1 S ..."]:
        """The differences."""
        return (s[:, 0] - s[:, 1])[None]
