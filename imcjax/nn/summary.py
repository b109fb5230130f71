"""summary: what of a model is on hardware, and how."""

import dataclasses
import io
from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.nnx import bridge
from rich.console import Console
from rich.table import Table

from imcjax import layout
from imcjax.nn.batchnorm import Identity
from imcjax.nn.hooks import Held, hook_name, layers, matrices, operators, placed
from imcjax.nn.linen import LinenOnHardware
from imcjax.nn.operator import BITS, Operator


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """One layer on hardware.

    Attributes:
      path: where it is in the model.
      shape: (groups, n_in, n_out) of its matrices.
      arrays: how many arrays it takes: slices in use x cells of a digit x tiles x groups x copies.
      row_tiles, col_tiles: tiles along inputs and outputs.
      replicas: copies of the layer.
      utilisation: cells that hold a weight, over all cells of its arrays.
      bits: weight, input and ADC bits, None where the stage is continuous; the mean where groups of columns differ.
      ranges: "static", or "dynamic" while the input range follows each call's largest input.
      hardware: name of the technology.
      dacs, adcs: converters of all its arrays, 0 where there is none: a DAC a row, an ADC for `share` columns of a slice.
      energy_j, latency_s, area_m2: of one inference; None without a sample.
    """

    path: str
    shape: tuple[int, int, int]
    arrays: int
    row_tiles: int
    col_tiles: int
    replicas: int
    utilisation: float
    bits: tuple[float | None, ...]
    ranges: str
    hardware: str
    dacs: int = 0
    adcs: int = 0
    energy_j: float | None = None
    latency_s: float | None = None
    area_m2: float | None = None


COSTS = {"energy_j": "energy, J", "latency_s": "latency, s", "area_m2": "area, m^2"}


@dataclasses.dataclass(frozen=True)
class Summary:
    """Layers on hardware, and the modules that stay digital."""

    layers: list[LayerSummary]
    digital: list[str]

    def __str__(self) -> str:
        costed = any(layer.energy_j is not None for layer in self.layers)
        console = Console(width=150 if costed else 110, file=io.StringIO(), record=True)
        table = Table(title="On hardware")
        for title in ("layer", "matrix", "tiles", "arrays", "utilisation", "bits w/x/ADC", "DAC/ADC", "ranges", "hardware"):
            table.add_column(title)
        for title in COSTS.values() if costed else ():
            table.add_column(title)
        for layer in self.layers:
            groups, n_in, n_out = layer.shape
            bits = "/".join("-" if b is None else f"{b:g}" for b in layer.bits)
            table.add_row(
                layer.path or "(the model)",
                f"{n_in} x {n_out}" + (f" x {groups}" if groups > 1 else ""),
                f"{layer.row_tiles} x {layer.col_tiles}" + (f" x {layer.replicas}" if layer.replicas > 1 else ""),
                str(layer.arrays),
                f"{layer.utilisation:.0%}",
                bits,
                f"{layer.dacs}/{layer.adcs}",
                layer.ranges,
                layer.hardware,
                *(f"{getattr(layer, name):.3g}" for name in (COSTS if costed else ())),
            )
        console.print(table)
        console.print(f"digital: {', '.join(self.digital) or 'nothing else'}", markup=False)
        return console.export_text()


def summary(model: Any, sample: Any = None) -> Summary:
    """Layers on hardware with tiles, arrays, utilisation, bit-widths, converters and ranges; and what stays digital.

    With a sample (batch, ...) of the model's inputs also what an inference costs, layer by layer (`imcjax.cost.estimate`).
    """
    found = layers(model)
    costs = {}
    if sample is not None:
        from imcjax import cost  # it uses this package

        costs = {path: layer.cost for path, layer in cost.estimate(model, sample).layers.items()}
    rows = [_row(path, found[path], operator, costs.get(path)) for path, operator in operators(model).items()]
    return Summary(rows, sorted(_digital(model)))


def _row(path: str, layer: Any, operator: Operator, cost: Any) -> LayerSummary:
    hardware, settings = operator.technology, operator.settings()
    groups, n_in, n_out = matrices(layer).shape
    tiling = layout.tiling((n_in, n_out), hardware)
    widest = hardware.encoding.slices if operator.slices is None else operator.slices
    used = None if settings.weight_bits is None else round(float(settings.weight_bits))
    slices = widest if used is None else min(widest, hardware.encoding.count(used))
    tiles = groups * tiling.row_tiles * tiling.col_tiles * operator.replicas
    arrays = slices * hardware.encoding.cells * tiles
    each = max(hardware.cols / float(hardware.adc.share), 1.0)
    return LayerSummary(
        path=path,
        shape=(groups, n_in, n_out),
        arrays=arrays,
        row_tiles=tiling.row_tiles,
        col_tiles=tiling.col_tiles,
        replicas=operator.replicas,
        utilisation=tiling.utilisation,
        bits=tuple(None if (b := getattr(settings, name)) is None else float(jnp.mean(b)) for name in BITS),
        ranges="dynamic" if settings.input_range is None else "static",
        hardware=hardware.name,
        dacs=0 if hardware.dac.input_bits is None else arrays * hardware.rows,
        adcs=0 if hardware.adc.bits is None else round(slices * tiles * each),
        **({} if cost is None else {name: float(getattr(cost, name)) for name in COSTS}),
    )


_REMARKS = {
    nnx.Embed: ", a table look-up",
    nnx.MultiHeadAttention: ": softmax and the products of queries, keys and values",
    bridge.ToNNX: ", a Linen model inside another: convert it by itself",
}
"""What stays digital and might be expected elsewhere."""


def _parameters(path: str, module: Any) -> list[str]:
    """Parameters that a module of others uses by itself: products with them are digital."""
    own = {name: value.get_value() for name, value in vars(module).items() if isinstance(value, nnx.Param)}
    return [f"{f'{path}/' if path else ''}{name} (Param {' x '.join(map(str, jnp.shape(v)))})" for name, v in own.items()]


def _digital(model: Any) -> list[str]:
    on_hardware = placed(model)
    linen = isinstance(model, LinenOnHardware)
    found = []
    for parts, module in nnx.iter_modules(model):
        path = "/".join(str(part) for part in parts)
        if isinstance(module, Held):
            if getattr(module, hook_name(module)) is None:
                found.append(f"{module.path} ({module.name})")
            continue
        inside = not linen and any(path == hook or path.startswith(f"{hook}/") for hook in on_hardware)
        inside = inside or isinstance(module, Operator | Identity | nnx.List | nnx.Dict | nnx.Sequential)
        leaf = not any(isinstance(child, nnx.Module) for _, child in nnx.iter_children(module))
        if linen and isinstance(module, bridge.ToNNX):
            found.append(f"{path} (ToNNX: all but the layers above)")
            continue
        if not inside and not leaf:
            found += _parameters(path, module)
        remark = next((text for kind, text in _REMARKS.items() if isinstance(module, kind)), None)
        if path and not inside and (leaf or remark is not None):
            found.append(f"{path} ({type(module).__name__}{remark or ''})")
    return found
