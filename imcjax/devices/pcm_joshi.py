"""Phase-change memory as programmed in a ResNet-32 demonstration.

V. Joshi et al., "Accurate deep neural network inference using computational phase-change memory", Nature Communications 11,
2473 (2020), Fig. 3b: the standard deviation of the conductance around its target, 27 s after programming. The quadratic in
the target is CrossSim's fit.
"""

import jax

from imcjax.devices.base import check_target, disturbed, family, floored, register_preset
from imcjax.pytree import number, record


@record
class PcmJoshiState:
    """Programmed conductances, siemens."""

    g: jax.Array


@family("pcm_joshi")
@record
class PcmJoshi:
    """Phase-change memory up to 25 uS with its target-dependent programming error; the fit has neither drift nor read noise.

    Attributes:
      g_min: lowest conductance, siemens; the source's on/off ratio is 100.
      g_max: highest conductance, siemens; measured up to 25 uS.
      program_scale: multiplies the programming error.
      read_sigma: standard deviation of read noise, as a fraction of the conductance; not in the source.
    """

    source = "Joshi et al., Nature Communications 11, 2473 (2020), Fig. 3b; fit of CrossSim"
    effects = ("programming error", "read noise")
    covers = None

    g_min: float = number(default=0.25e-6, low=0.0, high=25e-6, unit="S")
    g_max: float = number(default=25e-6, low=1e-9, high=25.00003e-6, unit="S")
    program_scale: float = number(default=1.0, low=0.0, high=10.0)
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> PcmJoshiState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        return PcmJoshiState(disturbed(g_target, self.program_scale * program_sigma(g_target), key))

    def read(self, state: PcmJoshiState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens. `time` changes nothing: the model has no drift."""
        return disturbed(state.g, self.read_sigma * state.g, key)


def program_sigma(g_target: jax.Array) -> jax.Array:
    """(...) standard deviation around the target (...), siemens."""
    us = g_target * 1e6
    return 1e-6 * floored(0.28638599 + us * (0.07585724 - 0.00178767 * us))


register_preset("pcm_joshi", PcmJoshi)
