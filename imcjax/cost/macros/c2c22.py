"""H. Wang et al., VLSI 2022 and JSSC 2023: SRAM with C-2C ladders, 22 nm, 8-bit inputs, weights and ADC, 0.124 mm^2.

Measured at five supplies, as CiMLoop collects them (arXiv 2405.07259), and interpolated between (monotone cubic of the
logarithm). Shares of the energy and of the area are those published for 1 V. Nothing is said of other widths.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.cost.interpolate import monotone_cubic
from imcjax.cost.validity import Ranges, hold
from imcjax.pytree import record


_SUPPLY = np.array([0.7, 0.8, 0.9, 1.0, 1.1])
_TOPS_PER_WATT = np.array([32.0, 22.6, 18.4, 16.376, 15.5])
_TOPS_PER_MM2 = np.array([2.377, 2.858, 3.2, 3.596, 3.941])


@record
class C2c22:
    """The macro as measured; it has no free number."""

    source: ClassVar[str] = "Wang et al., JSSC 2023; values as in CiMLoop"
    ranges: ClassVar[Ranges] = {"supply_v": (0.7, 1.1, "V")}
    area_m2: ClassVar[float] = 0.124e-6
    energy_shares: ClassVar[dict[str, float]] = {"adc": 0.34, "dac": 0.22, "mac": 0.40, "misc": 0.04}
    area_shares: ClassVar[dict[str, float]] = {"adc": 0.13, "dac": 0.30, "mac": 0.46, "misc": 0.11}

    def energy_j(self, supply_v: jax.Array | float) -> dict[str, jax.Array]:
        """Joule per 8-bit operation (two a product), by part.

        Raises:
          UserError: a supply that was not measured.
        """
        whole = 1e-12 / self._at(_TOPS_PER_WATT, supply_v)
        return {name: share * whole for name, share in self.energy_shares.items()}

    def tops(self, supply_v: jax.Array | float) -> jax.Array:
        """8-bit operations a second / 1e12."""
        return self._at(_TOPS_PER_MM2, supply_v) * self.area_m2 * 1e6

    def _at(self, table: np.ndarray, supply_v: jax.Array | float) -> jax.Array:
        hold("macro c2c22", self.ranges, supply_v=supply_v)
        values = jnp.asarray(np.log(table), jnp.result_type(float))
        return jnp.exp(monotone_cubic(values, jnp.asarray(supply_v, values.dtype), _SUPPLY))
