"""estimate: what an inference of a whole model takes, layer by layer and component by component."""

import dataclasses
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from imcjax.cost.activity import Activity, measure, row_conductance
from imcjax.cost.layer import Cost, layer_cost, total
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


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """What one inference takes on the hardware; what stays digital is not counted.

    Attributes:
      layers: by path. They run one after another, each on arrays of its own.
    """

    layers: dict[str, LayerEstimate]

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
                f"{bits.weight:g}/{bits.input:g}/{bits.adc:g}",
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


def estimate(model: Any, sample: Any, *, hardware: Hardware | None = None) -> Estimate:
    """Energy, latency and area of one inference of a model.

    Widths are those that the layers have now, rounded to whole numbers; ranges too: until `imcjax.calibrate` has set them, they
    are the largest magnitudes of the weights and of the sample, and inputs count as signed.

    Args:
      model: a converted nnx model (`imcjax.convert`), or a plain one with `hardware`.
      sample: (batch, ...) inputs of the model; how strongly the rows of the arrays are driven is measured on it.
      hardware: where the layers of a plain model are put, all of them.

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
    layers = {path: _layer(path, hook, nn.matrices(found[path]), seen[path]) for path, hook in operators.items()}
    return Estimate(layers)


def _layer(path: str, operator: Any, weights: jax.Array, seen: Any) -> LayerEstimate:
    groups, n_in, n_out = weights.shape
    hardware, settings = operator.technology, complete(operator.settings(), operator.technology)
    work = Work(path, n_in, n_out, groups, seen.positions, settings.input_signed)
    bits = Bits(settings.weight_bits, settings.input_bits, settings.adc_bits)
    activity, conductance = _statistics(jnp.asarray(seen.inputs), weights, hardware, settings)
    cost = layer_cost(work, bits, activity, conductance, hardware, hard=True)
    whole = jax.tree.map(lambda b: float(np.round(b)), bits)
    return LayerEstimate(work, whole, hardware.name, jax.device_get(cost))


@jax.jit
def _statistics(x: jax.Array, w: jax.Array, hardware: Hardware, settings: Settings) -> tuple[Activity, jax.Array]:
    return measure(x, settings, hardware), row_conductance(w, hardware, settings)


def _short(value: Any) -> str:
    return f"{float(value):.3g}"
