"""One quiet look for every figure: few lines, no frame, colours that a colour-blind reader and a grey printer tell apart."""

import functools
import io
from collections.abc import Callable
from typing import ParamSpec

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure


INK, MUTED, GRID, PAPER = "#222222", "#6b6b6b", "#e3e3e3", "#ffffff"
CODESIGN, BASELINE = "#0072b2", "#d55e00"
# Dark, middle and light: they differ in a grey print too.
BITS = {"weight": "#332288", "input": "#44aa99", "adc": "#ddcc77"}
BITS_INK = {"weight": "#ffffff", "input": INK, "adc": INK}
# Okabe and Ito's colours, in the order of a stack; the others are for components of other names.
COMPONENTS = {"adc": "#0072b2", "dac": "#56b4e9", "array": "#e69f00", "digital": "#009e73", "buffer": "#f0e442"}
OTHERS = ("#cc79a7", "#d55e00", "#999999")
BACKED = {"facecolor": PAPER, "linewidth": 0, "pad": 1}  # the box of a text that grid lines would cross
WIDTH = 7.2  # inches: the text width of a printed page

_RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a layer's name is a $
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "hatch.linewidth": 0.6,
}

Arguments = ParamSpec("Arguments")


def quiet(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Give the figure that `draw` returns this look, whatever the caller's matplotlib settings, and leave those alone."""

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with style.context(_RC, after_reset=True):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # ticks take their look when first drawn: let that be now
            return figure

    return styled


def figure(height: float) -> Figure:
    """An empty figure, `height` inches tall and as wide as a page; no window and no pyplot know of it."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as a PNG file's bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style.context(_RC, after_reset=True):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def short(name: str, longest: int = 28) -> str:
    """`name`, its beginning left out where it is too long for an axis: layers of one block differ at the end of their paths."""
    return name if len(name) <= longest else "…" + name[1 - longest :]


def name_rows(axes: Axes, names: list[str]) -> None:
    """Label the rows y = 0, 1, ... from the top down, and take the ticks away."""
    axes.set_yticks(range(len(names)), labels=[short(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)


def say(axes: Axes, text: str) -> None:
    """Write `text` in the middle of otherwise empty axes."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)
