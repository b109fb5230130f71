"""summary: what of a model is on hardware, and how."""

import dataclasses
import io
from typing import Any

from flax import nnx
from rich.console import Console
from rich.table import Table

from imcjax import layout
from imcjax.nn.batchnorm import Identity
from imcjax.nn.calibrate import matrices
from imcjax.nn.convert import layers, operators
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
      bits: weight, input and ADC bits, None where the stage is continuous.
      ranges: "static", or "dynamic" while the input range follows each call's largest input.
      hardware: name of the technology.
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


@dataclasses.dataclass(frozen=True)
class Summary:
    """Layers on hardware, and the modules that stay digital."""

    layers: list[LayerSummary]
    digital: list[str]

    def __str__(self) -> str:
        console = Console(width=110, file=io.StringIO(), record=True)
        table = Table(title="On hardware")
        for title in ("layer", "matrix", "tiles", "arrays", "utilisation", "bits w/x/ADC", "ranges", "hardware"):
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
                layer.ranges,
                layer.hardware,
            )
        console.print(table)
        console.print(f"digital: {', '.join(self.digital) or 'nothing else'}")
        return console.export_text()


def summary(model: Any) -> Summary:
    """Layers on hardware with tiles, arrays, utilisation, bit-widths and ranges; and what stays digital."""
    found = layers(model)
    hooks = operators(model)
    rows = []
    for path, operator in hooks.items():
        hardware, settings = operator.technology, operator.settings()
        groups, n_in, n_out = matrices(found[path]).shape
        tiling = layout.tiling((n_in, n_out), hardware)
        widest = hardware.encoding.slices if operator.slices is None else operator.slices
        used = None if settings.weight_bits is None else round(float(settings.weight_bits))
        slices = widest if used is None else min(widest, hardware.encoding.count(used))
        rows.append(
            LayerSummary(
                path=path,
                shape=(groups, n_in, n_out),
                arrays=groups * slices * hardware.encoding.cells * tiling.row_tiles * tiling.col_tiles * operator.replicas,
                row_tiles=tiling.row_tiles,
                col_tiles=tiling.col_tiles,
                replicas=operator.replicas,
                utilisation=tiling.utilisation,
                bits=tuple(None if (b := getattr(settings, name)) is None else float(b) for name in BITS),
                ranges="dynamic" if settings.input_range is None else "static",
                hardware=hardware.name,
            )
        )
    digital = []
    for parts, module in nnx.iter_modules(model):
        path = "/".join(str(part) for part in parts)
        inside = any(path == hook or path.startswith(f"{hook}/") for hook in hooks)
        leaf = not any(isinstance(child, nnx.Module) for _, child in nnx.iter_children(module))
        if path and leaf and not inside and not isinstance(module, Operator | Identity | nnx.List | nnx.Dict | nnx.Sequential):
            digital.append(f"{path} ({type(module).__name__})")
    return Summary(rows, sorted(digital))
