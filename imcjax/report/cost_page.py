"""A cost estimate as tables for the terminal and as one page of HTML."""

import base64
import os
from html import escape
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from imcjax.files import write_bytes
from imcjax.report import style
from imcjax.report.cost_plots import area_plot, roofline_plot, sensitivity_plot, sweep_plot
from imcjax.report.html import document
from imcjax.report.layer_plots import energy_plot
from imcjax.report.units import percent, si


UNITS = {
    "throughput": "inferences/s",
    "edp": "energy-delay product, J s",
    "tops": "TOPS",
    "tops_per_watt": "TOPS/W",
    "tops_per_mm2": "TOPS/mm²",
    "fj_per_mac": "fJ/MAC",
}
CAPTIONS = {
    "energy": "Where one inference spends its energy: each layer by component.",
    "area": "Area of each layer by component.",
    "roofline": "A dot is what a layer reaches; above it is what its arrays, its buffer and its ADCs would allow alone.",
    "sensitivity": "Elasticity of the energy: what to improve first. Numbers that are zero have none.",
    "sweep": "One number of the hardware over a range.",
}


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """The figures of a result, by name."""
    found = {"energy": energy_plot(result), "area": area_plot(result), "roofline": roofline_plot(result["roofline"])}
    found["sensitivity"] = sensitivity_plot(result["elasticities"])
    if result.get("sweep"):
        found["sweep"] = sweep_plot(result["sweep"]["name"], result["sweep"]["rows"])
    return found


def tables(result: dict[str, Any]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """(heads, rows) of every table, by title."""
    costs = (("energy_j", "J"), ("latency_s", "s"), ("area_m2", "m²"))
    layers = [
        [entry["path"] or "(the model)", entry["size"], entry["bits"], *(si(entry[name], unit) for name, unit in costs)]
        for entry in [*result["layers"], result | {"path": "all", "size": "", "bits": ""}]
    ]
    parts = [
        [
            name,
            si(result["energy"][name], "J"),
            percent(result["energy"][name] / result["energy_j"]),
            si(result["area"].get(name), "m²"),
            percent(result["area"][name] / result["area_m2"]) if name in result["area"] else "",
        ]
        for name in result["energy"]
    ]
    found = {
        "By layer": (["layer", "size", "bits w/x/ADC", "energy", "latency", "area"], layers),
        "By component": (["component", "energy", "share", "area", "share"], parts),
        "Elasticity of the energy": (
            ["number", "percent per percent"],
            [[name, f"{value:+.3f}"] for name, value in list(result["elasticities"].items())[:12]],
        ),
        "Roofs": (
            ["layer", "op/bit", "reached", "arrays", "buffer", "ADC", "bound by"],
            [
                [r["path"] or "(the model)", f"{r['intensity']:.3g}"]
                + [si(r[name], "op/s") for name in ("reached", "compute", "memory", "adc")]
                + [r["bound"]]
                for r in result["roofline"]
            ],
        ),
    }
    schedule = result.get("schedule")
    if schedule:
        names = UNITS | {f"{name}_1b": f"{unit} (1b-1b)" for name, unit in UNITS.items() if name.startswith(("tops", "fj"))}
        rows = [[names[name], f"{value:.4g}"] for name, value in schedule["figures"].items()]
        rows += [[name, str(schedule[name])] for name in ("tiles", "chips", "copies")]
        rows += [["utilisation", percent(schedule["utilisation"])], ["stages", ", ".join(schedule["stages"])]]
        rows += [["energy of an inference", si(schedule["energy_j"], "J")]]
        extra = {"transport_j": "transport", "leakage_j": "leakage", "dram_j": "DRAM", "rewrite_j": "writing weights anew"}
        rows += [[f"of it {what}", si(schedule[name], "J")] for name, what in extra.items() if schedule[name]]
        rows += [["area of the tiles in use", si(schedule["area_m2"], "m²")]]
        found[f"On {schedule['architecture']}"] = (["figure", "value"], rows)
    writing = result.get("writing")
    if writing:
        rows = [
            [entry["path"] or "(the model)", si(entry["energy_j"], "J"), si(entry["time_s"], "s")]
            for entry in writing["layers"]
        ]
        rows += [["all", si(writing["energy_j"], "J"), si(writing["time_s"], "s")]]
        rows += [["as much as inferences", f"{writing['inferences']:.3g}", ""]]
        if writing["rewrites"] is not None:
            rows += [["times until cells wear out", f"{writing['rewrites']:.3g}", ""]]
        found["Writing the weights, once"] = (["layer", "energy", "time"], rows)
    if result.get("sweep"):
        sweep = result["sweep"]
        rows = [[f"{row['value']:g}", *(si(row[name], unit) for name, unit in costs)] for row in sweep["rows"]]
        found[f"Sweep of {sweep['name']}"] = ([sweep["name"], "energy", "latency", "area"], rows)
    return found


def cost_tables(result: dict[str, Any]) -> list[Table]:
    """The tables for the terminal."""
    shown = []
    for title, (heads, rows) in tables(result).items():
        table = Table(*heads, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        shown.append(table)
    return shown


def cost_page(result: dict[str, Any]) -> str:
    """The page: tables and figures, nothing from elsewhere."""
    what = f"{result['model']} on {result['hardware']}"
    parts = []
    for name, figure in figures(result).items():
        data = base64.b64encode(style.png(figure)).decode("ascii")
        caption = escape(CAPTIONS[name])
        picture = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        parts.append(f"<figure>\n{picture}\n<figcaption>{caption}</figcaption>\n</figure>")
    for title, (heads, rows) in tables(result).items():
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
        lines = "\n".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
        table = f'<table class="numbers">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>'
        parts.append(f'<section>\n<h2>{escape(title)}</h2>\n<div class="wide">{table}</div>\n</section>')
    notes = "".join(f'<p class="note">{escape(text)}</p>\n' for text in (*result["extrapolated"], *result["conventions"]))
    headline = ", ".join(si(result[name], unit) for name, unit in (("energy_j", "J"), ("latency_s", "s"), ("area_m2", "m²")))
    return document(f"imcjax: cost of {what}", f"Cost of {what}", headline, notes, "\n".join(parts))


def write_cost_page(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the page to `path`, in one step."""
    write_bytes(path, cost_page(result).encode("utf-8"))
