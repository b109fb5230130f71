"""Cells that cannot be written: stuck at g_max (on) or at g_min (off), alone or in clusters.

Clusters are the excursions of a smooth Gaussian field above and below two levels (R. J. Adler, "The Geometry of Random
Fields", 1981): its values are normal at every cell, whatever the smoothing, so a level cuts off exactly the fraction asked for.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import ndtr

from imcjax.errors import UserError, concrete
from imcjax.fast_random import normal
from imcjax.pytree import number, record


@record
class Faults:
    """1.0 where a device is stuck at g_max, and where it is stuck at g_min, else 0.0; never both."""

    on: jax.Array
    off: jax.Array

    def apply(self, g: jax.Array, g_min: jax.Array | float, g_max: jax.Array | float) -> jax.Array:
        """`g` (...) siemens, with what stuck devices have instead."""
        return jnp.where(self.on > 0, g_max, jnp.where(self.off > 0, g_min, g))


@record
class Stuck:
    """Faults of a chip, drawn once for each device.

    Attributes:
      on: fraction of devices stuck at g_max.
      off: fraction of devices stuck at g_min.
      cluster: standard deviation of the Gaussian that smooths the field over rows and columns (the last two axes), in cells;
        0.0: every cell for itself.
    """

    on: float = number(default=0.0, low=0.0, high=1.0)
    off: float = number(default=0.0, low=0.0, high=1.0)
    cluster: float = number(default=0.0, low=0.0, high=1e4)

    def check(self, path: str) -> None:
        """Refuse fractions that leave less than no device.

        Raises:
          UserError: on + off is above one.
        """
        on, off = concrete(self.on), concrete(self.off)
        if on is not None and off is not None and (on + off > 1).any():
            raise UserError(f"{path}.on is {on!s} and {path}.off {off!s}, together above 1; give fractions of all devices.")

    def draw(self, key: jax.Array | None, like: jax.Array) -> Faults:
        """The faults of devices of the shape of `like`; none without a key."""
        if key is None:
            return Faults(jnp.zeros_like(like), jnp.zeros_like(like))
        field = normal(key, like.shape, like.dtype)
        for axis in range(-min(like.ndim, 2), 0):
            field = _smooth(field, self.cluster, axis)
        # Two tails: small fractions are resolved at both ends, and on and off cannot meet.
        return Faults((ndtr(field) < self.on).astype(like.dtype), (ndtr(-field) < self.off).astype(like.dtype))


def _smooth(field: jax.Array, length: jax.Array | float, axis: int) -> jax.Array:
    """A field of independent standard normal numbers, weighted by a Gaussian along an axis; normal again, at its ends too."""
    place = jnp.arange(field.shape[axis], dtype=field.dtype)
    length = jnp.maximum(lax.stop_gradient(jnp.asarray(length, field.dtype)), 1e-3)
    weight = jnp.exp(-0.5 * ((place[:, None] - place) / length) ** 2)
    weight = weight / jnp.sqrt(jnp.sum(weight**2, axis=1, keepdims=True))
    smooth = jnp.einsum("ij,...j->...i", weight, jnp.moveaxis(field, axis, -1), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(smooth, -1, axis)
