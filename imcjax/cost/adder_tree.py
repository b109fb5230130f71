"""Cost of adder trees, counted in full adders as ZigZag-IMC does (Sun, Houshmand, Verhelst, ICCAD 2023, arXiv 2405.14978).

Ripple-carry, all inputs arrive together. Without place values the sum grows by one bit a level; with them, input k counts
2^k, as the bits of a weight do. Counts are smooth in every argument; gates and delays are those of `digital`.
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.cost.digital import FULL_ADDER_J, FULL_ADDER_M2, NAND2_S
from imcjax.technology import Technology


IN_TO_SUM, IN_TO_CARRY, CARRY_TO_CARRY = 4.8, 4.4, 2.0
"""Delays of a full adder in those of a NAND2: two XOR2; one XOR2 and two NAND2; two NAND2."""


def plain_adders(inputs: jax.Array | float, bits: jax.Array | float) -> jax.Array:
    """Full adders that sum n numbers of b bits: n (b + 1) - (b + log2 n + 1)."""
    n = jnp.asarray(inputs, dtype=float)
    return n * (bits + 1) - (bits + jnp.log2(n) + 1)


def place_value_adders(weights: jax.Array | float, bits: jax.Array | float) -> jax.Array:
    """Full adders that join w numbers of b bits, each worth twice the last: b (w - 1) + w (log2 w - 1/2); none for w = 1."""
    w = jnp.asarray(weights, dtype=float)
    return jnp.where(w > 1, bits * (w - 1) + w * (jnp.log2(w) - 0.5), 0.0)


def energy_j(adders: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule of one sum: every full adder counts as switching."""
    return jnp.asarray(adders, dtype=float) * FULL_ADDER_J * scaling.energy(technology)


def area_m2(adders: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre."""
    return jnp.asarray(adders, dtype=float) * FULL_ADDER_M2 * scaling.area(technology)


def delay_s(inputs: jax.Array | float, carries: jax.Array | float, technology: Technology) -> jax.Array:
    """Second of the longest path: log2 n - 1 levels, then into the carry, then `carries` bits of it."""
    levels = jnp.log2(jnp.asarray(inputs, dtype=float)) - 1
    return (levels * IN_TO_SUM + IN_TO_CARRY + carries * CARRY_TO_CARRY) * NAND2_S * scaling.delay(technology)
