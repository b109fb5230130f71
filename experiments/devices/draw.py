"""The picture: a row for each preset, four panels."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.devices.measure import points
from imcjax.report import style


PANELS = {
    "program": "error as programmed, % of g_max",
    "mean": "mean over time, % of g_max",
    "spread": "spread over time, % of g_max",
    "read": "read noise, % of g_max",
}
COLOURS = ("#56b4e9", "#009e73", "#d55e00")
CIRCLES = {"marker": "o", "markersize": 3.5, "markerfacecolor": "none", "linestyle": "none"}
DASHES = {"linestyle": (0, (4, 3)), "color": style.INK, "linewidth": 0.9}
TIMES = {1: "1 s", 60: "1 min", 3600: "1 h", 86400: "1 day", 365.25 * 86400: "1 year"}


def png(rows: list[dict[str, Any]]) -> bytes:
    """The picture of what `measure` found, as a PNG file."""
    return style.png(draw(rows), dpi=110)


@style.quiet
def draw(rows: list[dict[str, Any]]) -> Figure:
    """A figure with a row for each preset. Lines are imcjax, circles sampled references, dashes laws in closed form."""
    figure = Figure(figsize=(1.6 * style.WIDTH, 1.5 * len(rows) + 0.8), layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        _row(dict(zip(PANELS, axes, strict=True)), row)
    for axis, title in zip(grid[0], PANELS.values(), strict=True):
        axis.set_title(title, fontsize=9)
    for panel, axis in zip(PANELS, grid[-1], strict=True):
        axis.set_xlabel("after programming" if panel in ("mean", "spread") else "target / g_max")
    return figure


def _row(axes: dict[str, Any], row: dict[str, Any]) -> None:
    axes["program"].plot(row["target"], 100 * row["program"], color=style.CODESIGN)
    for name, line, label in zip(("solid", "dotted"), row["read"], ("as programmed", "at the end"), strict=True):
        axes["read"].plot(row["target"], 100 * line, color=style.CODESIGN, linestyle=name, label=label)
    for i, (level, colour) in enumerate(zip(row["levels"], COLOURS, strict=True)):
        axes["mean"].plot(row["times"], 100 * row["mean"][:, i], color=colour, label=f"{level:.2g} g_max")
        axes["spread"].plot(row["times"], 100 * row["spread"][:, i], color=colour)
    for reference in row["references"]:
        for panel, x, y, level in points(reference, row):
            colour = COLOURS[level] if panel in ("mean", "spread") else style.BASELINE
            look = CIRCLES if reference.sampled else DASHES
            axes[panel].plot(x, 100 * y, **({"color": colour} | look))
    said = [reference.label for reference in row["references"]] or ["no reference"]
    axes["program"].set_ylabel("\n".join([row["name"], *said]), fontsize=7)
    for panel, axis in axes.items():
        axis.grid(visible=True)
        axis.set_ylim(bottom=0)
        if axis.get_ylim()[1] < 0.1:
            axis.set_ylim(0, 0.1)
        if panel in ("mean", "spread"):
            axis.set_xscale("log")
            shown = {time: text for time, text in TIMES.items() if time <= row["times"][-1] * 1.01}
            axis.set_xticks(list(shown), list(shown.values()), fontsize=7)
            axis.minorticks_off()
    if np.ptp(row["mean"]) > 0:
        axes["mean"].legend(fontsize=6, loc="best")
    axes["read"].legend(fontsize=6, loc="best")
