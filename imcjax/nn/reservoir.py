"""A sample of vectors of which nobody knows beforehand how many there are, of one size from the first on."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Reservoir(NamedTuple):
    """Rows kept of a stream, each as likely as any other (algorithm R of J. Vitter, ACM TOMS 11, 1985).

    Attributes:
      kept: (samples, groups, n_in) rows; those from `count` on are zero.
      count: rows seen.
      lowest: the smallest number seen.
      finite: whether all numbers were finite.
    """

    kept: Any
    count: Any
    lowest: Any
    finite: Any

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Reservoir":
        """Nothing seen yet; `shape` is that of `kept`."""
        return cls(jnp.zeros(shape), jnp.int32(0), jnp.float32(jnp.inf), jnp.bool_(True))

    def after(self, x: jax.Array, rows: jax.Array, total: int) -> "Reservoir":
        """With `rows` (some, groups, n_in), which stand for all `total` vectors of the inputs x."""
        samples = len(self.kept)
        number = self.count + jnp.arange(len(rows))
        draw = jax.random.uniform(jax.random.fold_in(jax.random.key(0), self.count), number.shape)
        place = jnp.where(number < samples, number, (draw * (number + 1)).astype(jnp.int32))  # beyond the last: left out
        kept = self.kept.at[place].set(rows.astype(self.kept.dtype), mode="drop")
        lowest, finite = jnp.minimum(self.lowest, jnp.min(x)), self.finite & jnp.isfinite(x).all()
        return Reservoir(kept, self.count + total, lowest.astype(jnp.float32), finite)
