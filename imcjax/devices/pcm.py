"""What phase-change memories have in common: programming error, drift with an exponent of its own for each cell, 1/f noise.

The method of S. R. Nandakumar et al., "Phase-change memory models for deep learning training and inference", ICECS 2019. All
spreads are functions of r, the conductance over the highest one that was characterised. That is a number of the
measurement: using less of the range (a smaller g_max) changes no cell.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.devices.base import check_target, disturbed, elapsed
from imcjax.errors import concrete
from imcjax.fast_random import normal
from imcjax.pytree import number, record


SMALLEST_R = 1e-7
"""Below it the fits in ln r are all cut off; at it their slopes are finite."""


@record
class PcmState:
    """One device's history: the conductance it was programmed to, siemens, and its drift exponent."""

    g: jax.Array
    nu: jax.Array


@record
class Pcm:
    """A phase-change cell: g(t) = g_P ((t + t0) / t0)^-nu, and noise at each read.

    Programming gives g_P = max(0, target + program_scale * sigma(r) * N) and nu = |mu(r) + s(r) * N|, r of the target; both
    stay with the cell. Read noise is read_scale * g(t) * Q(r) * sqrt(ln((t + t0 + t_read) / (2 t_read))) * N, r of g_P. A cell
    without conductance stays without.

    Attributes:
      g_min: lowest conductance, siemens.
      g_max: highest conductance, siemens.
      program_scale: multiplies the programming error.
      drift_scale: multiplies the drift exponents; 0.0 switches drift off.
      read_scale: multiplies the read noise.
    """

    effects: ClassVar[tuple[str, ...]] = ("programming error", "drift", "1/f read noise")
    covers: ClassVar[tuple[float, float]] = (0.0, np.inf)
    characterised: ClassVar[float]
    """The conductance of r = 1, siemens."""
    t0: ClassVar[float]
    """The first read after programming, where drift is counted from, seconds."""
    t_read: ClassVar[float]
    """The duration of a read, seconds."""

    g_min: float = number(default=0.0, low=0.0, high=25e-6, unit="S")
    g_max: float = number(default=25e-6, low=1e-9, high=25.00003e-6, unit="S")
    program_scale: float = number(default=1.0, low=0.0, high=10.0)
    drift_scale: float = number(default=1.0, low=0.0, high=10.0)
    read_scale: float = number(default=1.0, low=0.0, high=10.0)

    @staticmethod
    def program_sigma(r: jax.Array) -> jax.Array:
        """Siemens, of targets r."""
        raise NotImplementedError

    @staticmethod
    def drift_exponents(r: jax.Array, log_r: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation of nu, of targets r."""
        raise NotImplementedError

    @staticmethod
    def read_q(r: jax.Array, log_r: jax.Array) -> jax.Array:
        """Q, of programmed conductances r."""
        raise NotImplementedError

    def program(self, g_target: jax.Array, key: jax.Array | None) -> PcmState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        r, log_r = self._relative(g_target)
        mean, sigma = self.drift_exponents(r, log_r)
        if key is None:
            return PcmState(g_target, mean)
        program_key, drift_key = jax.random.split(key)
        g = disturbed(g_target, self.program_scale * self.program_sigma(r), program_key)
        return PcmState(g, jnp.abs(mean + sigma * normal(drift_key, g.shape, g.dtype)))

    def read(self, state: PcmState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming.

        Raises:
          UserError: for a concrete time below zero.
        """
        t = elapsed(self, time, state.g.dtype)
        g = state.g
        known = concrete(time)
        if known is None or known.any():  # as programmed needs no exponential
            g = g * jnp.exp(-self.drift_scale * state.nu * jnp.log1p(t / self.t0))
        if key is None:
            return g
        noise = self.read_scale * jnp.sqrt(jnp.log((t + self.t0 + self.t_read) / (2 * self.t_read)))
        return disturbed(g, g * self.read_q(*self._relative(state.g)) * noise, key)

    def _relative(self, g: Any) -> tuple[jax.Array, jax.Array]:
        r = g / self.characterised
        return r, jnp.log(jnp.maximum(r, SMALLEST_R))
