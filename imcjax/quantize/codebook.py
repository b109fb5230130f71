"""Any list of levels: learned ones, or those that a device has."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.errors import UserError, concrete
from imcjax.pytree import number, record, static
from imcjax.quantize.base import Format, divisor, format_family
from imcjax.quantize.powers_of_two import nearest
from imcjax.quantize.symmetric import or_one


ITERATIONS = 50
"""Of k-means in one dimension, which settles in fewer."""


@format_family("codebook")
@record
class Codebook(Format):
    """x^ = scale times the nearest level.

    A level takes the gradients of all numbers that it stands for (Han, Mao and Dally, "Deep compression", ICLR 2016);
    x takes its own between the outermost levels. There are no bits to learn: how many levels there are is structure.

    Attributes:
      levels: (n,) in any order; `init` finds n of them by k-means, in units of the largest magnitude.
      scale: the value of level 1; `init` makes the outermost level max|x|.
      count: n where `init` looks for levels (static).
    """

    levels: Any = number(default=None)
    scale: Any = number(default=1.0, low=0.0)
    count: int = static(default=16, low=2, high=4096)

    needed: ClassVar[tuple[str, ...]] = ("levels",)
    learned: ClassVar[tuple[str, ...]] = ("levels",)

    def check(self, path: str) -> None:
        """Refuse levels that are no list."""
        if self.levels is not None and np.ndim(self.levels) != 1:
            raise UserError(f"{path}.levels has the shape {np.shape(self.levels)}; give a list of levels.")

    def _values(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        levels = jnp.sort(jnp.asarray(self.levels, x.dtype))
        safe, usable = divisor(self._number(self.scale, x))
        units = x / safe
        low, high = jax.lax.stop_gradient((levels[0], levels[-1]))
        held = jnp.where(units < low, low, jnp.where(units > high, high, units))
        found = nearest_level(units, levels) + (held - jax.lax.stop_gradient(held))
        return jnp.where(usable, found * safe, 0)

    def _init(self, x: jax.Array) -> Self:
        largest = or_one(self._largest(x))
        if self.levels is not None:
            return self.replace(scale=largest / jnp.max(jnp.abs(jnp.asarray(self.levels))))
        spread_out = self._number(largest, x)
        return self.replace(levels=kmeans((x / spread_out).ravel(), self.count), scale=largest)


def nearest_level(x: jax.Array, levels: jax.Array) -> jax.Array:
    """The nearest of sorted levels, which alone take the gradient."""
    return nearest(jax.lax.stop_gradient(x), levels)


def kmeans(x: Float[Array, " n"], count: int) -> Float[Array, " count"]:
    """`count` levels of least mean squared distance to (n,) numbers, ascending, by Lloyd's iteration from equal distances.

    (Equal distances keep levels for the few large numbers: Han et al., ICLR 2016.) A level that no number is
    nearest to stays where it is.
    """

    def better(_: int, levels: jax.Array) -> jax.Array:
        places = jnp.searchsorted((levels[:-1] + levels[1:]) / 2, x)
        size = jnp.zeros_like(levels).at[places].add(1)
        total = jnp.zeros_like(levels).at[places].add(x)
        return jnp.where(size > 0, total / jnp.where(size > 0, size, 1), levels)

    return jax.lax.fori_loop(0, ITERATIONS, better, jnp.linspace(jnp.min(x), jnp.max(x), count, dtype=x.dtype))


def device_levels(g: Any) -> np.ndarray:
    """The levels of a pair of cells, G+ - G- over the largest difference, from the conductances that one cell can hold.

    Args:
      g: (n,) siemens, at least two different ones.

    Returns:
      (m,) ascending from -1 to 1, at most n (n - 1) + 1; `Codebook(levels=...)` quantizes to them.
    """
    cells = concrete(g)
    if cells is None or cells.ndim != 1 or not np.isfinite(cells).all() or np.unique(cells).size < 2:
        raise UserError(f"g is {g!r}; give a list of at least two different conductances in siemens.")
    levels = (cells[:, None] - cells[None]).astype(float).ravel() / np.ptp(cells)
    levels = np.sort(levels)
    apart = np.diff(levels, prepend=-np.inf) > 1e-6  # the same difference twice, but for rounding
    return levels[apart]
