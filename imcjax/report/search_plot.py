"""The figure of the search: how loss, accuracy, energy and bits came to be what they are."""

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from imcjax.report import style
from imcjax.report.units import percent, prefix, si


Row = dict[str, Any]


@style.quiet
def search_plot(result: dict[str, Any], history: Sequence[Row]) -> Figure:
    """Loss, accuracy, energy against target and budget, and the bits of each layer, over the steps of all phases."""
    if not history:
        figure = style.figure(1.5)
        style.say(figure.add_subplot(), "no history was recorded")
        return figure
    x, parts = _timeline(history)
    paths = list(dict.fromkeys(path for row in history for path in row.get("bits") or {}))
    curves = ["loss", *(name for name in ("accuracy", "energy_j") if any(row.get(name) is not None for row in history))]
    kinds = list(style.BITS) if paths else []
    heights = [1.45] * len(curves) + [0.22 * len(paths)] * len(kinds)
    figure = style.figure(0.9 + 0.3 * len(heights) + sum(heights))
    panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    for axes, name in zip(panels, curves):
        {"loss": _loss, "accuracy": _accuracy, "energy_j": _energy}[name](axes, x, history, parts, result)
        for i, part in enumerate(parts):
            axes.axvspan(x[part.start], _end(x, part), color=style.INK, alpha=0.045 * (i % 2), linewidth=0, zorder=0)
    _name_phases(panels[0], x, history, parts)
    if kinds:
        _bits(panels[len(curves) :], x, history, paths)
    panels[0].set_title("Search history", pad=28)
    panels[-1].spines["bottom"].set_visible(True)
    panels[-1].tick_params(axis="x", length=3.5)
    panels[-1].set_xlabel("step")
    panels[-1].set_xlim(x[0], max(x[-1], _end(x, parts[-1])) + (x[-1] == x[0]))
    return figure


def _timeline(history: Sequence[Row]) -> tuple[np.ndarray, list[slice]]:
    """Where each row stands when the phases follow one another, and the rows of each stretch without a break.

    A new phase, or a step that does not grow, starts a stretch; one that counts from its own zero goes on after the last.
    """
    x, starts, offset = [float(history[0]["step"])], [0], 0.0
    for i, (before, row) in enumerate(itertools.pairwise(history), start=1):
        if row["step"] <= before["step"]:
            offset = x[-1]
        if row["step"] <= before["step"] or row["phase"] != before["phase"]:
            starts.append(i)
        x.append(offset + row["step"])
    return np.array(x), [slice(*ends) for ends in itertools.pairwise([*starts, len(history)])]


def _end(x: np.ndarray, part: slice) -> float:
    """Where a stretch ends: where the next begins."""
    return float(x[min(part.stop, len(x) - 1)])


def _column(history: Sequence[Row], name: str) -> np.ndarray:
    return np.array([np.nan if row.get(name) is None else row[name] for row in history], dtype=float)


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, parts: list[slice], label: str | None = None, **look: Any) -> None:
    """One line a stretch, as the same quantity need not go on between them; a stretch of one point shows as a dot."""
    for i, part in enumerate(parts):
        known = np.isfinite(y[part])
        marker = "o" if known.sum() == 1 else None
        axes.plot(
            x[part][known], y[part][known], marker=marker, clip_on=marker is None, label=label if i == 0 else None, **look
        )


def _log_where_wide(axes: Axes, y: np.ndarray) -> None:
    y = y[np.isfinite(y)]
    if y.size and y.min() > 0 and y.max() > 20 * y.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _loss(axes: Axes, x: np.ndarray, history: Sequence[Row], parts: list[slice], result: dict[str, Any]) -> None:
    loss = _column(history, "loss")
    _draw(axes, x, loss, parts, color=style.CODESIGN)
    _log_where_wide(axes, loss)
    axes.set_ylabel("loss")
    axes.grid(axis="y")


