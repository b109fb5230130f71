"""H. Jia et al., IEEE JSSC 55 (2020): charge-domain SRAM, 65 nm, 2304 inputs times 256 columns, operands of 1 to 8 bits.

Energies per column and cycle at 0.85 V and 1.2 V, as CiMLoop collects them (Andrulis et al., ISPASS 2024, arXiv 2405.07259).
The lower supply is the model's number; energy grows as V^2. One column and cycle are 2304 one-bit products.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record


@record
class Jia65:
    """Joule per column and cycle at 0.85 V, by part.

    Attributes:
      adc_j, array_j, datapath_j: ADC, compute array, near-memory datapath.
      cycle_s: second per cycle at 0.85 V; from 0.874 TOPS of 2304 x 256 one-bit products.
    """

    adc_j: Any = number(default=1.79e-12, low=0.0, unit="J")
    array_j: Any = number(default=9.7e-12, low=0.0, unit="J")
    datapath_j: Any = number(default=8.3e-12, low=0.0, unit="J")
    cycle_s: Any = number(default=1.35e-6, low=0.0, unit="s")

    source: ClassVar[str] = "Jia et al., JSSC 2020; values as in CiMLoop"
    rows: ClassVar[int] = 2304
    cols: ClassVar[int] = 256
    areas_m2: ClassVar[dict[str, float]] = {
        "adc": 0.497e-6, "array": 2.91e-6, "datapath": 0.497e-6, "sparsity": 0.392e-6,
    }  # fmt: skip

    def energy_j(self, supply_v: jax.Array | float) -> dict[str, jax.Array]:
        """Joule per column and cycle."""
        square = jnp.square(jnp.asarray(supply_v, dtype=float) / 0.85)
        return {"adc": self.adc_j * square, "array": self.array_j * square, "datapath": self.datapath_j * square}

    def tops_per_watt(self, supply_v: jax.Array | float, weight_bits: float = 1.0, input_bits: float = 1.0) -> jax.Array:
        """Operations (two a product) per joule / 1e12, ADC and array as published; operands take b_w columns, b_x cycles."""
        parts = self.energy_j(supply_v)
        return 2 * self.rows / (parts["adc"] + parts["array"]) / 1e12 / (weight_bits * input_bits)
