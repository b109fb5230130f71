"""Cost of writing cells: energy, time and wear of pulses. Plain physics: the voltages, times and counts are the device's own.

A pulse of V volt and t seconds in a cell of G siemens dissipates V^2 G t. Cells of one row (or column) are written together.
A cell that stands N pulses, written every T seconds with n pulses, lasts N T / n.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from imcjax.errors import check_record
from imcjax.pytree import number, record


@record
class Pulses:
    """How a cell is programmed. No default: they are the device's.

    Attributes:
      volts: amplitude, V.
      width_s: of one pulse, second.
      count: pulses a cell, on the mean, those of write-verify included.
      read_s: of one verification, second; 0.0: none.
      endurance: pulses that a cell stands; None: not known.
    """

    volts: Any = number(low=0.0, high=100.0, unit="V")
    width_s: Any = number(low=1e-12, high=10.0, unit="s")
    count: Any = number(low=0.0, high=1e9)
    read_s: Any = number(default=0.0, low=0.0, high=10.0, unit="s")
    endurance: Any = number(default=None, low=1.0)


@dataclasses.dataclass(frozen=True)
class Writing:
    """What it takes to bring a model's weights into the arrays, once.

    Attributes:
      energy: joule of each layer, all its copies.
      time: second of each layer: the rows of an array one after another, its arrays side by side.
      rewrites: how often the model can be written before cells wear out; None: not known.
    """

    energy: dict[str, float]
    time: dict[str, float]
    rewrites: float | None

    @property
    def energy_j(self) -> float:
        """Joule of the whole model."""
        return sum(self.energy.values())

    @property
    def time_s(self) -> float:
        """Second of the whole model, layers one after another."""
        return sum(self.time.values())

    def inferences(self, inference_j: float) -> float:
        """After how many inferences of that energy writing is no more than half of all that was spent."""
        return self.energy_j / inference_j


def energy_j(siemens: jax.Array | float, pulses: Pulses) -> jax.Array:
    """Joule to write cells.

    Args:
      siemens: conductances of the cells, summed.
      pulses: how.

    Raises:
      UserError: numbers out of range.
    """
    check_record(pulses, "pulses")
    return jnp.asarray(siemens, dtype=float) * jnp.square(pulses.volts) * (pulses.width_s * pulses.count)


def time_s(groups: jax.Array | float, pulses: Pulses) -> jax.Array:
    """Second to write `groups` sets of cells one after another, the cells of each at the same time."""
    check_record(pulses, "pulses")
    return jnp.asarray(groups, dtype=float) * pulses.count * (pulses.width_s + pulses.read_s)


def lifetime_s(endurance: jax.Array | float, pulses: Pulses, every_s: jax.Array | float) -> jax.Array:
    """Second until a cell has seen `endurance` pulses, when it is written every `every_s` seconds; inf without pulses."""
    check_record(pulses, "pulses")
    writes = jnp.asarray(pulses.count, dtype=float)
    return jnp.where(writes > 0, endurance * jnp.asarray(every_s, dtype=float) / jnp.where(writes > 0, writes, 1), jnp.inf)
