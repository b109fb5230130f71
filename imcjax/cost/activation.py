"""Cost of what follows a layer: activation, pooling, normalisation, one value at a time.

ISAAC's units at 32 nm and 1.2 GHz (Shafiee et al., ISCA 2016): a sigmoid 0.26 mW and 300 um^2, a max-pool 0.4 mW and 240
um^2. ReLU is a comparison and normalisation a multiplication and an addition of 32 bits in Aladdin's units at 40 nm (Shao et
al., ISCA 2014): comparator 29.5 fJ, 71 um^2; adder 0.21 pJ, 278 um^2; multiplier 12.68 pJ, 6350 um^2; adder and comparator in
proportion to the bits, the multiplier to their square.
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.technology import Technology


_CYCLE_S = 1 / 1.2e9


def sigmoid_energy_j(technology: Technology) -> jax.Array:
    """Joule per value: 0.217 pJ at 32 nm."""
    return 0.26e-3 * _CYCLE_S * scaling.energy(technology, node_m=32e-9)


def sigmoid_area_m2(technology: Technology) -> jax.Array:
    """Square metre of a unit: 300 um^2 at 32 nm."""
    return 300e-12 * scaling.area(technology, node_m=32e-9)


def max_pool_energy_j(technology: Technology) -> jax.Array:
    """Joule per value that enters: 0.333 pJ at 32 nm."""
    return 0.4e-3 * _CYCLE_S * scaling.energy(technology, node_m=32e-9)


def relu_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule per value of b bits."""
    return 29.5e-15 * jnp.asarray(bits, dtype=float) / 32 * scaling.energy(technology, node_m=40e-9)


def relu_area_m2(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre of the comparator for b bits."""
    return 71e-12 * jnp.asarray(bits, dtype=float) / 32 * scaling.area(technology, node_m=40e-9)


def scale_and_shift_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule per value of b bits: batch normalisation that is not folded into the weights."""
    part = jnp.asarray(bits, dtype=float) / 32
    return (12.68e-12 * part**2 + 0.21e-12 * part) * scaling.energy(technology, node_m=40e-9)


def scale_and_shift_area_m2(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre of the multiplier and adder for b bits."""
    part = jnp.asarray(bits, dtype=float) / 32
    return (6350e-12 * part**2 + 278e-12 * part) * scaling.area(technology, node_m=40e-9)
