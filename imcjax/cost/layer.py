"""One layer on the hardware: counts times costs.

The chip. Each weight slice, and each cell of a digit, of a tile is on an array of its own. The encoding says how many
conversions a digit takes: one where a pair's columns are subtracted before it. What a read takes depends on the readout
(`reads`), and with it what columns end in, ADCs or adder trees (`columns`). Every phase drives every used row of every array.
An inference reads each position's inputs from the buffer, runs the phases one after another, adds the shifted partial sums,
and writes the outputs with as many bits as the inputs had; positions and layers follow one another; tiles, slices and groups
work side by side. What leaks meanwhile depends on the other layers too (`leakage`); writing weights is a cost of its own
(`programming`); control is not counted.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.cost import adc, array, buffers, digital, drivers, periphery, reads, scaling
from imcjax.cost.activity import Activity, between
from imcjax.cost.facts import Facts, facts
from imcjax.cost.interpolate import ramp
from imcjax.cost.work import Bits, Work
from imcjax.errors import UserError, check_number, check_record
from imcjax.hardware import Hardware
from imcjax.pytree import record
from imcjax.quantize import round_through
from imcjax.settings import magnitude_bits


@record
class Cost:
    """What an inference takes.

    Attributes:
      energy: joule by component: adc or adder_tree, array, wordline, dac, digital, buffer; mux, normalisation and activation
        where the technology has them; leakage where `leakage.spread` has been at it.
      area: square metre by component, the same without wordline and leakage.
      latency_s: second.
    """

    energy: dict[str, jax.Array]
    area: dict[str, jax.Array]
    latency_s: Any

    @property
    def energy_j(self) -> jax.Array:
        """Joule in all."""
        return sum(self.energy.values(), start=jnp.zeros(()))

    @property
    def area_m2(self) -> jax.Array:
        """Square metre in all."""
        return sum(self.area.values(), start=jnp.zeros(()))


def total(costs: Iterable[Cost]) -> Cost:
    """The cost of layers that run one after another on arrays of their own: everything adds.

    Raises:
      UserError: no layers.
    """
    costs = list(costs)
    if not costs:
        raise UserError("There is no layer on hardware, so there is no cost to add.")

    def added(parts: Sequence[dict[str, jax.Array]]) -> dict[str, jax.Array]:
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: sum((part[name] for part in parts if name in part), start=jnp.zeros(())) for name in names}

    latency_s = sum((cost.latency_s for cost in costs), start=jnp.zeros(()))
    return Cost(added([cost.energy for cost in costs]), added([cost.area for cost in costs]), latency_s)


def counts(work: Work, bits: Bits, hardware: Hardware) -> tuple[jax.Array, jax.Array]:
    """(slices, phases): ceil(magnitude bits / bits a digit), at least 1, of weights and inputs.

    Whole at whole widths and linear between, which is the expectation under random rounding. The derivative at a whole width is
    the mean of the slopes on its two sides.
    """
    encoding, dac = hardware.encoding, hardware.dac
    sent = magnitude_bits(bits.input, signed=work.input_signed)
    slices = _digits(encoding.stored_bits(bits.weight), encoding.cell_bits) + encoding.sign_slices
    return slices, _digits(sent, dac.bits) + dac.sign_phases(signed=work.input_signed)


def conversions(work: Work, bits: Bits, hardware: Hardware) -> jax.Array:
    """ADC conversions of one inference: positions x phases x slices x row tiles x outputs x groups.

    Phases that share their charge are converted once; the encoding says how many conversions an output takes.
    """
    slices, phases = counts(work, bits, hardware)
    tiling = work.tiling(hardware)
    each = hardware.encoding.conversions(work.n_out, tiling.col_tiles)
    phases = 1.0 if hardware.accumulation == "analog" else phases
    return phases * slices * (work.positions * work.groups * tiling.row_tiles * each)


def layer_cost(
    work: Work,
    bits: Bits,
    activity: Activity,
    row_conductance: Float[Array, "... n_in"],
    hardware: Hardware,
    *,
    hard: bool,
    converter: adc.AdcCost | None = None,
    extrapolate: bool = False,
) -> Cost:
    """Energy, area and latency of one layer in one inference.

    Args:
      work: the layer's shape.
      bits: its widths, real.
      activity: of its inputs (`measure`); for several groups with a leading axis of groups, or of all their inputs together.
      row_conductance: (n_in,) siemens (`row_conductance`), or (groups, n_in). `bits` does not change it here: give that of the
        weight width in use.
      hardware: the technology.
      hard: whole widths, as a chip has: they are rounded, and gradients pass straight through the rounding. False: real widths,
        as a search has; slices and phases count by expectation, everything else is smooth. Both agree at whole widths.
      converter: another model of the ADC (`imcjax.cost.adc`); None: ZigZag's, at the technology's scales. What it says nothing
        of, area or time, is the latter's.
      extrapolate: go on beyond the ranges of the models instead of refusing; `extrapolations` says where.

    Raises:
      UserError: hardware without widths for weights, inputs or ADC, shapes that do not fit, or numbers out of range.
    """
    _check(work, bits, activity, row_conductance, hardware)
    extrapolations(bits, hardware, converter, extrapolate=extrapolate)
    return cost_of(facts(work, activity, row_conductance, hardware), bits, hardware, hard=hard, converter=converter)


def cost_of(known: Facts, bits: Bits, hardware: Hardware, *, hard: bool, converter: adc.AdcCost | None = None) -> Cost:
    """`layer_cost` without its checks; arguments as there.

    Widths may be arrays, of many designs at once. `jax.vmap` over facts and widths costs many layers at once: with widths
    (layers, designs) each layer's numbers are scalars of one vectorised loop over designs, the fastest order.
    """
    if hard:
        bits = jax.tree.map(lambda b: round_through(jnp.asarray(b, dtype=float)), bits)
    tech, dac_bits, encoding, domain = hardware.technology, hardware.dac.bits, hardware.encoding, reads.domain(hardware)
    slices = _digits(encoding.stored_bits(bits.weight), encoding.cell_bits) + encoding.sign_slices
    phases = _digits(bits.input - known.sign_bits, dac_bits) + known.sign_phases
    vectors = jnp.asarray(known.positions * known.groups, dtype=float)
    tiles = known.groups * known.row_tiles * known.col_tiles
    cells, wordlines = encoding.cells, encoding.cells * encoding.rows_per_input
    arrays = tiles * cells * slices
    sums = phases * (vectors * known.row_tiles * known.n_out)
    lines = phases * slices * (vectors * known.n_in * wordlines * known.col_tiles)
    gates = slices * (cells * known.col_tiles * hardware.cols)
    load = _load(known, bits, slices, hardware)
    ends = domain.ends(known, bits, slices, phases, load.watts, hardware, converter, hard=hard)
    dac_j = drivers.dac_energy_j(dac_bits, tech) if domain.converts else 0.0  # digits of logic go out on wires, bit by bit
    bits_in, bits_out = bits.input * (known.n_in * known.groups), bits.input * (known.n_out * known.groups)
    moving_s = buffers.time_s(bits_in, tech) + buffers.time_s(bits_out, tech)
    adding_s = digital.delay_s(ends.bits, slices, known.row_tiles, tech)
    logic_m2 = digital.area_m2(ends.bits, slices, known.row_tiles, ends.chains, hardware.cols, tech)
    places = known.groups * known.col_tiles * ends.chains
    units_j, units_m2 = periphery.units(vectors * known.n_out, places, bits.input, tech)
    return Cost(
        energy={
            **ends.energy,
            "array": domain.array_j(load, hardware),
            "wordline": drivers.wordline_energy_j(load.volts, gates, tech),
            "dac": lines * dac_j,
            "digital": sums * digital.energy_j(ends.bits, slices, known.row_tiles, tech),
            **units_j,
            "buffer": (bits_in + bits_out) * known.positions * buffers.energy_j(tech),
        },
        area={
            **{name: known.replicas * metre2 for name, metre2 in ends.area.items()},
            "array": known.replicas * arrays * array.area_m2(hardware.rows, hardware.cols, tech),
            "dac": known.replicas * arrays * hardware.rows * drivers.area_m2(dac_bits, tech),
            "digital": known.replicas * tiles * logic_m2,
            **{name: known.replicas * metre2 for name, metre2 in units_m2.items()},
            "buffer": (bits_in + bits_out * known.positions) * buffers.area_m2(tech),
        },
        latency_s=known.turns * (moving_s + phases * tech.read_time_s + ends.time_s + adding_s),
    )


def _load(known: Facts, bits: Bits, slices: jax.Array, hardware: Hardware) -> reads.Load:
    """What the rows and cells are in one inference."""
    encoding, floating = hardware.encoding, known.floating
    vectors = jnp.asarray(known.positions * known.groups, dtype=float)
    columns_ = slices * (known.n_out + encoding.extra_columns * known.col_tiles)
    line_cells, bitlines = encoding.cells * columns_, (1 if encoding.interleaved else encoding.cells) * columns_
    return reads.Load(
        volts=between(known.volts, bits.input) * vectors,
        watts=between(known.watts, bits.input) * vectors,
        spread_volts=None if floating is None else between(floating.volts, bits.input) * vectors,
        spread_watts=None if floating is None else between(floating.watts, bits.input) * vectors,
        settled=None if floating is None else between(floating.settled, bits.input) * vectors * bitlines,
        siemens=None if floating is None else floating.siemens,
        line_cells=line_cells,
        cells=line_cells * known.n_in * encoding.rows_per_input,
        bitlines=bitlines * known.row_tiles,
    )


def extrapolations(
    bits: Bits, hardware: Hardware, converter: adc.AdcCost | None = None, *, extrapolate: bool = True
) -> tuple[str, ...]:
    """A sentence for every concrete number beyond the range of the model that takes it.

    Raises:
      UserError: there is one, and `extrapolate` is False; or numbers that make no sense.
    """
    found = scaling.check(hardware.technology, extrapolate=extrapolate)
    if converter is not None and reads.domain(hardware).converts:
        found += adc.check(converter, bits.adc, hardware.technology, extrapolate=extrapolate)
    return found


def array_count(work: Work, bits: Bits, hardware: Hardware) -> jax.Array:
    """Physical arrays that hold the layer once: tiles, groups, slices in use, cells of a digit."""
    tiling = work.tiling(hardware)
    slices, _ = counts(work, bits, hardware)
    return slices * (work.groups * tiling.row_tiles * tiling.col_tiles * hardware.encoding.cells)


def _digits(magnitude: jax.Array | float, digit_bits: int) -> jax.Array:
    """ceil(magnitude / digit_bits), at least 1, linear between whole magnitudes."""
    m = jnp.asarray(magnitude, dtype=float)
    if digit_bits == 1:
        return 1 + ramp(m - 1)
    # It rises from n digit_bits to one more, by one: n changes where it is flat.
    full = jnp.maximum(jnp.floor((m + 0.5 * (digit_bits - 1)) / digit_bits), 1.0)
    more = m - full * digit_bits
    return full + ramp(more) - ramp(more - 1)


def _check(work: Work, bits: Bits, activity: Activity, row_conductance: jax.Array, hardware: Hardware) -> None:
    stages = {
        "encoding.weight_bits": hardware.encoding.weight_bits,
        "dac.input_bits": hardware.dac.input_bits,
    }
    if reads.domain(hardware).converts:
        stages["adc.bits"] = hardware.adc.bits
    for name, widest in stages.items():
        if widest is None:
            raise UserError(f"hardware.{name} is absent: that stage is ideal and has no cost; set a width.")
    check_record(bits, f"bits of {work.path}")
    if reads.domain(hardware).converts and bits.adc is None:
        raise UserError(f"bits of {work.path}.adc is None, but a {hardware.readout.kind} readout is converted; give a width.")
    for field in dataclasses.fields(hardware.technology):  # node and supply: `scaling.check`, which may extrapolate
        if field.name not in ("node_m", "supply_v") and not field.metadata.get("static"):
            value, limits = getattr(hardware.technology, field.name), field.metadata
            check_number(f"technology.{field.name}", value, limits["low"], limits["high"], unit=limits["unit"])
    if activity is None or row_conductance is None:
        lacking = "activity (imcjax.cost.measure)" if activity is None else "row_conductance (imcjax.cost.row_conductance)"
        raise UserError(f"The data statistics of {work.path} are missing: give {lacking}, measured on inputs or weights.")
    for name, given in (("activity", activity.volts_squared), ("row_conductance", row_conductance)):
        if given.shape[-1] != work.n_in:
            raise UserError(f"{name} of {work.path} has {given.shape[-1]} rows; its matrices have {work.n_in}.")
    if hardware.readout.unit == "V" and activity.spread is None:
        raise UserError(
            f"activity of {work.path} has no spread, which columns that float need; measure it for this hardware with "
            "imcjax.cost.measure."
        )
