"""The four figures of a finished co-design run, together."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from imcjax.files import write_bytes
from imcjax.report import style
from imcjax.report.accuracy_plot import accuracy_plot
from imcjax.report.layer_plots import bits_plot, energy_plot
from imcjax.report.search_plot import search_plot


# What a reader should see in each figure.
CAPTIONS = {
    "accuracy": "Test accuracy of each simulated chip (dots, stacked where they coincide), with mean and standard deviation "
    "over chips. The dashed line is the float network, which knows no hardware.",
    "bits": "Bits of each layer's weights, inputs and ADC as the search left them. The marks across the bars are the uniform "
    "baseline's, which gives every layer the same.",
    "energy": "Where one inference spends its energy: each layer by component.",
    "search": "The run over its steps: loss, accuracy, energy against its target and the budget, and the whole bit-widths with "
    "which the forward pass computed. Shades tell the phases apart; the numbers at the right are the last.",
}


def figures(result: dict[str, Any], history: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """The figures by name, in the order of `CAPTIONS`."""
    return {
        "accuracy": accuracy_plot(result),
        "bits": bits_plot(result),
        "energy": energy_plot(result),
        "search": search_plot(result, history),
    }


def save_plots(result: dict[str, Any], history: Sequence[dict[str, Any]], folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write the four figures into `folder` as PNG files, each in one step.

    Returns:
      The path of each figure, by the names `accuracy`, `bits`, `energy` and `search`.
    """
    paths = {}
    for name, figure in figures(result, history).items():
        paths[name] = Path(folder) / f"{name}.png"
        write_bytes(paths[name], style.png(figure))
    return paths
