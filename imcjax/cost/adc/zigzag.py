"""Cost of a successive-approximation (SAR) ADC.

The closed form of ZigZag-IMC (Sun, Houshmand and Verhelst, ICCAD 2023, arXiv 2405.14978), fitted there to published analog IMC
chips at 28 nm and 0.9 V, and scaled here to node and supply (`scaling`). Energy rises with the resolution everywhere, unlike in
regressions over ADC surveys, whose minimum near 5 bits would make a search add bits to save energy. Published designs of one
resolution spread over a decade: calibrate with `Technology.adc_energy_scale` and `.adc_area_scale`. For 1 to 14 bits; the
thermal-noise part (4^b) is scaled like logic, which is optimistic above 10 bits at nodes below 28 nm.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.cost.adc.base import Column, family, real_bits
from imcjax.cost.validity import Ranges
from imcjax.pytree import record
from imcjax.technology import Technology


def energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule per conversion: (100 fF b + 0.001 fF 4^b) (0.9 V)^2 at 28 nm.

    Args:
      bits: resolution b, real.
      technology: node, supply and calibration.
    """
    b = jnp.asarray(bits, dtype=float)
    charge = 100e-15 * b + 1e-18 * jnp.exp2(2 * b)
    return charge * scaling.SUPPLY_V**2 * scaling.energy(technology) * technology.adc_energy_scale


def area_m2(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre of one ADC: 10^(1.206 - 0.0369 b) 2^b um^2 at 28 nm."""
    b = jnp.asarray(bits, dtype=float)
    log2 = b + (1.206 - 0.0369 * b) * 3.321928094887362
    return 1e-12 * jnp.exp2(log2) * scaling.area(technology) * technology.adc_area_scale


def conversion_time_s(bits: jax.Array | float, rows: jax.Array | float, technology: Technology) -> jax.Array:
    """Second per conversion: b (0.00653 rows + 0.640) ns at 28 nm; the settling of a bitline of `rows` cells is part of it."""
    return jnp.asarray(bits, dtype=float) * (6.53e-12 * rows + 0.640e-9) * scaling.delay(technology)


@family("zigzag28")
@record
class Zigzag28:
    """The same as a record: a SAR ADC fitted at 28 nm; its scales are those of the technology."""

    ranges: ClassVar[Ranges] = {"bits": (1, 14, "bits"), "node_m": (7e-9, 180e-9, "m")}
    source: ClassVar[str] = "ZigZag-IMC (arXiv 2405.14978)"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion."""
        return energy_j(real_bits(bits, hard=hard), technology)

    def area_m2(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Square metre of one ADC."""
        return area_m2(real_bits(bits, hard=hard), technology)

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per conversion, the settling of the bitline included."""
        rows = Column().rows if column is None else column.rows
        return conversion_time_s(real_bits(bits, hard=hard), rows, technology)
