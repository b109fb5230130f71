"""The figure of the result: how accurate the chips are, each of them."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from imcjax.report import style
from imcjax.report.units import bits_text, percent, si, spread


@style.quiet
def accuracy_plot(result: dict[str, Any]) -> Figure:
    """Test accuracy of every simulated chip, against the uniform baseline's spread and the float network."""
    accuracy, uniform = result["accuracy"], result.get("uniform_baseline") or {}
    groups = [
        ("co-designed", accuracy.get("chips"), result.get("energy_j"), style.CODESIGN),
        (
            "uniform " + bits_text(uniform.get("bits")),
            accuracy.get("uniform_baseline"),
            uniform.get("energy_j"),
            style.BASELINE,
        ),
    ]
    groups = [group for group in groups if group[1] and group[1].get("mean") is not None]
    figure = style.figure(0.9 + 0.95 * max(len(groups), 1))
    axes = figure.add_subplot()
    low, high = _accuracy_range([group[1] for group in groups], accuracy.get("float"))
    axes.set_xlim(low, high)
    for row, (_, summary, _, colour) in enumerate(groups):
        mean, std, values = 100 * summary["mean"], 100 * (summary.get("std") or 0.0), _values(summary)
        axes.scatter(values, row - 0.08 - _heights(values, (high - low) / 60), s=16, color=colour, alpha=0.75, linewidths=0)
        axes.errorbar(mean, row + 0.08, xerr=std or None, fmt="D", color=colour, capsize=4, ms=5)
        words = {"ha": "center", "va": "top", "size": 8.5, "bbox": style.BACKED}
        axes.annotate(spread(summary), (mean, row + 0.08), (0, -8), textcoords="offset points", **words)
    if accuracy.get("float") is not None:
        top = 100 * accuracy["float"]
        axes.axvline(top, color=style.INK, linestyle=(0, (5, 3)), linewidth=1.1)
        words = f"float {percent(accuracy['float'])}"
        axes.annotate(
            words, (top, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", size=8.5
        )
    style.name_rows(axes, [""] * len(groups))
    axes.set_yticks(range(len(groups)), labels=[f"{name}\n{_chips(s)}, {si(energy, 'J')}" for name, s, energy, _ in groups])
    axes.set_ylim(len(groups) - 0.5, -0.8)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("test accuracy (%); diamond and bar: mean ± standard deviation over chips")
    axes.set_title("Accuracy over chips", pad=16)
    return figure


def _chips(summary: dict[str, Any]) -> str:
    n = summary.get("n")
    return f"{n} chip" if n == 1 else f"{n} chips"


def _values(summary: dict[str, Any]) -> np.ndarray:
    return 100 * np.array([value for value in summary.get("values") or [] if value is not None], dtype=float)


def _accuracy_range(summaries: list[dict[str, Any]], reference: float | None) -> tuple[float, float]:
    """(low, high) percent that show every dot and bar with some room, never less than a point wide."""
    seen = [np.zeros(0) if reference is None else np.array([100 * reference])]
    for summary in summaries:
        mean, std = 100 * summary["mean"], 100 * (summary.get("std") or 0.0)
        seen += [_values(summary), np.array([mean - std, mean + std])]
    every = np.concatenate(seen)
    low, high = (every.min(), every.max()) if every.size else (0.0, 100.0)
    room = 0.12 * max(high - low, 1.0)
    return low - room, high + room


def _heights(values: np.ndarray, width: float) -> np.ndarray:
    """How far to lift each dot so that dots closer than `width` stand on one another: a histogram made of chips."""
    columns = np.round(values / width)
    ranks = np.array([np.sum(columns[:i] == columns[i]) for i in range(len(values))], dtype=float)
    return ranks * min(0.1, 0.5 / max(ranks.max(initial=0.0), 1.0))
