"""The ADC of ISAAC, scaled to other resolutions.

Shafiee et al., "ISAAC", ISCA 2016: 8 bits, 1.2 GS/s, 2 mW, 1200 um^2 at 32 nm (after L. Kull et al., ISSCC 2013). The library
hwcomponents gives it for 4 to 10 bits after the capacitor-DAC analysis of Saberi et al., IEEE TCAS-I 58 (2011): a part linear
in the bits (comparator and logic) and one of the number of unit capacitors, 2^b. The two coefficients of energy and of area
are solved from its entries at 8 and 10 bits; they reproduce the other five to the last digit given.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.cost.adc.base import Column, family, real_bits
from imcjax.cost.validity import Ranges
from imcjax.pytree import number, record
from imcjax.technology import Technology


_NODE = 32e-9
_LINEAR_J, _UNIT_J = 0.19545e-12, 0.4155e-15
_LINEAR_M2, _UNIT_M2 = 82.0e-12, 2.131e-12


@family("isaac")
@record
class Isaac:
    """Capacitor-DAC SAR ADC.

    Attributes:
      energy_scale, area_scale: calibration.
    """

    energy_scale: Any = number(default=1.0, low=1e-3, high=1e3)
    area_scale: Any = number(default=1.0, low=1e-3, high=1e3)

    ranges: ClassVar[Ranges] = {"bits": (1, 14, "bits"), "node_m": (7e-9, 180e-9, "m")}
    source: ClassVar[str] = "ISAAC (ISCA 2016), scaled as hwcomponents does (4 to 10 bits)"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion; node and supply as logic."""
        b = real_bits(bits, hard=hard)
        return (_LINEAR_J * b + _UNIT_J * jnp.exp2(b)) * scaling.energy(technology, node_m=_NODE) * self.energy_scale

    def area_m2(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Square metre of one ADC."""
        b = real_bits(bits, hard=hard)
        return (_LINEAR_M2 * b + _UNIT_M2 * jnp.exp2(b)) * scaling.area(technology, node_m=_NODE) * self.area_scale

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per conversion: 1 / 1.2 GS/s at 8 bits, in proportion to the bits."""
        return real_bits(bits, hard=hard) / 8 / 1.2e9 * scaling.delay(technology, node_m=_NODE)
