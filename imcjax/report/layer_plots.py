"""The figures of the layers: what each got of the bits, and what it costs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from imcjax.report import style
from imcjax.report.units import percent, prefix, si


@style.quiet
def bits_plot(result: dict[str, Any]) -> Figure:
    """Bits of weights, inputs and ADC of each layer as bars; a dark mark on each is the uniform baseline's."""
    layers = result["layers"]
    figure = style.figure(1.3 + 0.62 * max(len(layers), 1))
    axes = figure.add_subplot()
    if not layers:
        style.say(axes, "no layers on the hardware")
        return figure
    uniform = (result.get("uniform_baseline") or {}).get("bits") or {}
    for place, (kind, colour) in enumerate(style.BITS.items()):
        rows = np.arange(len(layers)) + 0.26 * (place - 1)
        bits = [layer.get(f"{kind}_bits") for layer in layers]
        label = "ADC" if kind == "adc" else kind
        axes.barh(rows, [b or 0 for b in bits], height=0.24, color=colour, label=label)
        for row, b in zip(rows, bits):
            where, words = (b - 0.1, f"{b:g}") if b else (0.1, "none")
            ink, side = (style.BITS_INK[kind], "right") if b else (style.MUTED, "left")
            axes.text(where, row, words, color=ink, ha=side, va="center", size=8)
        if uniform.get(kind):
            for colour, width in ((style.PAPER, 4.0), (style.INK, 2.0)):  # the light rim shows it on a dark bar
                axes.vlines([uniform[kind]] * len(layers), rows - 0.12, rows + 0.12, color=colour, linewidth=width)
    style.name_rows(axes, [layer["path"] for layer in layers])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, None)
    axes.grid(axis="x")
    axes.set_xlabel("bits")
    axes.set_title("Bits by layer")
    handles, labels = axes.get_legend_handles_labels()
    if uniform:
        handles.append(Line2D([], [], color=style.INK, marker="|", ms=9, mew=2.0, linestyle="none"))
        labels.append("uniform baseline")
    figure.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=1.2, columnspacing=1.2)
    return figure


@style.quiet
def energy_plot(result: dict[str, Any]) -> Figure:
    """Energy per inference of each layer, stacked by component."""
    layers = result["layers"]
    figure = style.figure(1.5 + 0.4 * max(len(layers), 1))
    axes = figure.add_subplot()
    if not layers:
        style.say(axes, "no layers on the hardware")
        return figure
    parts = components(layers, "energy")
    divisor, unit = prefix([layer.get("energy_j") for layer in layers], "J")
    rows, left = np.arange(len(layers)), np.zeros(len(layers))
    looks = component_looks(parts)
    for name, values in parts.items():
        widths = np.array(values) / divisor
        label = name.upper() if name in ("adc", "dac") else name.replace("_", " ")
        axes.barh(rows, widths, left=left, height=0.62, edgecolor=style.PAPER, linewidth=0.6, label=label, **looks[name])
        left += widths
    total = sum(layer.get("energy_j") or 0.0 for layer in layers)
    for row, layer in enumerate(layers):
        energy = layer.get("energy_j")
        share = f" ({percent(energy / total, 0 if energy >= 0.01 * total else 1)})" if energy is not None and total > 0 else ""
        words = {"va": "center", "size": 8.5, "bbox": style.BACKED}
        axes.annotate(si(energy, "J") + share, (left[row], row), (5, 0), textcoords="offset points", **words)
    style.name_rows(axes, [layer["path"] for layer in layers])
    axes.set_xlim(0, 1.28 * left.max() or 1.0)
    axes.grid(axis="x")
    axes.set_xlabel(f"energy per inference ({unit})")
    axes.set_title("Energy by layer")
    if parts:
        figure.legend(loc="outside lower center", ncols=min(len(parts), 6), handlelength=1.2, columnspacing=1.2)
    return figure


def components(layers: Sequence[dict[str, Any]], of: str) -> dict[str, list[float]]:
    """The parts of each layer's `of` (energy or area) by component; what is zero in all layers is left out.

    Those of `style.COMPONENTS` come first, in its order. Layers that give no parts count whole, as 'other'.
    """
    total = {"energy": "energy_j", "area": "area_m2"}[of]
    parts = [layer.get(of) or {"other": layer.get(total)} for layer in layers]
    found = dict.fromkeys(name for part in parts for name in part)
    names = [*(name for name in style.COMPONENTS if name in found), *(name for name in found if name not in style.COMPONENTS)]
    columns = {name: [part.get(name) or 0.0 for part in parts] for name in names}
    return {name: column for name, column in columns.items() if any(column)}


def component_looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and hatch of each component: a known one's is always the same, the others take turns."""
    looks, turn = {}, 0
    for name in names:
        if name in style.COMPONENTS:
            looks[name] = {"color": style.COMPONENTS[name]}
            continue
        round_, place = divmod(turn, len(style.OTHERS))
        looks[name] = {"color": style.OTHERS[place], "hatch": "/" * 3 * min(round_, 2) or None}
        turn += 1
    return looks
