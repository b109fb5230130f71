"""M. Sinangil et al., IEEE JSSC 56 (2021): SRAM, 7 nm, 64 inputs times 16 outputs, 4-bit weights, inputs and flash ADC.

An input of x is sent as x pulses on the wordline. Published is the energy of a 64 x 16 product as a function of the mean
4-bit output m at 0.8 V (values as CiMLoop collects them, arXiv 2405.07259), not the inputs and weights that made it. Taking
both at the same fraction of their range, sqrt(m / 15), the pulses are in proportion to sqrt(m): E = fixed + per_level x, x =
sqrt(15 m). Two fitted numbers; the supply enters as V^2, not fitted.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record


@record
class Sinangil7:
    """The energy of one product of 64 inputs with 16 outputs.

    Attributes:
      fixed_j: joule at 0.8 V, whatever the data.
      level_j: joule per level of the mean input, 0 to 15.
    """

    fixed_j: Any = number(default=3.41e-12, low=0.0, unit="J")
    level_j: Any = number(default=0.279e-12, low=0.0, unit="J")

    source: ClassVar[str] = "Sinangil et al., JSSC 2021; values as in CiMLoop"
    ops: ClassVar[int] = 2 * 64 * 16
    areas_m2: ClassVar[dict[str, float]] = {"compute": 1596e-12, "cells and drivers": 800e-12, "capacitors": 160e-12}

    def energy_j(self, mean_output: jax.Array | float, supply_v: jax.Array | float = 0.8) -> jax.Array:
        """Joule per product.

        Args:
          mean_output: mean 4-bit output, 0 to 15.
          supply_v: volt.
        """
        m = jnp.asarray(mean_output, dtype=float)
        positive = jnp.where(m > 0, m, 1.0)  # a root has no slope at zero
        level = jnp.where(m > 0, jnp.sqrt(15 * positive), 0.0)
        return (self.fixed_j + self.level_j * level) * jnp.square(jnp.asarray(supply_v, dtype=float) / 0.8)

    def tops_per_watt(self, mean_output: jax.Array | float, supply_v: jax.Array | float = 0.8) -> jax.Array:
        """Operations (two a product) per joule / 1e12."""
        return self.ops / self.energy_j(mean_output, supply_v) / 1e12
