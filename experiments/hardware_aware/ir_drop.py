"""What training through the wires buys: five ways to train a network, tested with every array's wires solved exactly."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from experiments.hardware_aware import cases
from imcjax import Hardware, converters, devices
from imcjax.crossbar import Wires
from imcjax.data import Dataset
from imcjax.report import style
from imcjax.training import Options


ROWS = (128, 256)
OHM = 10.0
G_MIN, G_MAX = 1e-6, 100e-6
SIGMA = 0.02
WAYS = {
    "none": (None, Options()),
    "Gaussian noise": (None, Options(weight_noise=0.05)),
    "straight-through": ("auto", Options(backward="straight_through")),
    "exact gradients": ("auto", Options()),
    "Padé": ("pade", Options()),
}
"""Way -> the solver of its forward pass's wires (None: neither wires nor devices), and how it is trained."""


def hardware(rows: int) -> Hardware:
    """Pairs of continuous cells with 2 % programming errors, 8-bit inputs and ADCs, 10 ohm a segment, 100 ohm at the ends."""
    return Hardware(
        name=f"rram, {rows} rows",
        rows=rows,
        cols=rows,
        dac=converters.Dac(input_bits=8, bits=8),
        device=devices.Generic(g_min=G_MIN, g_max=G_MAX, program_sigma=SIGMA),
        wires=Wires(OHM, OHM, 10 * OHM, 10 * OHM),
        adc=converters.Adc(bits=8),
    )


class Perceptron(nnx.Module):
    """784-128-10, ReLU."""

    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(784, 128, rngs=rngs)
        self.output = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of (batch, 28, 28, 1)."""
        return self.output(jax.nn.relu(self.hidden(x.reshape(len(x), -1))))


def run(data: Dataset, out: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Train and judge every way on both sizes; rows of the table."""
    steps, tuning, images, count = (20, 5, 100, 2) if quick else (3000, 100, 2000, 100)
    x, y = data.test.x[:images], data.test.y[:images]
    network = Perceptron(nnx.Rngs(0))
    plain = cases.trained(network, data, steps, out / "float", rate=2e-3)
    base = cases.kept(out / "float.json", lambda: {"accuracy": cases.digital_accuracy(plain, x, y)})["accuracy"]
    rows = [{"rows": 0, "way": "float", "mean": base, "std": 0.0, "quantile_1": base}]
    for size in ROWS:
        wired = hardware(size)
        for way, (solver, options) in WAYS.items():
            case = f"{size}-{way.replace(' ', '_').replace('é', 'e')}"

            def judged(
                wired: Hardware = wired, solver: str | None = solver, options: Options = options, case: str = case
            ) -> Any:
                flat = wired.replace(wires=None, device=devices.Generic(g_min=G_MIN, g_max=G_MAX))
                seen = flat if solver is None else wired.replace(solver=solver)
                start = cases.put_on(plain, seen, data)
                if solver is not None:
                    start = cases.correct_columns(start, data)
                model = cases.trained(start, data, tuning, out / case, rate=5e-4, options=options)
                ready = cases.put_on(_digital(network, model), wired, data)
                return {"accuracies": cases.chips(ready, x, y, count, columns=data.train.x[:1000])}

            accuracies = [chip[0] for chip in cases.kept(out / f"{case}.json", judged)["accuracies"]]
            rows.append({"rows": size, "way": way, **cases.summary(accuracies), "accuracies": accuracies})
    return rows


def _digital(network: Any, trained: Any) -> Any:
    """The network with the parameters of one that was trained on hardware."""
    copy = nnx.clone(network)
    nnx.update(copy, nnx.state(trained, nnx.Param))
    return copy


HEADS = ("rows", "trained with", "mean ± std", "1 % quantile")


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table, written out."""
    mean = f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f} %" if row["rows"] else f"{100 * row['mean']:.2f} %"
    return [str(row["rows"] or "digital"), row["way"], mean, f"{100 * row['quantile_1']:.2f} %"]


@style.quiet
def draw(rows: list[dict[str, Any]]) -> Figure:
    """Every chip's accuracy, the mean and the 1 % quantile, for each way to train."""
    figure = style.figure(3.2)
    panels = figure.subplots(1, len(ROWS), sharey=True)
    for axes, size in zip(panels, ROWS, strict=True):
        chosen = [row for row in rows if row["rows"] == size]
        for place, row in enumerate(chosen):
            values = 100 * np.asarray(row["accuracies"])
            spots = place + np.random.default_rng(0).uniform(-0.25, 0.25, len(values))
            axes.scatter(values, spots, s=6, color=style.CODESIGN, alpha=0.5, linewidths=0)
            axes.plot([values.mean()] * 2, [place - 0.35, place + 0.35], color=style.INK)
            axes.plot([100 * row["quantile_1"]] * 2, [place - 0.35, place + 0.35], color=style.BASELINE)
        axes.axvline(100 * rows[0]["mean"], color=style.MUTED, linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(chosen)), labels=[row["way"] for row in chosen])
        axes.set_ylim(len(chosen) - 0.5, -0.5)
        axes.set_title(f"arrays of {size} rows")
    figure.supxlabel(
        "test accuracy, %; each point a chip; black: mean, orange: 1 % quantile; dotted: floating point", fontsize="medium"
    )
    return figure
