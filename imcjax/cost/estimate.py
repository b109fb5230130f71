"""estimate: what an inference of a whole model takes, layer by layer and component by component."""

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from imcjax.cost import leakage, programming
from imcjax.cost.activity import Activity, measure, row_conductance
from imcjax.cost.adc import AdcCost
from imcjax.cost.layer import Cost, array_count, extrapolations, layer_cost, total
from imcjax.cost.schedule import Stage
from imcjax.cost.work import Bits, Work
from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.settings import Settings, complete


@dataclasses.dataclass(frozen=True, eq=False)
class LayerEstimate:
    """One layer on hardware.

    Attributes:
      work: its path, shape and positions.
      bits: its widths, whole numbers.
      hardware: name of the technology.
      cost: energy and area by component, latency.
    """

    work: Work
    bits: Bits
    hardware: str
    cost: Cost
    measured: "Measured"

    @property
    def stage(self) -> Stage:
        """The layer as a schedule sees it: `imcjax.cost.schedule`."""
        work, bits = self.work, self.bits
        turns = -(-work.positions // work.replicas)
        return Stage(
            path=work.path,
            arrays=work.replicas * float(array_count(work, bits, self.measured.hardware)),
            positions=turns,
            position_s=float(self.cost.latency_s) / turns,
            energy_j=float(self.cost.energy_j) - float(self.cost.energy.get("leakage", 0.0)),  # that depends on the schedule
            macs=float(work.n_in * work.n_out * work.groups * work.positions),
            bits=bits.weight * bits.input,
            moved_bits=bits.input * (work.n_out * work.groups * work.positions),
            weight_bits=bits.weight * (work.n_in * work.n_out * work.groups),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What a layer and its data are to the cost model.

    Attributes:
      hardware: the technology.
      settings: its widths and ranges, complete.
      activity: of its inputs.
      conductance: of its rows.
    """

    hardware: Hardware
    settings: Settings
    activity: Activity
    conductance: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """What one inference takes on the hardware; what stays digital is not counted.

    Attributes:
      layers: by path. They run one after another, each on arrays of its own.
      extrapolated: a sentence for every number beyond the range of its model; empty unless that was asked for.
    """

    layers: dict[str, LayerEstimate]
    extrapolated: tuple[str, ...] = ()

    @property
    def stages(self) -> list[Stage]:
        """For `imcjax.cost.schedule`."""
        return [layer.stage for layer in self.layers.values()]

    def writing(self, pulses: programming.Pulses) -> programming.Writing:
        """What it takes to write the weights, once: V^2 G t of every cell in use, at the conductance that it gets.

        Raises:
          UserError: numbers out of range.
        """
        energy, time = {}, {}
        for path, layer in self.layers.items():
            work, hardware, siemens = layer.work, layer.measured.hardware, np.asarray(layer.measured.conductance)
            lines = hardware.encoding.rows_per_input  # of which `conductance` has the mean
            energy[path] = float(programming.energy_j(siemens.sum() * lines * work.replicas, pulses))
            time[path] = float(programming.time_s(work.tiling(hardware).tile_rows * lines, pulses))
        count = float(pulses.count)
        rewrites = None if pulses.endurance is None else float(pulses.endurance) / count if count else float("inf")
        return programming.Writing(energy, time, rewrites)

    @property
    def total(self) -> Cost:
        """All layers together, by component."""
        return total(layer.cost for layer in self.layers.values())

    @property
    def energy_j(self) -> float:
        """Joule per inference."""
        return float(self.total.energy_j)

    @property
    def latency_s(self) -> float:
        """Second per inference."""
        return float(self.total.latency_s)

    @property
    def area_m2(self) -> float:
        """Square metre."""
        return float(self.total.area_m2)

    def __str__(self) -> str:
        console = Console(width=110, file=io.StringIO(), record=True)
        console.print(self._by_layer())
        console.print(self._by_component())
        for sentence in self.extrapolated:
            console.print(sentence, highlight=False)
        return console.export_text()

    def _by_layer(self) -> Table:
        table = Table(title="One inference, by layer", show_footer=True)
        whole = self.total
        for title, footer in (
            ("layer", "all"),
            ("matrix", ""),
            ("positions", ""),
            ("bits w/x/ADC", ""),
            ("energy, J", _short(whole.energy_j)),
            ("latency, s", _short(whole.latency_s)),
            ("area, m^2", _short(whole.area_m2)),
            ("hardware", ""),
        ):
            table.add_column(title, footer)
        for path, layer in self.layers.items():
            work, bits = layer.work, layer.bits
            table.add_row(
                path or "(the model)",
                f"{work.n_in} x {work.n_out}" + (f" x {work.groups}" if work.groups > 1 else ""),
                str(work.positions),
                str(bits),
                _short(layer.cost.energy_j),
                _short(layer.cost.latency_s),
                _short(layer.cost.area_m2),
                layer.hardware,
            )
        return table

    def _by_component(self) -> Table:
        table = Table(title="By component")
        for title in ("component", "energy, J", "share", "area, m^2", "share"):
            table.add_column(title)
        whole = self.total
        for name, energy in whole.energy.items():
            cells = [name, _short(energy), f"{float(energy / whole.energy_j):.1%}", "-", "-"]
            if name in whole.area:
                area = whole.area[name]
                cells[3:] = [_short(area), f"{float(area / whole.area_m2):.1%}"]
            table.add_row(*cells)
        return table


def estimate(
    model: Any,
    sample: Any,
    *,
    hardware: Hardware | None = None,
    converter: AdcCost | None = None,
    extrapolate: bool = False,
) -> Estimate:
    """Energy, latency and area of one inference of a model.

    Widths are those that the layers have now, rounded to whole numbers; ranges too: until `imcjax.calibrate` has set them, they
    are the largest magnitudes of the weights and of the sample, and inputs count as signed.

    Args:
      model: a converted nnx model (`imcjax.convert`), or a plain one with `hardware`.
      sample: (batch, ...) inputs of the model; how strongly the rows of the arrays are driven is measured on it.
      hardware: where the layers of a plain model are put, all of them.
      converter: the model of the ADC, one of `imcjax.cost.adc`; None: the usual one.
      extrapolate: go on beyond the ranges of the models, and say so in the estimate.

    Raises:
      UserError: a model without layers on hardware, or with some and `hardware`; hardware with a continuous stage; a sample
        with values that are not finite.
    """
    from imcjax import nn  # with it comes Flax, which the rest of the cost model does without

    if hardware is not None:
        if nn.operators(model):
            raise UserError("The model has layers on hardware already; leave out hardware, or give the model before convert.")
        model = nn.convert(model, hardware)
    operators = nn.operators(model)
    if not operators:
        raise UserError("The model has no layer on hardware; convert it first with imcjax.convert, or give hardware.")
    found, seen = nn.layers(model), nn.record_inputs(model, [sample])
    choices = {"converter": converter, "extrapolate": extrapolate}
    layers = {path: _layer(path, hook, nn.matrices(found[path]), seen[path], choices) for path, hook in operators.items()}
    return _whole(layers, choices)


def again(found: Estimate, change: Callable[[Hardware, Bits], tuple[Hardware, Bits]], **choices: Any) -> Estimate:
    """The estimate with other hardware or widths, from the same statistics: conductances and row voltages stay.

    Args:
      found: as `estimate` gave it.
      change: (hardware, bits) of a layer -> the changed ones. It must leave weights and voltages alone: it may change the
        ADC, the technology, and input widths within the measured ones.
      **choices: converter and extrapolate, as for `estimate`.

    Raises:
      UserError: as `estimate`.
    """
    layers = {}
    for path, layer in found.layers.items():
        hardware, bits = change(layer.measured.hardware, layer.bits)
        measured = dataclasses.replace(layer.measured, hardware=hardware)
        layers[path] = _costed(layer.work, bits, measured, choices)
    return _whole(layers, choices)


def _whole(layers: dict[str, LayerEstimate], choices: dict[str, Any]) -> Estimate:
    said = {
        f"{path or 'the model'}: {sentence}": None
        for path, layer in layers.items()
        for sentence in extrapolations(layer.bits, layer.measured.hardware, choices.get("converter"))
    }
    costs = leakage.spread(
        [layer.cost for layer in layers.values()], [layer.measured.hardware.technology for layer in layers.values()]
    )
    found = {
        path: dataclasses.replace(layer, cost=jax.device_get(cost))
        for (path, layer), cost in zip(layers.items(), costs, strict=True)
    }
    return Estimate(found, tuple(said))


def _layer(path: str, operator: Any, weights: jax.Array, seen: Any, choices: dict[str, Any]) -> LayerEstimate:
    groups, n_in, n_out = weights.shape
    hardware, settings = operator.technology, complete(operator.settings(), operator.technology)
    work = Work(path, n_in, n_out, groups, seen.positions, settings.input_signed, settings.replicas)
    if np.ndim(settings.adc_bits):
        raise UserError(
            f"Layer {path!r} has ADC widths of its own for each of {np.size(settings.adc_bits)} groups of columns; an estimate "
            "has one a layer. Give settings.adc_bits one number, or count with imcjax.codesign.conversion_energy."
        )
    bits = Bits(settings.weight_bits, settings.input_bits, settings.adc_bits)
    activity, conductance = _statistics(jnp.asarray(seen.inputs), weights, hardware, settings)
    return _costed(work, bits, Measured(hardware, settings, activity, conductance), choices)


def _costed(work: Work, bits: Bits, measured: Measured, choices: dict[str, Any]) -> LayerEstimate:
    hardware = measured.hardware
    cost = layer_cost(work, bits, measured.activity, measured.conductance, hardware, hard=True, **choices)
    whole = jax.tree.map(lambda b: float(np.round(b)), bits)
    return LayerEstimate(work, whole, hardware.name, jax.device_get(cost), measured)


@jax.jit
def _statistics(x: jax.Array, w: jax.Array, hardware: Hardware, settings: Settings) -> tuple[Activity, jax.Array]:
    return measure(x, settings, hardware), row_conductance(w, hardware, settings)


def _short(value: Any) -> str:
    return f"{float(value):.3g}"
