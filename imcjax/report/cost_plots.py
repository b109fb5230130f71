"""Figures of a cost estimate: energy and area by layer and component, roofline, sensitivities, a sweep."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from imcjax.report import style
from imcjax.report.layer_plots import component_looks, components
from imcjax.report.units import prefix


_ROOFS = {"compute": ("^", "#009e73"), "memory": ("s", "#e69f00"), "adc": ("v", "#d55e00")}


@style.quiet
def area_plot(result: dict[str, Any]) -> Figure:
    """Area of each layer, stacked by component."""
    layers = result["layers"]
    figure = style.figure(1.5 + 0.4 * max(len(layers), 1))
    axes = figure.add_subplot()
    parts = components(layers, "area")
    divisor, unit = prefix([layer["area_m2"] for layer in layers], "m²")
    left, looks = np.zeros(len(layers)), component_looks(parts)
    for name, values in parts.items():
        widths = np.array(values) / divisor
        axes.barh(range(len(layers)), widths, left=left, height=0.62, edgecolor=style.PAPER, label=name, **looks[name])
        left += widths
    style.name_rows(axes, [layer["path"] for layer in layers])
    axes.grid(axis="x")
    axes.set_xlabel(f"area ({unit})")
    axes.set_title("Area by layer")
    figure.legend(loc="outside lower center", ncols=6, handlelength=1.2, columnspacing=1.2)
    return figure


@style.quiet
def roofline_plot(roofs: Sequence[dict[str, Any]]) -> Figure:
    """Operations a second over operations per bit moved: each layer as a dot under its three roofs."""
    figure = style.figure(4.2)
    axes = figure.add_subplot()
    for place, roof in enumerate(roofs):
        heights = [roof[name] for name in _ROOFS]
        axes.vlines(roof["intensity"], roof["reached"], max(heights), color=style.GRID, linewidth=1.2)
        for name, (marker, colour) in _ROOFS.items():
            label = f"{name.upper() if name == 'adc' else name} roof" if place == 0 else None
            axes.plot(roof["intensity"], roof[name], marker=marker, color=colour, ls="none", markersize=6, label=label)
        axes.plot(
            roof["intensity"], roof["reached"], "o", color=style.CODESIGN, label="reached" if place == 0 else None, markersize=6
        )
        words = {"textcoords": "offset points", "size": 8}
        axes.annotate(style.short(roof["path"] or "model"), (roof["intensity"], roof["reached"]), (6, -3), **words)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.15)
    axes.grid(visible=True)
    axes.set_xlabel("operations per bit moved")
    axes.set_ylabel("operations a second")
    axes.set_title("Roofline, one copy of the weights")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@style.quiet
def sensitivity_plot(elasticities: dict[str, float], most: int = 16) -> Figure:
    """How many percent the energy changes for one percent of a number, the largest first."""
    shown = list(elasticities.items())[:most]
    figure = style.figure(1.1 + 0.27 * max(len(shown), 1))
    axes = figure.add_subplot()
    for row, (_, value) in enumerate(shown):
        axes.barh(row, value, height=0.6, color=style.BASELINE if value > 0 else style.CODESIGN)
        axes.annotate(
            f"{value:+.2f}", (value, row), (4 if value >= 0 else -4, 0), textcoords="offset points", va="center", size=8,
            ha="left" if value >= 0 else "right",
        )  # fmt: skip
    style.name_rows(axes, [name for name, _ in shown])
    axes.axvline(0, color=style.MUTED, linewidth=0.8)
    axes.margins(x=0.15)
    axes.grid(axis="x")
    axes.set_xlabel("percent of energy per percent")
    axes.set_title("What the energy depends on")
    return figure


@style.quiet
def sweep_plot(name: str, rows: Sequence[dict[str, Any]]) -> Figure:
    """Energy, latency and area over the swept number, relative to the first."""
    figure = style.figure(3.4)
    axes = figure.add_subplot()
    values = [row["value"] for row in rows]
    for what, colour in (("energy_j", style.CODESIGN), ("latency_s", style.BASELINE), ("area_m2", "#009e73")):
        axes.plot(values, [row[what] / rows[0][what] for row in rows], "o-", color=colour, label=what.split("_")[0])
    axes.grid(visible=True)
    axes.set_yscale("log")
    axes.set_xlabel(name)
    axes.set_ylabel(f"relative to {name} = {values[0]:g}")
    axes.set_title(f"Sweep of {name}")
    axes.legend()
    return figure
