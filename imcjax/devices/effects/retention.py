"""Loss of the stored state with the logarithm of time.

A cell's distance from g_min shrinks by the same part of its first value in every decade of time. What causes it, and so the
rate, belongs to the technology: there is none here before the user gives it.
"""

import math

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record


@record
class Retention:
    """g(t) = g_min + (g - g_min) max(0, 1 - loss log10(1 + t / t0)).

    Attributes:
      loss: part of the distance from g_min that is lost in a decade of time.
      t0: time at which the loss begins, seconds after programming.
    """

    loss: float = number(default=0.0, low=0.0, high=1.0)
    t0: float = number(default=1.0, low=1e-9, high=1e9, unit="s")

    def age(self, g: jax.Array, g_min: jax.Array | float, time: jax.Array | float) -> jax.Array:
        """(...) siemens at `time` seconds of devices that had `g` (...) siemens."""
        left = 1 - self.loss * jnp.log1p(time / self.t0) / math.log(10)
        left = jnp.where(left < 0, 0, left)
        return left * g + (1 - left) * g_min  # exactly g while nothing is lost
