"""A layer as NeuroSim V1.4 counts it, in closed form: its energy in a fraction of a microsecond instead of seconds.

Peng, Huang, Jiang, Yu, IEEE TCAD 40 (2021). NeuroSim loops over every input vector and column; with the mean density of ones
in inputs and weights the sums are products. Weight-stationary: each of the k x k kernel positions has arrays of its own, 128
inputs each in its "novel" mapping; one bit of the input at a time; `mux` columns take turns at one ADC, and all driven rows
are charged at each turn.

The current through columns, the ADC's power and the wire capacitance (0.2 fF/um) are those of its circuit models
(`adc.neurosim`); six numbers are calibrated on runs of it (experiments/validation/cost says on which, and what the others
give). They scale with C V^2, capacitance in proportion to the node; the logic of the accumulation as logic does (`scaling`).

Covers 22 nm to 65 nm, where NeuroSim's transistors are planar. NeuroSim's own TOPS/W are not comparable with anything: it
simulates the vectors inside the image without padding, with stride, and counts operations with padding, without stride
(`counted_macs`).
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.cost import drivers, scaling
from imcjax.cost.adc import Column, NeurosimSar
from imcjax.cost.interpolate import over_nodes
from imcjax.cost.validity import Ranges, hold
from imcjax.errors import UserError, check_record
from imcjax.pytree import number, record, static
from imcjax.technology import Technology


_NODES = np.array([1, 2, 3, 5, 7, 10, 14, 22, 32, 45, 65, 90, 130.0])
_SUPPLY = np.array([0.6, 0.65, 0.7, 0.7, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0, 1.1, 1.2, 1.3])
_READ = np.array([0.272, 0.28, 0.248, 0.253, 0.264, 0.28, 0.277, 0.55, 0.51, 0.51, 0.55, 0.58, 0.58])
_ACCESS_V = 1.1
_STEEP, _OFFSET, _CORNER_S = 0.163133, 2.1687, 1 / 4832.0


def supply_v(node_m: jax.Array | float) -> jax.Array:
    """Volt: NeuroSim's supply at a node."""
    return over_nodes(_SUPPLY, _NODES, node_m)


def read_v(node_m: jax.Array | float) -> jax.Array:
    """Volt: its read voltage."""
    return over_nodes(_READ, _NODES, node_m)


@record
class Neurosim:
    """One design of NeuroSim, and the six calibrated numbers.

    Attributes:
      memory: "rram", "fefet" or "sram" (static).
      converter: "flash" or "sar" (static).
      node_m: process.
      rows: of a square array.
      parallel_rows: rows read at once.
      mux: columns that share an ADC.
      cell_bits, adc_bits: bits a cell, ADC resolution.
      r_on, r_off: of the cell, ohm; rram has a quarter of r_on in series.
      line_f: farad a cell, of a driven row and its driver, at 22 nm.
      level_j: joule a level of the flash ADC, at 22 nm.
      accumulate_j: joule a bit of the accumulation, at 22 nm.
      row_j: joule a column and turn of its multiplexer, whatever the data, at 22 nm.
      move_j: joule a column, kernel position and input bit, moved over the chip, at 22 nm.
      sram_ohm: of a conducting SRAM cell.
    """

    memory: str = static(default="rram", options=("rram", "fefet", "sram"))
    converter: str = static(default="flash", options=("flash", "sar"))
    node_m: Any = number(default=22e-9, low=1e-9, high=130e-9, unit="m")
    rows: Any = number(default=128.0, low=1, high=4096)
    parallel_rows: Any = number(default=128.0, low=1, high=4096)
    mux: Any = number(default=8.0, low=1, high=4096)
    cell_bits: Any = number(default=1.0, low=1, high=8)
    adc_bits: Any = number(default=5.0, low=1, high=14)
    r_on: Any = number(default=100e3, low=100.0, high=1e9, unit="ohm")
    r_off: Any = number(default=1.7e6, low=100.0, high=1e12, unit="ohm")
    line_f: Any = number(default=1.155e-16, low=0.0, unit="F")
    level_j: Any = number(default=1.514e-15, low=0.0, unit="J")
    accumulate_j: Any = number(default=2.872e-15, low=0.0, unit="J")
    row_j: Any = number(default=1.448e-15, low=0.0, unit="J")
    move_j: Any = number(default=9.80e-15, low=0.0, unit="J")
    sram_ohm: Any = number(default=48.8e3, low=100.0, unit="ohm")

    ranges: ClassVar[Ranges] = {"node_m": (22e-9, 65e-9, "m"), "adc_bits": (1, 14, "bits")}
    source: ClassVar[str] = "NeuroSim V1.4"


RRAM_22 = Neurosim()
"""NeuroSim V1.4's own default: 22 nm, one bit a cell of 100 kohm or 1.7 Mohm, 128 x 128, 8 columns an ADC, 5-bit flash."""
SRAM_22 = Neurosim(memory="sram")
"""The same with SRAM cells."""
CALIBRATED = ("line_f", "level_j", "accumulate_j", "row_j", "move_j", "sram_ohm")


@record
class Layer:
    """One layer and its data.

    Attributes:
      vectors: input vectors that are simulated.
      kernels: kernel positions, k x k; for a fully connected layer its inputs divided by n_in.
      n_in, n_out: inputs of one position, outputs.
      input_ones, weight_ones: part of the bits that are one.
      input_bits, weight_bits: widths.
    """

    vectors: Any = number(low=1)
    kernels: Any = number(low=1)
    n_in: Any = number(low=1)
    n_out: Any = number(low=1)
    input_ones: Any = number(default=0.18, low=0.0, high=1.0)
    weight_ones: Any = number(default=0.5, low=0.0, high=1.0)
    input_bits: Any = number(default=8.0, low=1, high=16)
    weight_bits: Any = number(default=8.0, low=1, high=16)


