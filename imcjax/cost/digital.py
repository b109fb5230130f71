"""Cost of the logic behind the ADCs: slices shifted and added, phases and row tiles accumulated.

Gates as in ZigZag-IMC (Sun, Houshmand and Verhelst, ICCAD 2023, arXiv 2405.14978) at 28 nm and 0.9 V: a full adder is three
NAND2 and two XOR2 (4.2 fF, 3.402 fJ, 4.7892 um^2), a flip-flop three NAND2 of capacitance and six of area (2.1 fF, 1.701 fJ,
3.684 um^2); carries ripple at two NAND2 delays (95.6 ps) a bit. Every bit of every adder counts as switching: an upper bound.

One output in one phase of one row tile takes S conversions, one a slice. S - 1 adders of b_adc + b_w bits join them; one adder
with its register, b_adc + b_w + b_x + log2(row tiles) bits wide, accumulates the sum. The number of slices S may be fractional
(an expectation).
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.cost.work import Bits
from imcjax.technology import Technology


NAND2_F, NAND2_M2, NAND2_S = 0.7e-15, 0.614e-12, 47.8e-12
FULL_ADDER_J = (3 + 2 * 1.5) * NAND2_F * scaling.SUPPLY_V**2
FLIP_FLOP_J = 3 * NAND2_F * scaling.SUPPLY_V**2
FULL_ADDER_M2 = (3 + 2 * 2.4) * NAND2_M2
FLIP_FLOP_M2 = 6 * NAND2_M2


def accumulator_bits(bits: Bits, row_tiles: jax.Array | float) -> jax.Array:
    """Width of the running sum of one output."""
    return jnp.asarray(bits.adc + bits.weight + bits.input, dtype=float) + jnp.log2(jnp.asarray(row_tiles, dtype=float))


def energy_j(bits: Bits, slices: jax.Array | float, row_tiles: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule to bring the `slices` conversions of one output, phase and row tile into the running sum."""
    joining = (slices - 1) * (bits.adc + bits.weight) * FULL_ADDER_J
    accumulating = accumulator_bits(bits, row_tiles) * (FULL_ADDER_J + FLIP_FLOP_J)
    return (joining + accumulating) * scaling.energy(technology)


def area_m2(
    bits: Bits,
    slices: jax.Array | float,
    row_tiles: jax.Array | float,
    adders: jax.Array | float,
    cols: int,
    technology: Technology,
) -> jax.Array:
    """Square metre of the logic of one tile, all slices together.

    Args:
      bits: widths.
      slices: weight slices S.
      row_tiles: tiles along the inputs.
      adders: chains of adders, one for the ADCs that convert the S slices of one column.
      cols: columns of the tile, each with a register.
      technology: node.
    """
    width = accumulator_bits(bits, row_tiles)
    chain = ((slices - 1) * (bits.adc + bits.weight) + width) * FULL_ADDER_M2
    return (adders * chain + cols * width * FLIP_FLOP_M2) * scaling.area(technology)


def delay_s(bits: Bits, slices: jax.Array | float, row_tiles: jax.Array | float, technology: Technology) -> jax.Array:
    """Second from the last conversion to the sum: a tree over the slices, then the carry chain of the accumulator.

    In to sum takes two XOR2 of 2.4 NAND2 each, in to carry one XOR2 and two NAND2, carry to carry two NAND2.
    """
    tree = jnp.log2(jnp.asarray(slices, dtype=float)) * 4.8
    chain = 4.4 + (accumulator_bits(bits, row_tiles) - 1) * 2
    return (tree + chain) * NAND2_S * scaling.delay(technology)
