"""What the study says: a row for each design (CSV), means over seeds (Markdown), accuracy against levels (picture)."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from imcjax.files import write_bytes, write_text
from imcjax.report import style


COLUMNS: tuple[str, ...] = ("method", "levels", "ranges", "seed", "test", "energy_j", "budget_j", "bits", "searched", "seconds")
LINES = (("calibrated", "layer"), ("calibrated", "column"), ("trained", "layer"), ("trained", "column"))
COLOURS = {"layer": "#d55e00", "column": "#0072b2"}


def save(rows: list[dict[str, Any]], folder: Path, head: str) -> None:
    """Write results.csv, results.md and accuracy.png into `folder`."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "results.csv", buffer.getvalue())
    write_text(folder / "results.md", f"{head}\n{summary(rows)}")
    write_bytes(folder / "accuracy.png", style.png(draw(rows)))


def summary(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of accuracies by levels, and the designs beside it."""
    counts = sorted({row["levels"] for row in rows if "levels" in row})
    lines = ["| levels | bits | nJ | " + " | ".join(f"{method}, a range a {share}" for method, share in LINES) + " |"]
    lines.append("| ---: | ---: | ---: |" + " ---: |" * len(LINES))
    for levels in counts:
        energy = next(row["energy_j"] for row in rows if row.get("levels") == levels)
        cells = [_spread(rows, method=method, ranges=share, levels=levels) for method, share in LINES]
        lines.append(f"| {levels} | {np.log2(levels):.3g} | {energy * 1e9:.3g} | {' | '.join(cells)} |")
    lines += ["", *(f"{name}: {_spread(rows, method=name)}" for name in ("float", "lossless", "lossless, trained on")), ""]
    for row in rows:
        if row["method"] == "learned bits":
            bits = "; ".join(f"{path} {' '.join(f'{b:g}' for b in some)}" for path, some in row["bits"].items())
            lines.append(
                f"learned bits, seed {row['seed']}: {100 * row['test']:.2f} at {row['energy_j'] * 1e9:.3g} nJ of "
                f"{row['budget_j'] * 1e9:.3g} nJ. Bits of each group of columns: {bits}"
            )
    table, rest = lines[: 2 + len(counts)], [line for line in lines[2 + len(counts) :] if line]
    return "\n\n".join(["\n".join(table), *rest]) + "\n"


@style.quiet
def draw(rows: list[dict[str, Any]]) -> Figure:
    """Accuracy against the levels of the ADC: calibrated dashed, trained solid, and the learned design as a diamond."""
    figure = style.figure(3.4)
    axes = figure.add_subplot()
    for method, share in LINES:
        some = [row for row in rows if row["method"] == method and row["ranges"] == share]
        counts = sorted({row["levels"] for row in some})
        means = [100 * np.mean([row["test"] for row in some if row["levels"] == n]) for n in counts]
        dashes = "-" if method == "trained" else (0, (4, 2))
        name = f"{method}, a range a {share}"
        axes.plot(np.log2(counts), means, marker="o", color=COLOURS[share], linestyle=dashes, label=name)
    learned = [row for row in rows if row["method"] == "learned bits"]
    if learned:
        mean = 100 * np.mean([row["test"] for row in learned])
        label = "bits learned a group of columns, the energy of 8 levels"
        axes.plot([3.0], [mean], marker="D", color=style.INK, linestyle="none", ms=6, label=label)
    top = float(100 * np.mean([row["test"] for row in rows if row["method"] == "lossless, trained on"]))
    axes.axhline(top, color=style.MUTED, linewidth=1, linestyle=(0, (1, 2)), label="lossless partial sums")
    shown = sorted({row["levels"] for row in rows if "levels" in row})
    axes.set_xticks(np.log2(shown), labels=[str(n) for n in shown])
    axes.set_xlabel("levels of the ADC")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    axes.set_title("Coarse partial sums: ranges alone, and training")
    return figure


def _spread(rows: list[dict[str, Any]], **facts: Any) -> str:
    values = [100 * row["test"] for row in rows if all(row.get(name) == value for name, value in facts.items())]
    if not values:
        return "-"
    std = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{std}"
