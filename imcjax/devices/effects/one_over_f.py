"""Read noise with the spectrum 1/f, whose standard deviation grows with the time over which it has been watched.

The integral of a spectrum q^2 / f from 1 / (t + t_read) to 1 / (2 t_read): S. R. Nandakumar et al., "Phase-change memory
models for deep learning training and inference", ICECS 2019; V. Joshi et al., Nature Communications 11, 2473 (2020). There q
depends on the conductance; here it is one number.
"""

import jax
import jax.numpy as jnp

from imcjax.fast_random import normal
from imcjax.pytree import number, record


@record
class OneOverF:
    """A read adds q sqrt(ln((t + read_time) / (2 read_time))) g N(0, 1); nothing up to t = read_time.

    Attributes:
      q: strength, as a fraction of the conductance.
      read_time: duration of one read, seconds; 250 ns in both sources.
    """

    q: float = number(default=0.0, low=0.0, high=1.0)
    read_time: float = number(default=250e-9, low=1e-12, high=1.0, unit="s")

    def sigma(self, time: jax.Array | float) -> jax.Array:
        """() standard deviation as a fraction of the conductance, `time` seconds after programming."""
        late = jnp.asarray(time) > self.read_time
        # The inner where keeps the root, whose slope is infinite at zero, from what is not used.
        ratio = jnp.where(late, (time + self.read_time) / (2 * self.read_time), 2.0)
        return self.q * jnp.where(late, jnp.sqrt(jnp.log(ratio)), jnp.where(jnp.isnan(time), jnp.nan, 0.0))

    def read(self, g: jax.Array, key: jax.Array, time: jax.Array | float) -> jax.Array:
        """(...) siemens read from devices of `g` (...) siemens, never below zero."""
        factor = 1 + self.sigma(time) * normal(key, g.shape, g.dtype)
        return g * jnp.where(factor < 0, 0, factor)
