"""Ferroelectric FETs: a spread of threshold voltages, seen as a spread of conductances that depends on the state.

That it depends on the state was measured on 28 nm devices: "Variation-resilient FeFET-based in-memory computing leveraging
probabilistic deep learning", arXiv 2312.15444 (2023). Here it follows from the threshold voltage through the transistor's own
law, channel conductance proportional to ln(1 + exp(u)), u the gate's overdrive over the slope voltage n kT/q: exponential
below threshold, linear above (C. Enz, F. Krummenacher and E. Vittoz, Analog Integr. Circuits Signal Process. 8, 83 (1995), at
small drain voltage). The default conductances, 1 and 10 Mohm, are those of the multi-level FeFET cell, from simulations of the
Niemier group, that comes with NVMExplorer's NVSim (arXiv 2106.11757).
"""

import math

import jax
import jax.numpy as jnp

from imcjax.devices.base import check_target, disturbed, elapsed, family, register_preset
from imcjax.fast_random import normal
from imcjax.pytree import number, record


@record
class FefetState:
    """One device's history: the target it was written to, siemens, and the normal deviate of its threshold voltage."""

    g_target: jax.Array
    deviate: jax.Array


@family("fefet")
@record
class Fefet:
    """A cell whose error is one of the threshold voltage: relative below threshold, of the same size in every state above.

    Over time the memory window closes: each threshold moves towards the middle between those of g_min and g_max, by
    retention_loss of its distance for each decade of 1 + t / retention_t0. Spreads, loss and noise depend on the process: 0.0
    until they are chosen.

    Attributes:
      g_min: lowest conductance, siemens.
      g_max: highest conductance, siemens.
      vth_sigma: standard deviation of the threshold voltage around what the target needs, volt; a device keeps its own.
      slope_voltage: n kT/q, volt; the default is 300 K and n = 1, 60 mV a decade.
      overdrive: gate voltage above threshold at g_max, volt; 0.0 keeps all states below threshold.
      retention_loss: fraction of the memory window lost each decade of time.
      retention_t0: where decades are counted from, seconds.
      read_sigma: standard deviation of read noise, as a fraction of the conductance.
    """

    source = "EKV transistor law (Enz et al., 1995), its threshold spread freely chosen; conductances of NVMExplorer"
    effects = ("threshold spread", "retention loss", "read noise")
    covers = (0.0, math.inf)

    g_min: float = number(default=0.1e-6, low=1e-12, high=1.0, unit="S")
    g_max: float = number(default=1e-6, low=1e-12, high=1.0, unit="S")
    vth_sigma: float = number(default=0.0, low=0.0, high=1.0, unit="V")
    slope_voltage: float = number(default=0.02585, low=1e-3, high=1.0, unit="V")
    overdrive: float = number(default=0.0, low=-2.0, high=5.0, unit="V")
    retention_loss: float = number(default=0.0, low=0.0, high=1.0)
    retention_t0: float = number(default=1.0, low=1e-9, high=1e9, unit="s")
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> FefetState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        if key is None:
            return FefetState(g_target, jnp.zeros_like(g_target))
        return FefetState(g_target, normal(key, g_target.shape, g_target.dtype))

    def read(self, state: FefetState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming.

        Raises:
          UserError: for a concrete time below zero.
        """
        t = elapsed(self, time, state.g_target.dtype)
        lost = self.retention_loss * jnp.log1p(t / self.retention_t0) / math.log(10.0)
        lost = jnp.where(lost > 1, 1, lost)
        top = jnp.asarray(self.overdrive / self.slope_voltage, t.dtype)
        u, lowest = (inverse_law(jax.nn.softplus(top) * (g / self.g_max)) for g in (state.g_target, self.g_min))
        moved = u - lost * (u - (lowest + top) / 2) - self.vth_sigma / self.slope_voltage * state.deviate
        g = state.g_target * (jax.nn.softplus(moved) / jax.nn.softplus(u))
        return disturbed(g, self.read_sigma * g, key)


def inverse_law(y: jax.Array) -> jax.Array:
    """The u with ln(1 + exp(u)) = y; of a y below 1e-9 that of 1e-9."""
    y = jnp.maximum(y, 1e-9)
    return y + jnp.log(-jnp.expm1(-y))


register_preset("fefet", Fefet)
