"""ReRAM of conductive metal oxide and HfOx, programmed to within 0.2 % or 2 % of its target, with its relaxation.

D. F. Falcone et al., "All-in-one analog AI accelerator: on-chip training and inference with conductive-metal-oxide/HfOx ReRAM
devices", arXiv 2502.04524 (2025), where the model is carried to ten years. The numbers are those of IBM aihwkit's
ReRamCMONoiseModel.
"""

import jax
import jax.numpy as jnp

from imcjax.devices.base import check_target, elapsed, family, register_preset
from imcjax.fast_random import normal
from imcjax.pytree import number, record
from imcjax.quantize import clip_through


WINDOW = (9e-6, 88.2e-6)
"""The conductances between which these devices were characterised, siemens; a cell does not leave them."""
T_READ = 1e-6


@record
class CmoState:
    """One device's history: the conductance it was programmed to, siemens, and the normal deviate of its relaxation."""

    g: jax.Array
    deviate: jax.Array


@family("reram_cmo")
@record
class ReramCmo:
    """CMO/HfOx ReRAM from 9 to 88.2 uS: small programming error, relaxation in ln t that is the same in every state, 1/f noise.

    g(t) = g_P + drift_scale * (-0.0890 ln t + (0.4118 + 0.0420 ln t) N) uS, t in seconds, from 1 s on; any earlier time above
    zero has the relaxation of 1 s, time 0 has none. A cell keeps its deviate of the relaxation. A read adds
    0.0277 log10(g / uS) sqrt(ln((t + t_read) / (2 t_read))) N uS, t at least 1 s and t_read 1 us. What is read stays within 9
    and 88.2 uS.

    Attributes:
      g_min: lowest conductance, siemens; measured from 9 uS.
      g_max: highest conductance, siemens; measured up to 88.2 uS.
      program_offset: standard deviation of the programming error at zero conductance, siemens.
      program_slope: its growth with the target, siemens per siemens.
      drift_scale: multiplies the relaxation, mean and spread; 0.0 switches it off.
      read_scale: multiplies the read noise.
    """

    source = "Falcone et al., arXiv 2502.04524 (2025); numbers of IBM aihwkit"
    effects = ("programming error", "relaxation", "1/f read noise")
    covers = (0.0, 10 * 365.25 * 86400.0)

    g_min: float = number(default=9e-6, low=8.99999e-6, high=88.2e-6, unit="S")
    g_max: float = number(default=88.2e-6, low=9e-6, high=88.2001e-6, unit="S")
    program_offset: float = number(default=0.0112185391e-6, low=0.0, high=1e-5, unit="S")
    program_slope: float = number(default=0.01129027418, low=0.0, high=1.0)
    drift_scale: float = number(default=1.0, low=0.0, high=10.0)
    read_scale: float = number(default=1.0, low=0.0, high=10.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> CmoState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        if key is None:
            return CmoState(g_target, jnp.zeros_like(g_target))
        program_key, drift_key = jax.random.split(key)
        error = normal(program_key, g_target.shape, g_target.dtype)
        g = g_target + (self.program_offset + self.program_slope * g_target) * error
        return CmoState(g, normal(drift_key, g.shape, g.dtype))

    def read(self, state: CmoState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming.

        Raises:
          UserError: for a concrete time below zero.
        """
        t = elapsed(self, time, state.g.dtype)
        since = jnp.where(t < 1, 1, t)
        log_t = jnp.where(t > 0, 1, 0) * jnp.log(since)
        spread = jnp.where(t > 0, 0.41183342, 0) + 0.04201137 * log_t
        g = state.g + 1e-6 * self.drift_scale * (spread * state.deviate - 0.08900206 * log_t)
        if key is not None:
            sigma = 1e-6 * 0.0277316483 * jnp.sqrt(jnp.log((since + T_READ) / (2 * T_READ)))
            size = jnp.log10(jnp.maximum(g * 1e6, 1))
            g = g + self.read_scale * sigma * size * normal(key, g.shape, g.dtype)
        return clip_through(g, *WINDOW)


register_preset("reram_cmo_0.2", lambda: ReramCmo(program_offset=0.00081107e-6, program_slope=0.00106879))
register_preset("reram_cmo_2", ReramCmo)
