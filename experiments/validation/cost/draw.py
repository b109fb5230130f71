"""The picture: the relative error of every row of the table, by source, with its limit."""

import numpy as np
from matplotlib.figure import Figure

from experiments.validation.cost.rows import Row
from imcjax.report import style


def png(rows: list[Row]) -> bytes:
    """The picture as a PNG file."""
    return style.png(draw(rows), dpi=110)


@style.quiet
def draw(rows: list[Row]) -> Figure:
    """A panel for each source; a dot a row, a bar for its limit."""
    compared = [row for row in rows if row.kind == "error" and row.theirs and row.limit != 0]
    sources = list(dict.fromkeys(row.source for row in compared))
    counts = [sum(row.source == source for row in compared) for source in sources]
    figure = Figure(figsize=(1.3 * style.WIDTH, 0.16 * sum(counts) + 0.55 * len(sources)), layout="constrained")
    panels = figure.subplots(len(sources), 1, height_ratios=[n + 3 for n in counts], squeeze=False)[:, 0]
    for axes, source in zip(panels, sources, strict=True):
        shown = [row for row in compared if row.source == source]
        for place, row in enumerate(shown):
            if row.limit is not None:
                axes.barh(place, 200 * row.limit, left=-100 * row.limit, height=0.8, color=style.GRID)
            colour = style.MUTED if row.limit is None else style.CODESIGN if row.kept else style.BASELINE
            axes.plot(100 * row.error, place, "o", color=colour, markersize=3.5)
        axes.set_yticks(np.arange(len(shown)), [row.what for row in shown], fontsize=6)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.axvline(0, color=style.MUTED, linewidth=0.8)
        axes.set_title(source, fontsize=8)
        axes.tick_params(axis="x", labelsize=6)
    panels[-1].set_xlabel("error, %; grey bars are the limits")
    return figure
