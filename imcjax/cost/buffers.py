"""Cost of the memory between layers, per bit.

The tile buffer of ISAAC (Shafiee et al., ISCA 2016): 64 KB of eDRAM with a port of 256 bits, 20.45 pJ an access, 83 000 um^2,
one access a nanosecond at 32 nm (energy as the hwcomponents library derives it from ISAAC's power). Bits are costed as in a
buffer of that capacity, whatever the layer's own; the energy of an SRAM grows as its depth to the power 0.78 (CACTI).
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.technology import Technology


PORT_BITS = 256
CAPACITY_BITS = 64 * 1024 * 8
_NODE = 32e-9


def energy_j(technology: Technology) -> jax.Array:
    """Joule per bit read or written: 79.9 fJ at 32 nm and 0.9 V."""
    return 20.45e-12 / PORT_BITS * scaling.energy(technology, node_m=_NODE)


def area_m2(technology: Technology) -> jax.Array:
    """Square metre per bit held: 0.158 um^2 at 32 nm."""
    return 83e-9 / CAPACITY_BITS * scaling.area(technology, node_m=_NODE)


def time_s(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Second to move `bits` through the port: 256 bits in 1 ns at 32 nm; a last, partly filled access counts in part."""
    return jnp.asarray(bits, dtype=float) / PORT_BITS * 1e-9 * scaling.delay(technology, node_m=_NODE)