def _accuracy(axes: Axes, x: np.ndarray, history: Sequence[Row], parts: list[slice], result: dict[str, Any]) -> None:
    _draw(axes, x, 100 * _column(history, "accuracy"), parts, color=style.CODESIGN)
    axes.set_ylabel("accuracy (%)")
    axes.grid(axis="y")


def _energy(axes: Axes, x: np.ndarray, history: Sequence[Row], parts: list[slice], result: dict[str, Any]) -> None:
    energy, target = _column(history, "energy_j"), _column(history, "target_j")
    budget = result.get("budget") or {}
    limit = budget.get("energy_j")
    divisor, unit = prefix([*energy, *target, limit], "J")
    _draw(axes, x, energy / divisor, parts, "energy", color=style.CODESIGN)
    if np.isfinite(target).any():
        _draw(axes, x, target / divisor, parts, "target", color=style.INK, linestyle=(0, (4, 2)), linewidth=1.1)
    if limit is not None:
        share = f" ({percent(budget['fraction'], 0)})" if budget.get("fraction") is not None else ""
        axes.axhline(limit / divisor, color=style.BASELINE, linewidth=1.1, zorder=1.5, label=f"budget {si(limit, 'J')}{share}")
    axes.set_ylabel(f"energy ({unit})")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # room for the legend
    axes.grid(axis="y")
    axes.legend(loc="upper right", ncols=3)


def _name_phases(axes: Axes, x: np.ndarray, history: Sequence[Row], parts: list[slice]) -> None:
    """Each phase's name where it begins, on a second line where it would run into the name before."""
    end, span = -np.inf, max(x[-1] - x[0], 1.0)
    low = True
    before = None
    for part in parts:
        name, start = history[part.start]["phase"], x[part.start]
        if name == before:
            continue
        low = not low if start < end else True
        end, before = start + 0.016 * span * (len(name) + 1), name
        at = (2, 3 if low else 14)
        axes.annotate(name, (start, 1), at, xycoords=("data", "axes fraction"), textcoords="offset points", color=style.MUTED)


def _bits(panels: list[Axes], x: np.ndarray, history: Sequence[Row], paths: list[str]) -> None:
    """One strip a layer, brighter with more bits; the number stands wherever a new one begins and there is room for it."""
    table = np.full((3, len(paths), len(history)), np.nan)
    for i, row in enumerate(history):
        for path, bits in (row.get("bits") or {}).items():
            table[:, paths.index(path), i] = [np.nan if b is None else round(b) for b in bits]
    known = table[np.isfinite(table)]
    shade = Normalize(known.min() - 1, known.max() + 1) if known.size else Normalize(0, 1)
    colours = matplotlib.colormaps["cividis"]
    ends = np.append(x[1:], x[-1])  # what a row says holds until the next row
    room = 0.02 * (x[-1] - x[0])
    for axes, name, rows in zip(panels, ("weight", "input", "ADC"), table, strict=True):
        for level, values in enumerate(rows):
            for start, stop in _runs(values):
                left, width = x[start], ends[stop - 1] - x[start]
                colour = colours(shade(values[start]))
                axes.barh(level, width, left=left, height=0.84, color=colour, linewidth=0)
                if width > room:
                    ink = style.PAPER if shade(values[start]) < 0.5 else style.INK
                    axes.text(left + 0.2 * room, level, f"{values[start]:g}", color=ink, size=7.5, va="center")
            last = values[np.isfinite(values)][-1:]
            if last.size:
                at = axes.get_yaxis_transform()
                axes.text(1.01, level, f"{last[0]:g}", transform=at, size=8.5, va="center", weight="bold")
        style.name_rows(axes, paths)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.set_title(f"{name} bits", size=9, weight="normal", pad=2)


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each stretch of one and the same number; what is not a number belongs to none."""
    changes = np.flatnonzero(np.diff(values) != 0) + 1  # NaN differs from all, itself too
    bounds = itertools.pairwise([0, *changes.tolist(), len(values)])
    return [(start, stop) for start, stop in bounds if np.isfinite(values[start])]
