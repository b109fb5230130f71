"""Cost of the column multiplexer in front of a shared ADC: m transmission gates and the decoder that opens one.

A transmission gate has the two transistors of half a NAND2 (0.35 fF and 0.307 um^2 at 28 nm, ZigZag-IMC's gate, arXiv
2405.14978); a decoder of m outputs has m gates of two inputs for each bit beyond the first of its log2 m. At each turn one
gate closes, one opens, and the address lines of half of the bits change. Real m.
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.cost.digital import NAND2_F, NAND2_M2
from imcjax.technology import Technology


def energy_j(columns: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule to go from one of `columns` to the next."""
    m = jnp.asarray(columns, dtype=float)
    farad = 2 * NAND2_F / 2 + 0.5 * jnp.log2(m) * NAND2_F * m / 2
    return jnp.where(m > 1, farad, 0.0) * scaling.SUPPLY_V**2 * scaling.energy(technology)


def area_m2(columns: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre of the gates and the decoder for `columns`."""
    m = jnp.asarray(columns, dtype=float)
    bits = jnp.log2(m)
    gates = m / 2 + m * jnp.where(bits < 1, 0.0, bits - 1)
    return jnp.where(m > 1, gates, 0.0) * NAND2_M2 * scaling.area(technology)
