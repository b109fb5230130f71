"""Read energy of arrays that do not sense a current: voltage, charge and SRAM bitlines. (`array` has the current domain.)

Voltage: bitlines float and settle to the mean of their inputs, weighted by conductance (Wan et al., Nature 608 (2022)); then
the cells of a column dissipate T (sum G V^2 - (sum G V)^2 / sum G), Joule's law at the settled voltages, and the bitline is
charged. Charge: one capacitor a cell, charged where the product of input and weight changes: C V^2 times the rate of rising
transitions, which is p (1 - p) for products that are independent from one read to the next with probability p of being one.
SRAM: precharged bitlines, the charge that is lost each read: independent of the weights in NeuroSim; ZigZag-IMC's 0.35 fF a
cell of bitline at 28 nm, in proportion to the node.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.cost import scaling
from imcjax.technology import Technology


BITLINE_F = 0.35e-15
"""Bitline capacitance of one SRAM cell at 28 nm, farad (ZigZag-IMC)."""
CAPACITOR_F_PER_M2 = 2.3e-3
"""Metal capacitors at 22 nm, farad a square metre (2.3 fF/um^2, as CiMLoop takes them)."""


def voltage_energy_j(
    v: Float[Array, "... rows"], g: Float[Array, "rows cols"], time_s: jax.Array | float, bitline_f: jax.Array | float = 0.0
) -> Float[Array, "..."]:
    """Joule of one read with floating bitlines.

    Args:
      v: (..., rows) volt.
      g: (rows, cols) siemens.
      time_s: how long the inputs are held.
      bitline_f: capacitance of a bitline, charged from zero, farad.
    """
    total = jnp.sum(g, 0)
    shared = jnp.matmul(v, g, precision=jax.lax.Precision.HIGHEST)  # (..., cols)
    settled = shared / total
    joule = jnp.matmul(jnp.square(v), jnp.sum(g, 1), precision=jax.lax.Precision.HIGHEST) - jnp.sum(shared * settled, -1)
    return time_s * joule + bitline_f * jnp.sum(jnp.square(settled), -1)


def charge_energy_j(
    ones: jax.Array | float, cells: jax.Array | float, cell_f: jax.Array | float, volts: jax.Array | float
) -> jax.Array:
    """Joule of one read of an array of capacitors: C V^2 p (1 - p) a cell.

    Args:
      ones: probability p that the product in a cell is one.
      cells: how many.
      cell_f: farad a cell.
      volts: to which it is charged.
    """
    p = jnp.asarray(ones, dtype=float)
    return p * (1 - p) * cells * cell_f * jnp.square(volts)


def sram_energy_j(active: jax.Array | float, cells: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule of one read of SRAM bitlines.

    Args:
      active: part of the bitlines that are discharged.
      cells: of all bitlines together.
      technology: node and supply.
    """
    farad = BITLINE_F * technology.node_m / scaling.NODE_M
    return jnp.asarray(active, dtype=float) * cells * farad * technology.supply_v**2
