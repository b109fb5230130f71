"""What bounds each layer: its arrays, its buffer, or its ADCs (adder trees, where it has those).

An operation is half a product with its addition. The memory roof is operations per moved bit times the buffer's bandwidth;
the compute roof what the arrays would do if conversions took no time; the ADC roof what the ADCs allow. They are times of the
same layer, so each is operations over one of them; the layer itself needs all three one after another.
"""

import dataclasses

from imcjax.cost import adc, buffers, reads
from imcjax.cost.estimate import LayerEstimate
from imcjax.cost.facts import facts
from imcjax.cost.layer import counts


@dataclasses.dataclass(frozen=True)
class Roof:
    """One layer in a roofline plot.

    Attributes:
      path: the layer.
      intensity: operations per bit moved.
      reached: operations a second.
      compute, memory, adc: roofs, operations a second.
    """

    path: str
    intensity: float
    reached: float
    compute: float
    memory: float
    adc: float

    @property
    def bound(self) -> str:
        """Which roof is the lowest."""
        return min(("compute", "memory", "adc"), key=lambda name: getattr(self, name))


def roofline(layer: LayerEstimate, converter: adc.AdcCost | None = None) -> Roof:
    """The roofs of a layer, for one copy of its weights; `converter` is the ADC's model that it was estimated with."""
    work, bits, hardware = layer.work, layer.bits, layer.measured.hardware
    tech = hardware.technology
    ops = 2.0 * work.n_in * work.n_out * work.groups
    moved = bits.input * (work.n_in + work.n_out) * work.groups
    slices, phases = counts(work, bits, hardware)
    known = facts(work, layer.measured.activity, layer.measured.conductance, hardware)
    arguments = (known, bits, slices, phases, known.watts[-1], hardware, converter)
    converting = float(reads.domain(hardware).ends(*arguments, hard=True).time_s)
    return Roof(
        path=work.path,
        intensity=ops / moved,
        reached=ops * work.positions / float(layer.cost.latency_s),
        compute=ops / (float(phases) * float(tech.read_time_s)),
        memory=ops / float(buffers.time_s(moved, tech)),
        adc=ops / converting,
    )
