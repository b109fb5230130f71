"""A generic cell: finite on/off ratio, normal programming and read noise of freely chosen size."""

import jax
import jax.numpy as jnp

from imcjax.devices.base import family, register_preset
from imcjax.pytree import number, record


@record
class GenericState:
    """Programmed conductances, siemens."""

    g: jax.Array


@family("generic")
@record
class Generic:
    """A cell between g_min and g_max whose errors are normal; without drift.

    Programming adds program_sigma * g_max * N(0, 1), the same for every target; a read adds read_sigma * g * N(0, 1). A
    conductance never falls below zero. With both sigmas 0.0 (the default) it is the ideal cell.

    Attributes:
      g_min: lowest conductance, siemens; 0.0 is an infinite on/off ratio.
      g_max: highest conductance, siemens.
      program_sigma: standard deviation of the programming error, as a fraction of g_max.
      read_sigma: standard deviation of the read noise, as a fraction of the conductance.
    """

    g_min: float = number(default=1e-6, low=0.0, high=1.0, unit="S")
    g_max: float = number(default=100e-6, low=1e-12, high=1.0, unit="S")
    program_sigma: float = number(default=0.0, low=0.0, high=1.0)
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> GenericState:
        """Program devices to `g_target` (...), siemens."""
        if key is None:
            return GenericState(g_target)
        noise = jax.random.normal(key, g_target.shape, g_target.dtype)
        g = g_target + self.program_sigma * self.g_max * noise
        return GenericState(jnp.where(g < 0, 0, g))  # not maximum, which halves the gradient of a cell that is exactly at zero

    def read(self, state: GenericState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens. `time` changes nothing: the model has no drift."""
        if key is None:
            return state.g
        noise = jax.random.normal(key, state.g.shape, state.g.dtype)
        return state.g * jnp.maximum(1 + self.read_sigma * noise, 0)


register_preset("ideal", lambda: Generic(g_min=0.0))
register_preset("generic", lambda: Generic(program_sigma=0.02, read_sigma=0.01))
