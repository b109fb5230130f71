"""Wear: devices that have failed after a number of write cycles.

Lives follow W. Weibull's law (J. Appl. Mech. 18, 293 (1951)): after n cycles a fraction 1 - exp(-(n / scale)^shape) has failed.
Scale and shape belong to the technology and have no default.
"""

import jax
import jax.numpy as jnp

from imcjax.devices.effects.draws import chosen
from imcjax.devices.effects.stuck import Faults
from imcjax.pytree import number, record


@record
class Life:
    """What a device was made with: its life to the power of `shape`, in units of `scale`, and 1.0 where it fails at g_max."""

    limit: jax.Array
    ends_on: jax.Array


@record
class Endurance:
    """Devices fail one after the other as cycles grow, each at its own number, and stay failed.

    Attributes:
      scale: cycles after which 63 % have failed.
      shape: of the distribution; above 1 the rate of failures rises with age.
      cycles: how often the devices have been written.
      on: part of the failures that are stuck at g_max; the others are at g_min.
    """

    scale: float = number(low=1.0, high=1e18, unit="cycles")
    shape: float = number(low=0.01, high=100.0)
    cycles: float = number(default=0.0, low=0.0, high=1e18, unit="cycles")
    on: float = number(default=0.0, low=0.0, high=1.0)

    def draw(self, keys: tuple[jax.Array, jax.Array] | None, like: jax.Array) -> Life:
        """The lives of devices of the shape of `like`; without keys nothing ever fails."""
        if keys is None:
            return Life(jnp.full_like(like, jnp.inf), jnp.zeros_like(like))
        return Life(jax.random.exponential(keys[0], like.shape, like.dtype), chosen(keys[1], self.on, like))

    def faults(self, life: Life) -> Faults:
        """Which devices have failed after `cycles`."""
        failed = (life.limit < (self.cycles / self.scale) ** self.shape).astype(life.limit.dtype)
        return Faults(failed * life.ends_on, failed * (1 - life.ends_on))
