"""A result as tables: on the terminal, and as a Parquet file to compute with."""

import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.table import Table
from rich.text import Text

from imcjax.files import write_bytes
from imcjax.report.summary import key_figures
from imcjax.report.units import MISSING, percent, si


_WHOLE = ("weight_bits", "input_bits", "adc_bits", "n_in", "n_out", "positions", "arrays")
_REAL = {"utilisation": "1", "energy_j": "J", "latency_s": "s", "area_m2": "m^2"}


LEGEND = "size: inputs×outputs; uses: per inference; filled: cells; bits: weight/input/ADC"


def layer_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows): size, bits and cost of each layer, written out; the last row is the chip. `LEGEND` explains the heads."""
    heads = ["layer", "size", "uses", "arrays", "filled", "bits", "energy", "latency", "area"]
    layers = result["layers"]
    rows = [
        [
            layer["path"],
            f"{_whole(layer.get('n_in'))}×{_whole(layer.get('n_out'))}",
            _whole(layer.get("positions")),
            _whole(layer.get("arrays")),
            percent(layer.get("utilisation"), 0),
            "/".join(_whole(layer.get(f"{kind}_bits")) for kind in ("weight", "input", "adc")),
            *_costs(layer),
        ]
        for layer in layers
    ]
    arrays = sum(layer.get("arrays") or 0 for layer in layers)
    return heads, [*rows, ["whole chip", "", "", _whole(arrays), "", "", *_costs(result)]]


def layer_table(result: dict[str, Any]) -> Table:
    """The layers as a table for the terminal; 80 columns are enough."""
    heads, rows = layer_rows(result)
    table = Table(title="Layers", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.caption, table.caption_justify = LEGEND, "left"
    table.add_column(heads[0], overflow="fold", min_width=10)
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for place, row in enumerate(rows, start=1):
        # Text, as rich would read a path such as [red] as markup.
        table.add_row(*(Text(cell) for cell in row), end_section=place == len(rows) - 1)
    return table


def summary_table(result: dict[str, Any]) -> Table:
    """The key figures as a table for the terminal."""
    title = Text(
        f"{result.get('model', 'network')} on {result.get('data', 'data')}, seed {result.get('seed', MISSING)}", style="bold"
    )
    table = Table(title=title, title_justify="left", show_header=False, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for name, value in key_figures(result):
        table.add_row(Text(name), Text(value))
    return table


def layers_parquet(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write one row a layer to a Parquet file, in one step; SI units, named in the metadata of each column.

    Energy and area of the components become columns `energy_<component>` and `area_<component>`; a layer without the component
    has null there.
    """
    layers = result["layers"]
    columns = {"path": (pa.string(), "", [layer["path"] for layer in layers])}
    for name in _WHOLE:
        values = [None if layer.get(name) is None else round(layer[name]) for layer in layers]
        columns[name] = (pa.int64(), "1", values)
    for name, unit in _REAL.items():
        columns[name] = (pa.float64(), unit, [layer.get(name) for layer in layers])
    for of, unit in (("energy", "J"), ("area", "m^2")):
        for component in dict.fromkeys(name for layer in layers for name in layer.get(of) or {}):
            values = [(layer.get(of) or {}).get(component) for layer in layers]
            columns[f"{of}_{component}"] = (pa.float64(), unit, values)
    schema = pa.schema([pa.field(name, kind, metadata={"unit": unit}) for name, (kind, unit, _) in columns.items()])
    table = pa.table({name: pa.array(values, kind) for name, (kind, _, values) in columns.items()}, schema=schema)
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_bytes(path, buffer.getvalue().to_pybytes())


def _whole(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0f}"


def _costs(entry: dict[str, Any]) -> list[str]:
    return [si(entry.get("energy_j"), "J"), si(entry.get("latency_s"), "s"), si(entry.get("area_m2"), "m²")]
