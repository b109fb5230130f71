"""An analog SRAM macro put together from components, as ZigZag-IMC has it.

Sun, Houshmand, Verhelst, ICCAD 2023, arXiv 2405.14978:
rows inputs times `outputs` columns groups of `weight_bits` bitlines; each bitline has an ADC; the bits of a weight are joined
by a tree with place values, the input's digits in an accumulator. Per cycle, full use, every gate switching.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.cost import adc, adder_tree, dac, digital, domains, drivers, scaling
from imcjax.errors import check_record
from imcjax.pytree import number, record
from imcjax.technology import Technology


@record
class AnalogSram:
    """One macro; all numbers may be real.

    Attributes:
      rows, outputs: inputs and outputs of the array.
      weight_bits, input_bits: of the operands.
      dac_bits: of an input sent at once.
      adc_bits: resolution.
      cell_m2: area of one weight's memory cell group, square metre.
    """

    rows: Any = number(default=128.0, low=1, high=65536)
    outputs: Any = number(default=128.0, low=1, high=65536)
    weight_bits: Any = number(default=8.0, low=1, high=16)
    input_bits: Any = number(default=8.0, low=1, high=16)
    dac_bits: Any = number(default=1.0, low=1, high=16)
    adc_bits: Any = number(default=8.0, low=1, high=14)
    cell_m2: Any = number(default=0.614e-12, low=0.0, high=1e-6, unit="m^2")

    source: ClassVar[str] = "ZigZag-IMC (arXiv 2405.14978), analog IMC array"

    def energy_j(self, technology: Technology) -> dict[str, jax.Array]:
        """Joule per cycle, by component."""
        check_record(self, "macro")
        cells = self.rows * self.outputs * self.weight_bits
        logic = scaling.SUPPLY_V**2 * scaling.energy(technology)
        joined = adder_tree.place_value_adders(self.weight_bits, self.adc_bits)
        gates = digital.FULL_ADDER_J + digital.FLIP_FLOP_J
        return {
            "dac": self.rows * dac.charge_energy_j(self.dac_bits, technology),
            "adc": self.outputs * self.weight_bits * adc.energy_j(self.adc_bits, technology),
            "multiply": cells * drivers.WORDLINE_F * logic,
            "bitline": cells * domains.BITLINE_F * logic,
            "adder_tree": self.outputs * adder_tree.energy_j(joined, technology),
            "accumulator": self.outputs * self._width * gates * scaling.energy(technology),
        }

    def area_m2(self, technology: Technology) -> dict[str, jax.Array]:
        """Square metre, by component."""
        check_record(self, "macro")
        logic = scaling.area(technology)
        joined = adder_tree.place_value_adders(self.weight_bits, self.adc_bits)
        gates = digital.FULL_ADDER_M2 + digital.FLIP_FLOP_M2
        return {
            "cells": self.rows * self.outputs * self.cell_m2 * logic,
            "adc": self.outputs * self.weight_bits * adc.area_m2(self.adc_bits, technology),
            "multiply": self.rows * self.outputs * self.weight_bits * digital.NAND2_M2 * logic,
            "adder_tree": self.outputs * adder_tree.area_m2(joined, technology),
            "accumulator": self.outputs * self._width * gates * logic,
        }

    def clock_s(self, technology: Technology) -> dict[str, jax.Array]:
        """Second of a cycle, by component: one after another."""
        check_record(self, "macro")
        tree = adder_tree.delay_s(self.weight_bits, self.weight_bits - 1, technology)
        gate = digital.NAND2_S * scaling.delay(technology)
        # the sum of the tree has adc_bits + weight_bits bits; the carry goes through those that the accumulator adds
        chain = adder_tree.IN_TO_CARRY + (self.input_bits - 1) * adder_tree.CARRY_TO_CARRY
        return {
            "multiply": gate,
            "adc": adc.conversion_time_s(self.adc_bits, self.rows, technology),
            "adder_tree": jnp.where(jnp.asarray(self.weight_bits) > 1, tree, 0.0),
            "accumulator": jnp.where(jnp.asarray(self.input_bits) > self.dac_bits, chain * gate, 0.0),
        }

    def macs_per_cycle(self) -> jax.Array:
        """Whole products per cycle: an input takes input_bits / dac_bits cycles."""
        return self.rows * self.outputs / dac.serial_cycles(self.input_bits, self.dac_bits)

    @property
    def _width(self) -> Any:
        return self.input_bits + self.adc_bits + self.weight_bits
