"""SRAM cells that compute with their read current: two states, and a current that differs from cell to cell.

The mismatch of read currents is what limits the accuracy of current-summing SRAM arrays: S. K. Gonugondla, C. Sakr, H. Dbouk
and N. R. Shanbhag, "Fundamental limits on energy-delay-accuracy of in-memory architectures in inference applications", IEEE
TCAD 41, 3188 (2022), arXiv 2012.13645. Its size depends on the process, the cell and the wordline voltage.
"""

import jax

from imcjax.devices.base import check_target, disturbed, family, register_preset, snap
from imcjax.devices.spread import spread
from imcjax.pytree import number, record


@record
class SramState:
    """Conductances of the cells in the state they hold, siemens."""

    g: jax.Array


@family("sram")
@record
class Sram:
    """A cell that holds one bit: its read path passes g_max, or g_min where it is off; nothing is lost over time.

    A target goes to the nearer of the two (gradients pass straight through). A cell's current is off by current_sigma, as a
    fraction of it, for good. All numbers are to be chosen: g_max stands for the read current over the read voltage, and both
    errors are 0.0 by default because no one value fits another process.

    Attributes:
      g_min: conductance of an off cell, siemens: its leakage.
      g_max: conductance of an on cell, siemens.
      current_sigma: standard deviation of the mismatch between cells, as a fraction of the current.
      read_sigma: standard deviation of the noise of one read, as a fraction of the current.
    """

    source = "two states; current mismatch as in Gonugondla et al., IEEE TCAD 41, 3188 (2022), its size freely chosen"
    effects = ("two states", "cell current mismatch", "read noise")
    covers = None
    levels = 2

    g_min: float = number(default=0.0, low=0.0, high=1.0, unit="S")
    g_max: float = number(default=10e-6, low=1e-12, high=1.0, unit="S")
    current_sigma: float = number(default=0.0, low=0.0, high=1.0)
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> SramState:
        """Write the bit nearest to `g_target` (...), siemens."""
        check_target(self, g_target)
        g = snap(g_target, self.g_min, self.g_max, self.levels)
        return SramState(g if key is None else spread(g, self.current_sigma, key, g_max=self.g_max))

    def read(self, state: SramState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens. `time` changes nothing: the cell holds its bit."""
        return disturbed(state.g, self.read_sigma * state.g, key)


register_preset("sram", Sram)
