"""STT-MRAM: a magnetic tunnel junction with two resistances, R_P and R_AP = R_P (1 + TMR).

Two states, a small on/off ratio and low resistances are what an array of them has to live with: S. Jung et al., "A crossbar
array of magnetoresistive memory devices for in-memory computing", Nature 601, 211 (2022). The default resistances, 1 and
2 kohm, are those of a cell description for the memory estimator NVSim: a design point, not a measurement.
"""

import jax
import jax.numpy as jnp

from imcjax.devices.base import check_target, disturbed, family, register_preset
from imcjax.devices.spread import DISTRIBUTIONS, spread
from imcjax.pytree import number, record, static
from imcjax.quantize import round_through


@record
class SttMramState:
    """Conductances of the junctions in the state they hold, siemens."""

    g: jax.Array


@family("stt_mram")
@record
class SttMram:
    """A junction that holds one bit: parallel, g_max = 1 / r_p, or antiparallel, g_min = g_max / (1 + TMR).

    A target goes to the nearer of the two (gradients pass straight through). The barrier's spread moves both states together,
    that of the TMR the antiparallel one alone; a junction keeps both. At the read voltage V the TMR is
    tmr / (1 + tmr_droop V^2). Spreads, droop and noise depend on the process: 0.0 until they are chosen. Loss of the bit over
    time is not modelled.

    Attributes:
      r_p: resistance of the parallel state, ohm.
      tmr: tunnel magnetoresistance ratio at no voltage, (R_AP - R_P) / R_P.
      tmr_droop: how the ratio falls with voltage, 1/V^2; 1/V_h^2 where V_h halves it.
      v_read: voltage of the read, volt.
      conductance_sigma: standard deviation of the barrier's conductance, as a fraction of it; of its logarithm if lognormal.
      tmr_sigma: standard deviation of the TMR, as a fraction of it.
      read_sigma: standard deviation of the noise of one read, as a fraction of the conductance.
      distribution: of the barrier's conductance (static): "lognormal", "normal" or "uniform".
    """

    source = "two resistances as in Jung et al., Nature 601, 211 (2022); spreads freely chosen"
    effects = ("two states", "barrier spread", "TMR spread", "TMR at voltage", "read noise")
    covers = None
    levels = 2

    r_p: float = number(default=1e3, low=1.0, high=1e9, unit="ohm")
    tmr: float = number(default=1.0, low=1e-3, high=100.0)
    tmr_droop: float = number(default=0.0, low=0.0, high=1e3, unit="1/V^2")
    v_read: float = number(default=0.0, low=0.0, high=5.0, unit="V")
    conductance_sigma: float = number(default=0.0, low=0.0, high=1.0)
    tmr_sigma: float = number(default=0.0, low=0.0, high=1.0)
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)
    distribution: str = static(default="lognormal", options=DISTRIBUTIONS)

    @property
    def tmr_at_read(self) -> jax.Array | float:
        """The ratio at the read voltage."""
        return self.tmr / (1 + self.tmr_droop * self.v_read**2)

    @property
    def g_max(self) -> jax.Array | float:
        """Parallel, siemens."""
        return 1 / self.r_p

    @property
    def g_min(self) -> jax.Array | float:
        """Antiparallel, siemens."""
        return self.g_max / (1 + self.tmr_at_read)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> SttMramState:
        """Write the bit nearest to `g_target` (...), siemens."""
        check_target(self, g_target)
        parallel = round_through((g_target - self.g_min) / (self.g_max - self.g_min))
        if key is None:
            return SttMramState((self.g_max * parallel + self.g_min * (1 - parallel)).astype(g_target.dtype))
        barrier_key, tmr_key = jax.random.split(key)
        ratio = jnp.full(g_target.shape, self.tmr_at_read, g_target.dtype)
        ratio = spread(ratio, self.tmr_sigma, tmr_key, g_max=1.0)
        g = self.g_max * parallel + self.g_max / (1 + ratio) * (1 - parallel)
        kind = {"law": "proportional", "distribution": self.distribution}
        return SttMramState(spread(g.astype(g_target.dtype), self.conductance_sigma, barrier_key, g_max=self.g_max, **kind))

    def read(self, state: SttMramState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens. `time` changes nothing: the junction holds its bit."""
        return disturbed(state.g, self.read_sigma * state.g, key)


register_preset("stt_mram", SttMram)
