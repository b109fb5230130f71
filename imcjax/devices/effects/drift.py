"""Power-law drift, the structural relaxation of phase-change cells, with an exponent for each device.

g(t) = g ((t + t0) / t0)^-nu with nu normal over devices: S. R. Nandakumar et al., "Phase-change memory models for deep
learning training and inference", ICECS 2019, in the form that is regular at t = 0.
"""

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record


@record
class Drift:
    """Power law in time; a device keeps its exponent nu + nu_sigma N.

    Attributes:
      nu: mean exponent; positive loses conductance.
      nu_sigma: standard deviation of the exponent from device to device.
      t0: time at which the power law begins, seconds after programming.
    """

    nu: float = number(default=0.0, low=-1.0, high=1.0)
    nu_sigma: float = number(default=0.0, low=0.0, high=1.0)
    t0: float = number(default=1.0, low=1e-9, high=1e9, unit="s")

    def age(self, g: jax.Array, deviate: jax.Array, time: jax.Array | float) -> jax.Array:
        """(...) siemens at `time` seconds of devices that had `g` (...) siemens; `deviate` (...) is their own N."""
        nu = self.nu + self.nu_sigma * deviate
        return g * jnp.exp(-nu * jnp.log1p(time / self.t0))
