"""What the study says: a row for each run (CSV), means over seeds (Markdown), accuracy against relative BOPs (picture)."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.lenet5_mnist import bits as widths
from imcjax.files import write_bytes, write_text
from imcjax.report import style


COLUMNS = (
    "method",
    "bound_percent",
    "seed",
    "status",
    "test",
    "validation",
    "bops_percent",
    "bops_other_percent",
    "reached",
    "searched_percent",
    "bits",
    "searched",
    "pruned",
    "cheapest_percent",
    "cheapest_bits",
    "seconds",
)
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#999999",
    "#332288",
    "#44aa99",
    "#882255",
    "#222222",
)


def save(rows: list[dict[str, Any]], folder: Path, head: str) -> None:
    """Write results.csv, results.md and accuracy.png into `folder`."""
    write_text(folder / "results.csv", table(rows))
    write_text(folder / "results.md", f"{head}\n{summary(rows)}")
    write_bytes(folder / "accuracy.png", style.png(draw(rows)))


def table(rows: list[dict[str, Any]]) -> str:
    """Every run, as CSV; lists are joined by blanks."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_text(row.get(name)) for name in COLUMNS])
    return buffer.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(f"{v:g}" for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def groups(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Runs that differ in their seeds alone, in the order of the bounds and then of the methods as they were run."""
    found: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["bound_percent"], row["method"]), []).append(row)
    return [found[key] for key in sorted(found, key=lambda key: np.inf if key[0] is None else key[0])]


def mean_and_std(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (0 for one value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


TESTED = 10_000
"""Images of the test set."""
ONE_SIDED = 1.645
"""Standard deviations that leave 5 % of a normal distribution on one side."""
TARGET = 99.30
"""Test accuracy, percent, that Bayesian Bits publishes at 0.36 % relative BOPs (README of the authors' code)."""


def lower_bound(accuracies: list[float]) -> float:
    """95 % lower bound, percent, of the accuracy of a method's designs: seeds differ, and are tested on the same images."""
    mean, std = mean_and_std(accuracies)
    p = mean / 100
    return mean - ONE_SIDED * 100 * np.sqrt(p * (1 - p) / TESTED + (std / 100) ** 2 / len(accuracies))


def cheapest(rows: list[dict[str, Any]]) -> str:
    """The least cost at which the lower bound reaches `TARGET`, in a sentence."""
    done = [group for group in groups(rows) if group[0]["status"] == "done"]
    held = [
        (mean_and_std([row["bops_percent"] for row in group])[0], group)
        for group in done
        if lower_bound([100 * row["test"] for row in group]) >= TARGET
    ]
    if not held:
        return f"No method's 95 % lower bound reaches {TARGET:.2f} %.\n"
    cost, group = min(held, key=lambda pair: pair[0])
    accuracies = [100 * row["test"] for row in group]
    return (
        f"The smallest relative BOPs whose 95 % lower bound reaches {TARGET:.2f} %: {cost:.4f} %, by {group[0]['method']} "
        f"(mean {np.mean(accuracies):.2f} %, lower bound {lower_bound(accuracies):.2f} %, {len(group)} seeds).\n"
    )


HEADS = (
    "bound, %",
    "method",
    "test accuracy, %",
    "95 % lower bound",
    "relative BOPs, %",
    "image counted otherwise, %",
    "within the bound",
    "bound met by the search itself",
    "widths of the first seed",
    "channels pruned",
)


def summary(rows: list[dict[str, Any]]) -> str:
    """Means over seeds, as a Markdown table."""
    lines = [f"| {' | '.join(HEADS)} |", f"| {' | '.join(['---'] * len(HEADS))} |"]
    for group in groups(rows):
        first, bound = group[0], group[0]["bound_percent"]
        shown = "given widths" if bound is None else f"{bound:.2f}"
        if first["status"] != "done":
            least = f"{first['cheapest_percent']:.4f} ({widths.named(np.array(first['cheapest_bits']))})"
            lines.append(f"| {shown} | {first['method']} | infeasible: the cheapest legal design has {least} | | | | 0 | | | |")
            continue
        mean, std = mean_and_std([100 * row["test"] for row in group])
        bops, other = (mean_and_std([row[name] for row in group])[0] for name in ("bops_percent", "bops_other_percent"))
        legal = "" if bound is None else f"{sum(row['bops_percent'] <= bound * (1 + 1e-6) for row in group)} of {len(group)}"
        reached = f"{sum(row['reached'] for row in group)} of {len(group)}" if "reached" in first else ""
        cells = [shown, first["method"], f"{mean:.2f} ± {std:.2f}", f"{lower_bound([100 * row['test'] for row in group]):.2f}"]
        cells += [f"{bops:.4f}", f"{other:.4f}", legal, reached]
        cells += [widths.named(np.array(first["bits"])), "/".join(map(str, first["pruned"]))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{cheapest(rows)}"


@style.quiet
def draw(rows: list[dict[str, Any]]) -> Figure:
    """Test accuracy against relative BOPs: means over seeds, with their standard deviation as bars."""
    figure = style.figure(3.8)
    axes = figure.subplots()
    done = [group for group in groups(rows) if group[0]["status"] == "done"]
    methods = list(dict.fromkeys(group[0]["method"] for group in done))
    for i, method in enumerate(methods):
        own = [group for group in done if group[0]["method"] == method]
        points = [
            (mean_and_std([row["bops_percent"] for row in group]), mean_and_std([100 * row["test"] for row in group]))
            for group in own
        ]
        points.sort()
        fixed = own[0][0]["bound_percent"] is None
        axes.errorbar(
            [x[0] for x, _ in points],
            [y[0] for _, y in points],
            xerr=[x[1] for x, _ in points],
            yerr=[y[1] for _, y in points],
            label=method,
            color=COLOURS[i % len(COLOURS)],
            marker="s" if fixed else "o",
            markersize=4,
            linestyle="none" if fixed else "-",
            capsize=2,
        )
    for bound in sorted({row["bound_percent"] for row in rows if row["bound_percent"] is not None}):
        axes.axvline(bound, color=style.GRID, zorder=0)
    axes.set_xscale("log")
    ticks = sorted({row["bound_percent"] for row in rows if row["bound_percent"] is not None}) or [0.5, 1.0, 2.0]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("relative BOPs, % of float32 (image counted as 8 bits)")
    axes.set_ylabel("test accuracy, %")
    axes.grid(visible=True, axis="y")
    axes.legend(fontsize=7, ncols=2)
    return figure
