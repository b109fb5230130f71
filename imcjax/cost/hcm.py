"""The hardware-aware complexity metric (HCM) of quantized layers, with its roofline.

A layer of n_in inputs and n_out outputs whose accumulator must hold the whole sum has

    BOPS = n_in n_out (b_x b_w + b_x + b_w + log2 n_in)        for each output position

(Karbachevsky et al., arXiv 2004.08906; n_in = n k^2 for a k x k kernel over n channels). Unlike plain BOPs (`imcjax.cost.bops`)
it counts the adders. The area of a processing element grows in proportion: A = 1.694 BOPS + 153.46 square micrometre for a
3 x 3 element of one input and one output channel in 28 nm (the fit of the same authors, Sustainability 13, 2021, 717, fig. 3;
their fit over the width alone, fig. 1, is within 8 % of it from 4 bits on, and a third below at 2 bits).

Roofline: elements of that area fill the chip and each does its nine multiplications in a cycle; weights, inputs and outputs
move once over a memory bus. A layer takes as long as the slower of the two. That the multiplications and the traffic are
counted so is our reading; converters as a third roof, for arrays in which every sum is converted, are our addition.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from imcjax.cost.bops import multiplications, pairs
from imcjax.cost.work import Work
from imcjax.errors import check_record
from imcjax.pytree import number, record


KERNEL = 9
"""Multiplications of one processing element in a cycle: its kernel is 3 x 3."""
ELEMENT_AREA_M2 = (1.694e-12, 153.46e-12)
"""Slope and offset of an element's area over its BOPS, square metre, 28 nm."""


@record
class Accelerator:
    """What the roofs are made of.

    Attributes:
      area_m2: of all processing elements.
      frequency_hz: cycles a second.
      bandwidth_bit_s: of the memory, bit a second.
      conversions_s: conversions a second of all converters together; None: nothing is converted.
    """

    area_m2: Any = number(low=0, unit="m^2")
    frequency_hz: Any = number(low=0, unit="Hz")
    bandwidth_bit_s: Any = number(low=0, unit="bit/s")
    conversions_s: Any = number(default=None, low=0, unit="1/s")


@record
class Roof:
    """One layer under the roofs; an operation is a multiplication with its addition.

    Attributes:
      operations: in one inference.
      traffic_bit: moved in one inference, bit.
      operations_s: that the elements could do in a second.
      compute_s, memory_s, conversion_s: what each roof alone would take, second.
    """

    operations: Any
    traffic_bit: Any
    operations_s: Any
    compute_s: Any
    memory_s: Any
    conversion_s: Any

    @property
    def intensity(self) -> jax.Array:
        """Operations for each bit moved."""
        return self.operations / self.traffic_bit

    @property
    def latency_s(self) -> jax.Array:
        """What the slowest roof takes, second."""
        return jnp.maximum(jnp.maximum(self.compute_s, self.memory_s), self.conversion_s)

    @property
    def attainable_s(self) -> jax.Array:
        """Operations a second under all roofs."""
        return self.operations / self.latency_s

    @property
    def bound(self) -> str:
        """The slowest roof: "compute", "memory" or "conversion"; of concrete numbers only."""
        times = {"compute": self.compute_s, "memory": self.memory_s, "conversion": self.conversion_s}
        return max(times, key=lambda name: float(times[name]))


def layer_complexity(work: Work, weight_bits: jax.Array | float, input_bits: jax.Array | float) -> jax.Array:
    """BOPS of one layer in one inference; widths as in `imcjax.cost.bops.layer_bops`."""
    weights, inputs = pairs(work, weight_bits, input_bits)
    each = weights * inputs + weights + inputs + jnp.log2(float(work.n_in))
    return multiplications(work) * jnp.mean(each)


def complexity(
    works: Sequence[Work], weight_bits: Sequence[jax.Array | float], input_bits: Sequence[jax.Array | float]
) -> jax.Array:
    """BOPS of layers, whose widths are given in their order."""
    layers = zip(works, weight_bits, input_bits, strict=True)
    return sum((layer_complexity(*layer) for layer in layers), start=jnp.zeros(()))


def element_area_m2(weight_bits: jax.Array | float, input_bits: jax.Array | float) -> jax.Array:
    """Area of one 3 x 3 processing element of the given mean widths, square metre, 28 nm."""
    weights, inputs = jnp.asarray(weight_bits, dtype=float), jnp.asarray(input_bits, dtype=float)
    slope, offset = ELEMENT_AREA_M2
    return slope * KERNEL * (weights * inputs + weights + inputs + jnp.log2(float(KERNEL))) + offset


def roof(
    work: Work,
    weight_bits: jax.Array | float,
    input_bits: jax.Array | float,
    accelerator: Accelerator,
    *,
    inputs: int,
    outputs: int,
    output_bits: jax.Array | float,
    conversions: jax.Array | float = 0.0,
) -> Roof:
    """A layer under an accelerator's roofs.

    Args:
      work: its shape.
      weight_bits, input_bits: as in `imcjax.cost.bops.layer_bops`.
      accelerator: the roofs.
      inputs, outputs: how many numbers the layer reads and writes in one inference; a convolution reads each pixel once.
      output_bits: of each output.
      conversions: analog-to-digital conversions in one inference.

    Raises:
      UserError: an accelerator with a negative or infinite number.
    """
    check_record(accelerator, "accelerator")
    wide, narrow = jnp.mean(jnp.asarray(weight_bits, dtype=float)), jnp.mean(jnp.asarray(input_bits, dtype=float))
    operations = jnp.asarray(multiplications(work), dtype=float)
    elements = accelerator.area_m2 / element_area_m2(wide, narrow)
    operations_s = elements * KERNEL * accelerator.frequency_hz
    traffic_bit = work.groups * work.n_in * work.n_out * wide + inputs * narrow + outputs * jnp.mean(jnp.asarray(output_bits))
    rate = accelerator.conversions_s
    conversion_s = jnp.zeros(()) if rate is None else jnp.asarray(conversions) / rate
    memory_s = traffic_bit / accelerator.bandwidth_bit_s
    return Roof(operations, traffic_bit, operations_s, operations / operations_s, memory_s, conversion_s)
