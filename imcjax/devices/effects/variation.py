"""Spread from device to device and from write to write, as a lognormal factor on the conductance.

G = G0 exp(sigma N), the usual model of filamentary cells: B. Liu et al., "Vortex: variation-aware training for memristor
X-bar", DAC 2015. Its median is 1; its mean is exp(sigma^2 / 2).
"""

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record


@record
class Variation:
    """A factor of each device, drawn once, times a factor of each write.

    Attributes:
      device: sigma of the logarithm from device to device; it survives reprogramming.
      cycle: sigma of the logarithm from write to write of one device, drawn anew at each of them.
    """

    device: float = number(default=0.0, low=0.0, high=3.0)
    cycle: float = number(default=0.0, low=0.0, high=3.0)

    def factor(self, of_device: jax.Array, of_cycle: jax.Array) -> jax.Array:
        """(...) factor on a conductance, for standard normal deviates (...) of the device and of its last write."""
        return jnp.exp(self.device * of_device + self.cycle * of_cycle)
