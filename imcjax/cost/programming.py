"""Cost of writing cells: energy, time and wear of pulses. Plain physics: the voltages, times and counts are the device's own.

A pulse of V volt and t seconds in a cell of G siemens dissipates V^2 G t. Cells of one row (or column) are written together.
A cell that stands N pulses, written every T seconds with n pulses, lasts N T / n.
"""

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
    """

    volts: Any = number(low=0.0, high=100.0, unit="V")
    width_s: Any = number(low=1e-12, high=10.0, unit="s")
    count: Any = number(low=0.0, high=1e9)
    read_s: Any = number(default=0.0, low=0.0, high=10.0, unit="s")


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
