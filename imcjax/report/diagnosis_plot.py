"""The figure of a diagnosis: which layers the hardware disturbs most, and which effect costs what."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imcjax.report import style


@style.quiet
def diagnosis_plot(diagnosis: Any) -> Figure:
    """Above, each layer's signal-to-noise ratio with its ADC's clip rate; below, what the model gains without each effect."""
    rows = len(diagnosis.layers), max(len(diagnosis.effects), 1)
    figure = style.figure(1.8 + 0.3 * sum(rows))
    above, below = figure.subplots(2, 1, height_ratios=[1.5 + rows[0], 1.5 + rows[1]])
    _layers(above, diagnosis)
    _effects(below, diagnosis)
    return figure


def _layers(axes: Axes, diagnosis: Any) -> None:
    found = [layer.snr_db for layer in diagnosis.layers]
    finite = [value for value in found if np.isfinite(value)]
    longest = max([1.0, *finite])
    axes.barh(range(len(found)), np.clip(np.nan_to_num(found, posinf=longest), 0, None), height=0.6, color=style.CODESIGN)
    for row, layer in enumerate(diagnosis.layers):
        clips = "" if layer.clip_rate is None else f", {layer.clip_rate:.1%} clips, {layer.codes_used:.0%} of codes"
        words = {"va": "center", "size": 8.5, "bbox": style.BACKED}
        end = min(max(layer.snr_db, 0), longest)
        axes.annotate(f"{layer.snr_db:.1f} dB{clips}", (end, row), (5, 0), textcoords="offset points", **words)
    style.name_rows(axes, [layer.path or "(the model)" for layer in diagnosis.layers])
    axes.set_xlim(0, 1.6 * longest)
    axes.grid(axis="x")
    axes.set_xlabel("signal-to-noise ratio of the layer by itself (dB)")
    axes.set_title("Layers")


def _effects(axes: Axes, diagnosis: Any) -> None:
    if not diagnosis.effects:
        style.say(axes, "no effect to switch off")
        return
    accuracy = diagnosis.metric == "accuracy"
    gains = np.array([effect.gain for effect in diagnosis.effects]) * (100 if accuracy else 1)
    reach = max(1.0, np.abs(gains[np.isfinite(gains)]).max(initial=0.0))
    drawn = np.clip(np.nan_to_num(gains, posinf=reach), -reach, reach)
    axes.barh(range(len(gains)), drawn, height=0.6, color=[style.BASELINE if g > 0 else style.MUTED for g in gains])
    for row, (effect, length) in enumerate(zip(diagnosis.effects, drawn)):
        words = {"va": "center", "size": 8.5, "bbox": style.BACKED}
        text = f"{diagnosis.text(effect.gain, sign='+')} to {diagnosis.text(effect.score)}"
        axes.annotate(text, (max(length, 0), row), (5, 0), textcoords="offset points", **words)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    style.name_rows(axes, [effect.name for effect in diagnosis.effects])
    axes.set_xlim(min(1.1 * drawn.min(), 0), 1.6 * reach)
    axes.grid(axis="x")
    axes.set_xlabel("gain without the effect (" + ("points of accuracy" if accuracy else "dB of output SNR") + ")")
    axes.set_title(f"{diagnosis.metric} {diagnosis.text(diagnosis.hardware)} with all effects")
