"""What stands at the end of an array's columns: ADCs that columns share, or trees that add what the cells multiply.

Converted: `Adc.share` columns take turns at one ADC, in front of it a multiplexer where the technology has one.
Added: nothing is converted. Each column has a tree (Sun, Houshmand, Verhelst, ICCAD 2023, arXiv 2405.14978): in each phase a
digit of every input is multiplied in NAND2 gates, one for each bit of the input's digit and of the cell's, whose place values
adders join; the tree sums the products of a column, of both cells of a pair. Every gate counts as switching.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imcjax.cost import adc, adder_tree, mux, scaling
from imcjax.cost.digital import NAND2_F, NAND2_M2
from imcjax.cost.facts import Facts
from imcjax.cost.work import Bits
from imcjax.hardware import Hardware
from imcjax.pytree import replace


class Ends(NamedTuple):
    """The ends of a layer's columns.

    Attributes:
      energy: joule of one inference, by component.
      area: square metre of one copy of the layer, by component.
      time_s: second of one position, over all phases, reading excepted.
      bits: the layer's widths, with that of what leaves a column as `adc`.
      chains: what adds it up further: one for each group of columns of a tile that come one after another.
    """

    energy: dict[str, jax.Array]
    area: dict[str, jax.Array]
    time_s: Any
    bits: Bits
    chains: Any


def converted(
    known: Facts,
    bits: Bits,
    slices: Any,
    phases: Any,
    watts: Any,
    hardware: Hardware,
    converter: adc.AdcCost | None,
    *,
    hard: bool,
) -> Ends:
    """ADCs.

    Args:
      known: the layer's `Facts`.
      bits: its widths.
      slices, phases: how many, real.
      watts: V^2 S of all reads of one inference.
      hardware: the technology.
      converter: the model of the ADC; None: ZigZag's.
      hard: whole widths.
    """
    tech, share = hardware.technology, hardware.adc.share
    if hardware.accumulation == "analog":  # phases that share their charge are converted once
        phases = 1.0
    vectors = jnp.asarray(known.positions * known.groups, dtype=float)
    count = phases * slices * (vectors * known.row_tiles * known.each)
    each = jnp.maximum(hardware.cols / share, 1.0)  # of the arrays of one slice of one tile, plus and minus
    adcs = slices * (known.groups * known.row_tiles * known.col_tiles) * each
    volt = jnp.asarray(hardware.dac.v_read, dtype=float)
    column = adc.Column(hardware.rows, watts / (volt * volt * count), volt)
    joule, metre2, second = _adc(converter, bits.adc, tech, column, hard=hard)
    energy, area = {"adc": count * joule}, {"adc": adcs * metre2}
    if tech.column_mux is not None:
        energy["mux"], area["mux"] = count * mux.energy_j(share, tech), adcs * mux.area_m2(share, tech)
    turns = jnp.minimum(share, jnp.asarray(known.tile_cols, dtype=float))
    return Ends(energy, area, phases * turns * second, bits, each)


def added(
    known: Facts,
    bits: Bits,
    slices: Any,
    phases: Any,
    watts: Any,
    hardware: Hardware,
    converter: adc.AdcCost | None,
    *,
    hard: bool,
) -> Ends:
    """Adder trees. Arguments as of `converted`; `bits.adc`, `watts`, `converter` and `hard` have no part in it."""
    tech, encoding, sent = hardware.technology, hardware.encoding, hardware.dac.bits
    sides = min(encoding.cells, encoding.columns)  # trees of one output: of both columns of a pair, or of the pair
    beside = encoding.cells // sides
    inputs = jnp.asarray(known.tile_rows, dtype=float) * (beside * encoding.rows_per_input)
    product = _product_bits(sent, encoding.cell_bits) + known.sign_bits - known.sign_phases
    width = product + jnp.log2(inputs)
    vectors = jnp.asarray(known.positions * known.groups, dtype=float)
    count = phases * slices * (vectors * known.row_tiles * known.each)
    gates, joining = sent * encoding.cell_bits, adder_tree.place_value_adders(sent, encoding.cell_bits)
    multiply_j = gates * NAND2_F * scaling.SUPPLY_V**2 * scaling.energy(tech) + adder_tree.energy_j(joining, tech)
    multiply_m2 = gates * NAND2_M2 * scaling.area(tech) + adder_tree.area_m2(joining, tech)
    trees = slices * (known.groups * known.row_tiles * known.col_tiles * hardware.cols * sides)
    leaves = hardware.rows * beside  # used or not
    tree_j = adder_tree.energy_j(adder_tree.plain_adders(inputs, product), tech)
    tree_m2 = adder_tree.area_m2(adder_tree.plain_adders(leaves, product), tech)
    return Ends(
        energy={"adder_tree": count * (inputs * multiply_j + tree_j)},
        area={"adder_tree": trees * (leaves * multiply_m2 + tree_m2)},
        time_s=phases * adder_tree.delay_s(jnp.maximum(inputs, 2.0), width - 1, tech),
        bits=replace(bits, adc=width),
        chains=float(hardware.cols),
    )


def _product_bits(first: int, second: int) -> int:
    """Bits of the largest product of two digits."""
    return ((2**first - 1) * (2**second - 1)).bit_length()


def _adc(
    converter: Any, bits: Any, technology: Any, column: adc.Column, *, hard: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(joule a conversion, square metre, second a conversion)."""
    usual = adc.Zigzag28()
    model = usual if converter is None else converter
    area, time = (getattr(model, name, getattr(usual, name)) for name in ("area_m2", "time_s"))
    arguments = (bits, technology, column)
    return model.energy_j(*arguments, hard=hard), area(*arguments, hard=hard), time(*arguments, hard=hard)
