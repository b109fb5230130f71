"""Cost of moving bits over the chip: bus, H-tree, mesh with routers, and the link to another chip.

A wire has 0.2 fF/um (as NeuroSim has everywhere) and takes C V^2 a rising bit. Repeaters add about the wire's own
capacitance: `REPEATERS`. Lengths follow from areas, so that energy depends on area. Bus: half the side on the mean. H-tree of
n leaves: each of its log4 n levels halves the length, side / 2 + side / 4 + ... Mesh: a hop is the side of a tile, and passes
a router of ISAAC (Shafiee et al., ISCA 2016): 20.74 pJ for 256 bits at 32 nm; the way between two of n random tiles is 2/3
sqrt(n) hops. Link: HyperTransport as ISAAC has it, 26 pJ for 128 bits at 65 nm. (Energies of router and link as the library
hwcomponents derives them from ISAAC's powers.)
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.technology import Technology


WIRE_F_PER_M = 0.2e-9
REPEATERS = 1.0
"""Capacitance of repeaters relative to the wire's."""
EDRAM_BUS_J = 0.054e-12
"""Joule a bit of the bus between ISAAC's eDRAM and its arrays at 32 nm."""


def wire_energy_j(
    bits: jax.Array | float, length_m: jax.Array | float, technology: Technology, *, toggle: jax.Array | float = 0.5
) -> jax.Array:
    """Joule to move bits along a wire; `toggle` is the part of them that charge it."""
    farad = WIRE_F_PER_M * (1 + REPEATERS) * jnp.asarray(length_m, dtype=float)
    return jnp.asarray(bits, dtype=float) * toggle * farad * technology.supply_v**2


def bus_length_m(area_m2: jax.Array | float) -> jax.Array:
    """Metre from the port to a part of a square of that area, on the mean: half its side."""
    return 0.5 * jnp.sqrt(jnp.asarray(area_m2, dtype=float))


def h_tree_length_m(area_m2: jax.Array | float, leaves: jax.Array | float) -> jax.Array:
    """Metre from the root to a leaf: side (1 - 2^-levels), levels = log4 n; 0 for one leaf."""
    levels = 0.5 * jnp.log2(jnp.asarray(leaves, dtype=float))
    return jnp.sqrt(jnp.asarray(area_m2, dtype=float)) * (1 - jnp.exp2(-levels))


def mesh_hops(tiles: jax.Array | float) -> jax.Array:
    """Hops between two random tiles of a square mesh: two coordinates, a third of the side each."""
    return 2 / 3 * jnp.sqrt(jnp.asarray(tiles, dtype=float))


def router_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule for bits to pass one router: 81.0 fJ a bit at 32 nm."""
    return jnp.asarray(bits, dtype=float) * (20.74e-12 / 256) * scaling.energy(technology, node_m=32e-9)


def router_area_m2(technology: Technology) -> jax.Array:
    """Square metre of a router: 0.151 mm^2 at 32 nm."""
    return 0.151e-6 * scaling.area(technology, node_m=32e-9)


def mesh_energy_j(
    bits: jax.Array | float,
    hops: jax.Array | float,
    tile_area_m2: jax.Array | float,
    technology: Technology,
    *,
    toggle: jax.Array | float = 0.5,
) -> jax.Array:
    """Joule to move bits over hops: a router and the side of a tile each."""
    side = jnp.sqrt(jnp.asarray(tile_area_m2, dtype=float))
    return hops * (router_energy_j(bits, technology) + wire_energy_j(bits, side, technology, toggle=toggle))


def edram_bus_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule on the bus between a tile's buffer and its arrays."""
    return jnp.asarray(bits, dtype=float) * EDRAM_BUS_J * scaling.energy(technology, node_m=32e-9)


def link_energy_j(bits: jax.Array | float) -> jax.Array:
    """Joule to another chip: 203 fJ a bit; not scaled with the node, as pads and boards are not."""
    return jnp.asarray(bits, dtype=float) * (26e-12 / 128)
