"""The result as tables, on the terminal and in Markdown, and as a plot."""

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.crossbar import ratios
from experiments.benchmarks.crossbar.jobs import WORKS


def tables(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, heads, rows) of each table that has rows."""
    rows = result["rows"]
    all_tables = [
        (
            "Ratios: the peer's time over imcjax's",
            ["size", "work", "imcjax", "peer", "ratio", "of medians", "at least", "stretch"],
            [
                [
                    str(one["size"]), one["work"], one["solver"].removeprefix("imcjax "), one["peer"], _number(one["ratio"]),
                    _number(one["ratio_of_medians"]), _number(one["at_least"]), _number(one["stretch"]),
                ]
                for one in result["ratios"]
            ],
        ),
        (
            "Times and accuracy",
            ["size", "work", "solver", "least", "median", "runs", "error", "memory"],
            [
                [
                    str(row["size"]), row["work"], row["solver"], _seconds(row["min_s"]), _seconds(row["median_s"]),
                    str(row["runs"]), f"{row['error']:.1e}", _bytes(row["peak_bytes"]),
                ]
                for row in rows
            ],
        ),
        (
            "Backward pass (cells, inputs and all wires) over forward pass",
            ["size", "solver", "forward", "both", "backward / forward", "at most", "error"],
            [
                [
                    str(one["size"]), one["solver"], _seconds(one["forward_s"]), _seconds(one["both_s"]),
                    f"{one['ratio']:.2f}", f"{ratios.BACKWARD_LIMITS[one['solver'].split(',')[0]]:.1f}",
                    f"{one['error']:.1e}",
                ]
                for one in result["backward"]
            ],
        ),
        (
            f"Nonlinear cells (sinh, v0 = 0.1 V) over linear ones, schur_pcg (aim: {ratios.NONLINEAR_LIMIT:.0f})",
            ["size", "work", "linear", "nonlinear", "ratio"],
            [
                [
                    str(one["size"]), one["work"], _seconds(one["linear_s"]), _seconds(one["nonlinear_s"]),
                    f"{one['ratio']:.2f}",
                ]
                for one in result["nonlinear"]
            ],
        ),
        (
            f"First call, 64 inputs (aim: {ratios.FIRST_CALL_S[0]:.0f} s, stretch {ratios.FIRST_CALL_S[1]:.0f} s at 128)",
            ["size", "solver", "fresh process", "programs kept", "second call"],
            [
                [str(one["size"]), one["solver"], *(_seconds(one[key]) for key in ("fresh_s", "kept_s", "again_s"))]
                for one in result["first_call"]
            ],
        ),
        (
            "Many arrays at once",
            ["size", "arrays", "work", "time", "a second", "of roofline"],
            [
                [
                    str(one["size"]), str(one["arrays"]), one["work"], _seconds(one["min_s"]),
                    f"{one['per_s']:.3g} {one['unit']}", _percent(one["of_roofline"]),
                ]
                for one in result["throughput"]
            ],
        ),
        (
            "Growth with size and break-even",
            ["what", "value"],
            [[f"time ~ size^b of {one['solver']}, {one['work']}", f"b = {one['slope']:.2f}"] for one in result["slopes"]]
            + [
                [f"inputs from which the transfer matrix repays at {size}", f"{number:.0f}"]
                for size, number in result["break_even"].items()
            ],
        ),
    ]  # fmt: skip
    return [table for table in all_tables if table[2]]


def conditions(result: dict[str, Any]) -> list[str]:
    """What the numbers hold for."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    left_out = [f"Left out: {one['solver']} at {one['size']}: {one['reason']}." for one in result["skipped"]]
    return [
        f"{result['machine']}; {result['threads']} threads for every solver; {result['device']}. {versions}.",
        "g uniform in 1..100 uS, 2 ohm per segment, driver and sense included, V uniform in 0..0.2 V. imcjax in float32 where "
        "it does not say f64, peers in float64. Error: of the worst input, relative to its largest current, to float64 splu "
        "with one refinement; of a gradient, of the worst of its six parts, relative to its largest entry, against float64. "
        "Jobs take turns; memory is the rise of the process's resident memory in a warm run.",
        *left_out,
    ]


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=None if Console().is_terminal else 160)
    for title, heads, rows in tables(result):
        table = Table(title=title, title_justify="left")
        for place, head in enumerate(heads):
            table.add_column(head, justify="right" if place > 2 else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in conditions(result):
        console.print(line, highlight=False)


def markdown(result: dict[str, Any]) -> str:
    """The tables as text for a repository."""
    out = io.StringIO()
    out.write("# Crossbar solvers side by side\n\n" + "\n\n".join(conditions(result)) + "\n")
    for title, heads, rows in tables(result):
        out.write(f"\n## {title}\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n")
        out.writelines(f"| {' | '.join(row)} |\n" for row in rows)
    return out.getvalue()


def plot(result: dict[str, Any], path: Path) -> None:
    """Time against size on logarithmic axes, a panel for each work; the legend gives the fitted exponents."""
    figure = Figure(figsize=(15, 5), layout="constrained")
    slopes = {(one["work"], one["solver"]): one["slope"] for one in result["slopes"]}
    for axes, work in zip(figure.subplots(1, len(WORKS)), WORKS, strict=True):
        rows = [row for row in result["rows"] if row["work"] == work]
        for solver in dict.fromkeys(row["solver"] for row in rows):
            points = [(row["size"], 1e3 * row["min_s"]) for row in rows if row["solver"] == solver]
            power = slopes.get((work, solver))
            label = solver if power is None else f"{solver}: size^{power:.1f}"
            ours = solver.startswith("imcjax")
            axes.loglog(*zip(*points, strict=True), "o-" if ours else "s--", label=label, linewidth=2 if ours else 1)
        sizes = sorted({row["size"] for row in rows})
        axes.set(title=work, xlabel="rows = columns", ylabel="least time of a run, ms")
        axes.set_xticks(sizes, labels=[str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        if rows:
            axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def _seconds(value):
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def _bytes(value):
    return "" if value is None else f"{value / 2**20:.3g} MiB"


def _percent(value):
    return "" if value is None else f"{100 * value:.0f} %"


def _number(value):
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"
