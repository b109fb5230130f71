"""Cost of driving the wordlines: the charge on the line, and the DAC in front of it.

Wordline: 0.35 fF a cell at 28 nm (half a NAND2 input, ZigZag-IMC, arXiv 2405.14978), in proportion to the node, as wire and
junction lengths are. The line carries the input, so the voltage is the input's own, not the supply.
DAC: ZigZag-IMC's 50 fF a bit, charged to the supply, for every line and phase whatever the input; a one-bit driver has none.
The area is ISAAC's one-bit driver (Shafiee et al., ISCA 2016; 0.166 um^2 at 32 nm), doubled with each bit as in MNSIM 2.0.
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.technology import Technology


WORDLINE_F = 0.35e-15
"""Wordline capacitance of one cell at 28 nm, farad."""


def wordline_energy_j(volts_squared: jax.Array | float, cells: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule to raise lines from zero: C V^2.

    Args:
      volts_squared: sum of V^2 over lines and phases, V^2.
      cells: cells on each line.
      technology: node.
    """
    capacitance = WORDLINE_F * (technology.node_m / scaling.NODE_M)
    return jnp.asarray(volts_squared, dtype=float) * cells * capacitance


def dac_energy_j(bits: int, technology: Technology) -> jax.Array:
    """Joule per line and phase: 50 fF b (0.9 V)^2 at 28 nm; zero for one bit. `bits` is static."""
    capacitance = 0.0 if bits == 1 else 50e-15 * bits
    return capacitance * scaling.SUPPLY_V**2 * scaling.energy(technology)


def area_m2(bits: int, technology: Technology) -> jax.Array:
    """Square metre per line, driver and DAC: 0.166 um^2 2^(b - 1) at 32 nm. `bits` is static."""
    return 0.166e-12 * 2.0 ** (bits - 1) * scaling.area(technology, node_m=32e-9)