def energy_j(design: Neurosim, layer: Layer, *, extrapolate: bool = False) -> dict[str, jax.Array]:
    """Joule of one layer for one image: adc, array, accumulation, rows, interconnect.

    Raises:
      UserError: numbers out of range, or a node outside 22 nm to 65 nm without `extrapolate`.
    """
    check_record(design, "neurosim")
    check_record(layer, "layer")
    hold("neurosim", design.ranges, extrapolate=extrapolate, node_m=design.node_m, adc_bits=design.adc_bits)
    volt: Any = supply_v(design.node_m)
    relative = jnp.asarray(design.node_m, dtype=float) / 22e-9
    switching = relative * jnp.square(volt / supply_v(22e-9))
    technology = Technology(node_m=design.node_m, supply_v=volt)
    logic = scaling.energy(technology, 22e-9, 0.85)
    used = jnp.minimum(design.rows, layer.n_in)
    driven = jnp.minimum(used, design.parallel_rows)
    blocks = layer.kernels * jnp.ceil(layer.n_in / jnp.asarray(design.rows, dtype=float))
    columns = layer.n_out * layer.weight_bits / design.cell_bits
    reads = layer.vectors * layer.input_bits * blocks
    conversions = reads * columns * (used / driven)
    lines = conversions * driven * layer.input_ones * design.mux
    if design.memory == "sram":
        line = drivers.WORDLINE_F * (design.node_m / scaling.NODE_M) * jnp.square(volt)
    else:
        line = design.line_f * relative * _ACCESS_V**2
    length = jnp.sqrt(blocks * design.rows / (layer.kernels * layer.n_in))  # rows that stay empty take place
    width = design.adc_bits + jnp.log2(layer.kernels) + 1
    return {
        "adc": conversions * _conversion_j(design, layer, driven, switching, technology),
        "array": lines * line,
        "accumulation": conversions * width * design.accumulate_j * logic,
        "rows": reads * columns * design.mux * design.row_j * switching,
        "interconnect": layer.vectors * layer.input_bits * layer.kernels * columns * length * design.move_j * switching,
    }


def _conversion_j(design: Neurosim, layer: Layer, driven: jax.Array, switching: jax.Array, technology: Technology) -> jax.Array:
    volts = read_v(design.node_m)
    column = Column(driven, driven * layer.input_ones * _cell_s(design, layer), volts)
    if design.converter == "sar":
        return NeurosimSar().energy_j(design.adc_bits, technology, column)
    siemens = column.siemens * volts / 0.5
    held = jnp.where(siemens > _CORNER_S, _CORNER_S, jnp.where(siemens < 1e-8, 1e-8, siemens))
    watt = (_OFFSET + _STEEP * jnp.log(held)) * 1e-6
    # Below 4832 ohm the current of the column itself counts, as in the SAR.
    through = jnp.where(siemens > _CORNER_S, siemens - _CORNER_S, 0.0) * 0.072341
    levels = jnp.exp2(jnp.asarray(design.adc_bits, dtype=float)) - 1
    return levels * (design.level_j * switching + watt * 1e-9) + through * 1e-9


def _cell_s(design: Neurosim, layer: Layer) -> jax.Array:
    if design.memory == "sram":
        return 0.5 / jnp.asarray(design.sram_ohm, dtype=float)
    access = 0.0 if design.memory == "fefet" else 0.25 * design.r_on
    on, off = 1 / jnp.asarray(design.r_on + access, dtype=float), 1 / jnp.asarray(design.r_off + access, dtype=float)
    return layer.weight_ones * on + (1 - layer.weight_ones) * off


def clock_s(design: Neurosim) -> jax.Array:
    """Second of a clock period with SAR converters, which set it: 1.4 (b + 1) ns, and 0.12 ns of the rest.

    1.4 is the factor that its authors give the sensing cycle, the rest is that of one run at 5 bits.

    Raises:
      UserError: flash converters, whose decision time depends on the currents and is not modelled.
    """
    check_record(design, "neurosim")
    if design.converter != "sar":
        raise UserError(f"The clock with a {design.converter} converter is not modelled; give one with converter='sar'.")
    return 1.4e-9 * (jnp.asarray(design.adc_bits, dtype=float) + 1) + 0.12e-9


def latency_s(design: Neurosim, layer: Layer, clock: jax.Array | float) -> jax.Array:
    """Second of one layer: a clock period for each vector, input bit and turn of the multiplexer.

    For arrays that hold a kernel position in one piece, all rows read at once, and eight columns a converter: otherwise
    NeuroSim copies weights as its floorplan has room, which is not modelled.
    """
    check_record(layer, "layer")
    return jnp.asarray(layer.vectors, dtype=float) * layer.input_bits * design.mux * clock


def simulated_macs(side: int, kernel: int, stride: int, n_in: int, n_out: int) -> int:
    """Products for which NeuroSim simulates energy: ((side - kernel + 1) // stride)^2 positions, no padding."""
    return ((side - kernel + 1) // stride) ** 2 * kernel**2 * n_in * n_out


def counted_macs(side: int, kernel: int, n_in: int, n_out: int) -> int:
    """Products that NeuroSim divides by: side^2 positions, whatever the stride."""
    return side**2 * kernel**2 * n_in * n_out
