"""Cost of memories other than a tile's eDRAM (`buffers`): SRAM of any depth, registers, DRAM.

SRAM: 512 bits of a 256 KB bank take 416 pJ to read and 378 pJ to write (the example that ZigZag ships, CACTI, 28 nm); energy
grows as the depth to the power 0.78 and with the width (a fit to CACTI in hwcomponents). Registers: 9 fJ and 5.98 um^2 a bit
at 40 nm (Aladdin, Shao et al., ISCA 2014). DRAM: 700 pJ to read and 750 pJ to write 64 bits (ZigZag's example), at any node.
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.technology import Technology


DEPTH_POWER = 0.78
_BANK_BITS, _PORT_BITS = 256 * 1024 * 8, 512


def sram_energy_j(
    capacity_bits: jax.Array | float, width_bits: jax.Array | float, technology: Technology, *, write: bool = False
) -> jax.Array:
    """Joule per access of a whole word.

    Args:
      capacity_bits: of the memory.
      width_bits: of a word.
      technology: node and supply.
      write: or else read.
    """
    depth = jnp.asarray(capacity_bits, dtype=float) / width_bits
    known = _BANK_BITS / _PORT_BITS
    bank_j = 378e-12 if write else 416e-12
    return bank_j * (width_bits / _PORT_BITS) * (depth / known) ** DEPTH_POWER * scaling.energy(technology)


def register_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule to clock `bits` registers: 9 fJ each at 40 nm and 0.9 V."""
    return jnp.asarray(bits, dtype=float) * 9e-15 * scaling.energy(technology, node_m=40e-9)


def register_area_m2(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre of `bits` registers: 5.98 um^2 each at 40 nm."""
    return jnp.asarray(bits, dtype=float) * 5.98e-12 * scaling.area(technology, node_m=40e-9)


def dram_energy_j(bits: jax.Array | float, *, write: bool = False) -> jax.Array:
    """Joule to bring bits from or to DRAM: 10.9 pJ or 11.7 pJ a bit."""
    return jnp.asarray(bits, dtype=float) * ((750e-12 if write else 700e-12) / 64)


def dram_time_s(bits: jax.Array | float, bandwidth: jax.Array | float) -> jax.Array:
    """Second at a bandwidth in bits a second."""
    return jnp.asarray(bits, dtype=float) / bandwidth
