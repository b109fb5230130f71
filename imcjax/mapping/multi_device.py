"""Several pairs of analog cells for one weight, each of its own significance."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.errors import UserError, concrete
from imcjax.mapping.base import ENCODINGS, Digits, Encoding
from imcjax.mapping.differential import pair_targets
from imcjax.pytree import number, record, static
from imcjax.quantize import clip_through


@ENCODINGS.family("multi_device")
@record
class MultiDevice(Encoding):
    """A continuous weight as the sum of differential pairs of significance 1, ratio, ratio^2, ..., or of any other.

    With order "fill" the least significant pair takes as much as it holds and the next ones the rest: the more cells, the
    larger the range and the smaller the share of each cell's error. With "residual" the most significant pair is written with
    the whole weight, what it then really holds is measured, and each next pair, less significant, is written with what is
    still missing: the error of a weight is that of its last pair (residual write-verify; see Mackin et al., Advanced
    Electronic Materials 5, 1900026 (2019), for weights of several devices of different significance).

    Attributes:
      pairs: pairs of cells a weight (static).
      ratio: between the significances of neighbouring pairs.
      significance: (pairs,) of each, rising; None: powers of `ratio`.
      order: "fill" or "residual" (static).
    """

    pairs: int = static(default=2, low=1, high=8)
    ratio: float = number(default=3.0, low=1.0, high=1e4)
    significance: jax.Array | np.ndarray | None = number(default=None, low=1e-6, high=1e6)
    order: str = static(default="fill", options=("fill", "residual"))

    weight_bits = None
    cell_bits = 1
    cells = 2
    signed_columns = True

    def check(self, path: str) -> None:
        """Refuse significances that are not one for each pair, rising."""
        if self.significance is not None and jnp.shape(self.significance) != (self.pairs,):
            raise UserError(
                f"{path}.significance has shape {jnp.shape(self.significance)}; give one number for each of {self.pairs} pairs."
            )
        known = concrete(self.significance)
        if known is not None and (np.diff(known) <= 0).any():
            raise UserError(f"{path}.significance is {known!s}, which does not rise; begin with the least significant pair.")

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
        steps = self._steps(codes.dtype)[:count]
        if self.sequential:
            finer = self._steps(codes.dtype)[::-1][:count]
            return Digits(jnp.stack([codes, *[jnp.zeros_like(codes)] * (count - 1)]), finer / finer[0], None)
        digits, rest = [], codes * jnp.sum(steps)
        for k in range(count):
            digits.append(clip_through(rest / steps[k], -1.0, 1.0))
            rest = rest - digits[-1] * steps[k]
        return Digits(jnp.stack(digits), steps / jnp.sum(steps), None)

    def missing(self, held: Float[Array, "..."], target: Float[Array, "..."], s: int) -> Float[Array, "..."]:
        """The digit of pair s + 1, of that of pair s and what it was measured to hold."""
        steps = self._steps(held.dtype)[::-1]
        return clip_through((target - held) * (steps[s] / steps[s + 1]), -1.0, 1.0)

    def _steps(self, dtype: Any) -> Float[Array, " pairs"]:
        """Significances, the least first."""
        if self.significance is not None:
            return jnp.asarray(self.significance, dtype)
        return jnp.asarray(self.ratio, dtype) ** jnp.arange(self.pairs, dtype=dtype)

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
