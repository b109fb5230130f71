"""The ADCs of NeuroSim V1.4 in its low-power roadmap, as closed forms: SAR and multi-level sense amplifiers (flash).

Peng, Huang, Jiang, Yu, "DNN+NeuroSim V2.0", IEEE TCAD 40 (2021); constants are those of its circuit models, fitted by its
authors to SPICE. NeuroSim evaluates them in a loop over every column and input vector; where the mean current of the columns
is known, the mean energy is these closed forms. It is the most optimistic of the models here at 22 nm.

SAR: a column takes (p1 b + p0) microwatt and q / R'^k watt for b + 1 nanoseconds, R' = R_column 0.5 V / V_read. Flash: 2^b -
1 amplifiers, each switching once; the current of the column passes the mirrors while they decide. Of NeuroSim's flash its
power law at 22 nm is used (logarithmic in R' above 4832 ohm; below, as 1 / R'); the energies of the switching and the
decision time are calibrated on runs of NeuroSim V1.4 (one layer, 22 nm, 4 to 6 bits), and other nodes follow the SAR's static
power.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.cost.adc.base import Column, family, real_bits
from imcjax.cost.interpolate import over_nodes
from imcjax.cost.validity import Ranges
from imcjax.pytree import number, record
from imcjax.technology import Technology


# node nm: p1 uW/bit, p0 uW, q W, k per decade
# fmt: off
_SAR = np.array([
    [1,   0.0101, 0.0843, 0.0288,   2.303], [2,   0.0207, 0.1764, 0.0313,   2.303], [3,  0.0333, 0.2849, 0.0388,   2.303],
    [5,   0.0645, 0.5511, 0.0388,   2.303], [7,   0.1061, 0.8847, 0.043555, 2.303], [10, 0.1823, 1.5073, 0.05158,  2.303],
    [14,  0.3132, 2.5681, 0.061085, 2.303], [22,  0.538,  4.3753, 0.072341, 2.303], [32, 1.1294, 8.8998, 0.079449, 2.297],
    [45,  2.1691, 16.693, 0.100225, 2.303], [65,  3.7506, 25.844, 0.121272, 2.303], [90, 5.9869, 37.462, 0.144323, 2.303],
    [130, 8.4483, 65.243, 0.16938,  2.303],
])
# fmt: on
_NODES = _SAR[:, 0]
_STEEP, _OFFSET, _CORNER_OHM = 0.163133, 2.1687, 4832.0


def _siemens_at_half_volt(column: Column | None) -> jax.Array:
    """1 / R': the conductance of the column as the circuits were simulated, at 0.5 V."""
    column = Column() if column is None else column
    return jnp.asarray(column.siemens, dtype=float) * column.read_v / 0.5


@family("neurosim_sar")
@record
class NeurosimSar:
    """SAR ADC; its energy has the current that it draws through the column in it.

    Attributes:
      energy_scale: calibration.
    """

    energy_scale: Any = number(default=1.0, low=1e-3, high=1e3)

    ranges: ClassVar[Ranges] = {"bits": (1, 14, "bits"), "node_m": (1e-9, 130e-9, "m")}
    source: ClassVar[str] = "NeuroSim V1.4, SarADC"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion."""
        b = real_bits(bits, hard=hard)
        p1, p0, q, k = (over_nodes(_SAR[:, i], _NODES, technology.node_m) for i in (1, 2, 3, 4))
        current = _siemens_at_half_volt(column)
        some = jnp.where(current > 0, current, 1.0)  # a power has no slope at zero
        through = jnp.where(current > 0, q * some ** (k / np.log(10)), q * current)
        return ((p1 * b + p0) * 1e-6 + through) * self.time_s(b, technology) * self.energy_scale

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per conversion: b + 1 nanoseconds at every node."""
        return (real_bits(bits, hard=hard) + 1) * 1e-9


@family("neurosim_flash")
@record
class NeurosimFlash:
    """2^b - 1 current sense amplifiers.

    Attributes:
      switching_j, coding_j: joule an amplifier, fixed and per bit (22 nm); calibrated, as are the next two.
      decision_s: how long the column current flows through each mirror, second.
      low_ohm_w: watt ohm an amplifier, of the branch below 4832 ohm.
      energy_scale: calibration of the whole.
    """

    switching_j: Any = number(default=1.125e-15, low=0.0, unit="J")
    coding_j: Any = number(default=0.073e-15, low=0.0, unit="J")
    decision_s: Any = number(default=1.04e-9, low=1e-12, unit="s")
    low_ohm_w: Any = number(default=1.87e-3, low=0.0, unit="W ohm")
    energy_scale: Any = number(default=1.0, low=1e-3, high=1e3)

    ranges: ClassVar[Ranges] = {"bits": (1, 8, "bits"), "node_m": (7e-9, 130e-9, "m")}
    source: ClassVar[str] = "NeuroSim V1.4, MultilevelSenseAmp; calibrated on runs at 22 nm"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion."""
        b = real_bits(bits, hard=hard)
        g = _siemens_at_half_volt(column)
        corner = 1 / _CORNER_OHM
        high = jnp.where(g < 1e-8, 1e-8, jnp.where(g > corner, corner, g))
        watt = (_OFFSET + _STEEP * jnp.log(high)) * 1e-6
        watt = jnp.where(watt < 0, 0.0, watt) + self.low_ohm_w * jnp.where(g > corner, g - corner, 0.0)
        each = self.switching_j + self.coding_j * b + watt * self.decision_s
        p0 = over_nodes(_SAR[:, 2], _NODES, technology.node_m)
        of_node = p0 / float(_SAR[_NODES == 22, 2][0])
        return (jnp.exp2(b) - 1) * each * of_node * self.energy_scale
