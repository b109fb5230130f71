"""Networks on phase-change memory: after programming and after a day, with and without compensation of drift."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.hardware_aware import cases
from imcjax import Hardware, converters, devices, models
from imcjax.data import Dataset, cifar10
from imcjax.mapping import Differential
from imcjax.report import style
from imcjax.training import Options


DAY_S = 86400.0
READS: dict[str, dict[str, Any]] = {
    "programmed": {"times": (0.0,)},
    "a day": {"times": (DAY_S,)},
    "a day, compensated": {"times": (DAY_S,), "compensation": "global"},
}
NORMS = "a day, compensated, norms anew"
"""Read as before, the statistics of BatchNorm estimated on the chip (V. Joshi et al., Nature Communications 11, 2473, 2020)."""
NORM_IMAGES = 500


@dataclass(frozen=True)
class Work:
    """A network, how long it is trained, and how it is judged.

    Attributes:
      model: of `imcjax.models`.
      widths: bits of weights and inputs.
      rows: rows and columns of the arrays.
      steps, tuning: training steps in floating point, and after it for the hardware.
      images, chips: of the test set, and how many chips read them.
      batch: images a step.
      augment: of (key, images); None: none.
      controlled: whether as many further steps in floating point are a case too.
      norms: whether chips estimate the statistics of BatchNorm on training images, too.
    """

    model: str
    widths: tuple[int, ...] = (8, 4)
    rows: int = 256
    steps: int = 1000
    tuning: int = 250
    images: int = 2000
    chips: int = 10
    batch: int = 128
    augment: Callable[..., Any] | None = None
    controlled: bool = False
    norms: bool = False


LENET5 = Work("lenet5")
RESNET20 = Work(
    "resnet20",
    widths=(8,),
    rows=576,
    steps=3125,
    tuning=780,
    images=1000,
    batch=32,
    augment=cifar10.augment,
    controlled=True,
    norms=True,
)
"""Two epochs of CIFAR-10, and half of one: a check that it works, far from a trained network."""
QUICK = {"steps": 20, "tuning": 10, "images": 200, "chips": 2}


def hardware(bits: int, device: str, rows: int) -> Hardware:
    """Weights of so many bits in one pair of cells, inputs of as many, square arrays with 8-bit ADCs."""
    return Hardware(
        name=f"{device}, W{bits}A{bits}",
        rows=rows,
        cols=rows,
        encoding=Differential(weight_bits=bits, cell_bits=bits - 1),
        dac=converters.Dac(input_bits=bits, bits=bits),
        device=devices.preset(device),
        adc=converters.Adc(bits=8),
    )


def run(data: Dataset, out: Path, work: Work, *, device: str) -> list[dict[str, Any]]:
    """Train and judge every design; rows of the table."""
    x, y = data.test.x[: work.images], data.test.y[: work.images]

    def trained(model: Any, steps: int, name: str, rate: float, options: Options | None = None) -> Any:
        given = {"rate": rate, "options": options, "batch": work.batch, "augment": work.augment}
        return cases.trained(model, data, steps, out / name, **given)

    plain = trained(models.build(work.model, data.shape, data.classes, 0), work.steps, "float", 1e-3)
    starts = {"not trained for it": plain}
    if work.controlled:
        starts["trained on in float"] = trained(plain, work.tuning, "float-on", 3e-4)
    digital = {}
    for name, model in zip(("float", "float-on"), starts.values(), strict=False):
        find = partial(cases.digital_accuracy, model, x, y)
        digital[name] = cases.kept(out / f"{name}.json", lambda find=find: {"accuracy": find()})["accuracy"]
    base = digital["float"]
    reads = READS | ({NORMS: READS["a day, compensated"] | {"norms": data.train.x[:NORM_IMAGES]}} if work.norms else {})
    rows: list[dict[str, Any]] = [
        {"network": name, "read": "digital", "mean": found, "std": 0.0, "loss": base - found} for name, found in digital.items()
    ]
    for bits in work.widths:
        ready = {name: cases.put_on(model, hardware(bits, device, work.rows), data) for name, model in starts.items()}
        for name in (*ready, "hardware-aware"):
            network = f"W{bits}A{bits}, {name}"
            case = network.replace(", ", "-").replace(" ", "_")
            model = ready.get(name)
            if model is None and not (out / f"{case}.json").is_file():
                model = trained(ready["not trained for it"], work.tuning, case, 3e-4, Options())

            def judged(model: Any = model) -> dict[str, Any]:
                return {read: cases.chips(model, x, y, work.chips, chunk=2, **how) for read, how in reads.items()}

            for read, accuracies in cases.kept(out / f"{case}.json", judged).items():
                of_chips = cases.summary([chip[0] for chip in accuracies])
                row = {"network": network, "read": read, **of_chips, "chips": len(accuracies)}
                rows.append(row | {"loss": base - of_chips["mean"]})
    return rows


HEADS = ("network", "read", "test accuracy", "points below float")


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table, written out."""
    spread = f" ± {100 * row['std']:.2f}" if row.get("chips") else ""
    return [row["network"], row["read"], f"{100 * row['mean']:.2f}{spread} %", f"{100 * row['loss']:.2f}"]


@style.quiet
def draw(rows: list[dict[str, Any]]) -> Figure:
    """Points below the float network, a group of bars for each design."""
    names = list(dict.fromkeys(row["network"] for row in rows if row.get("chips")))
    reads = list(dict.fromkeys(row["read"] for row in rows if row.get("chips")))
    figure = style.figure(0.9 + 0.25 * len(reads) * len(names))
    axes = figure.add_subplot()
    colours = (style.CODESIGN, style.BASELINE, style.COMPONENTS["digital"], style.MUTED)
    for place, (read, colour) in enumerate(zip(reads, colours, strict=False)):
        of_read = {row["network"]: row for row in rows if row["read"] == read}
        heights = [at + (place - (len(reads) - 1) / 2) * 0.8 / len(reads) for at in range(len(names))]
        losses, errors = ([100 * of_read[name][what] for name in names] for what in ("loss", "std"))
        axes.barh(
            heights, losses, 0.7 / len(reads), xerr=errors, color=colour, label=read, error_kw={"lw": 0.8, "ecolor": style.INK}
        )
    axes.set_yticks(range(len(names)), labels=[name.replace(", ", "\n") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0.5, color=style.MUTED, linewidth=0.8, linestyle=":")
    axes.set_xlabel("points below the float network's test accuracy; bars: ± standard deviation over chips")
    if max(100 * abs(row["loss"]) for row in rows) > 5:
        axes.set_xscale("symlog", linthresh=1.0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.legend(loc="outside upper center", ncols=min(len(reads), 2))
    return figure
