"""W. Wan et al., Nature 608 (2022), NeuRRAM: RRAM at 130 nm, 48 cores of 256 x 256 1T1R cells, two a weight, voltage sensing.

Inputs are signed and sent as ternary pulses, a phase for every bit of the magnitude: max(b_x - 1, 1). Wordlines, inputs and
neurons take energy in each phase, one number each, fitted to the published energy per operation at eight pairs of widths (as
CiMLoop collects them, arXiv 2405.07259: (output, input) bits from (3, 1) to (10, 8)). Neurons convert by decrementing charge
in up to 2^b_y steps, which shows in the time, not in the energy.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.pytree import number, record


@record
class Neurram130:
    """Joule per operation (two a product) and phase.

    Attributes:
      wordline_j, neuron_j, input_j: joule.
      phase_s, step_s: second per phase, and per step of the conversion, of a core's whole product.
    """

    wordline_j: Any = number(default=7.6e-15, low=0.0, unit="J")
    neuron_j: Any = number(default=10.6e-15, low=0.0, unit="J")
    input_j: Any = number(default=3.78e-15, low=0.0, unit="J")
    phase_s: Any = number(default=1.42e-6, low=0.0, unit="s")
    step_s: Any = number(default=1.95e-9, low=0.0, unit="s")

    source: ClassVar[str] = "Wan et al., Nature 2022; values as in CiMLoop"
    ops: ClassVar[int] = 2 * 256 * 128
    cores: ClassVar[int] = 48

    def phases(self, input_bits: jax.Array | float) -> jax.Array:
        """Phases of an input."""
        b = jnp.asarray(input_bits, dtype=float)
        return jnp.where(b < 2, 1.0, b - 1)

    def energy_j(self, input_bits: jax.Array | float) -> dict[str, jax.Array]:
        """Joule per operation."""
        n = self.phases(input_bits)
        return {"wordline": n * self.wordline_j, "neuron": n * self.neuron_j, "input": n * self.input_j}

    def time_s(self, output_bits: jax.Array | float, input_bits: jax.Array | float) -> jax.Array:
        """Second per product of a core."""
        return self.phases(input_bits) * self.phase_s + jnp.exp2(jnp.asarray(output_bits, dtype=float)) * self.step_s

    def tops(self, output_bits: jax.Array | float, input_bits: jax.Array | float) -> jax.Array:
        """Operations a second of the chip / 1e12."""
        return self.cores * self.ops / self.time_s(output_bits, input_bits) / 1e12
