"""LeNet-5 on phase-change memory: after programming and after a day, with and without compensation of drift."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.hardware_aware import cases
from imcjax import Hardware, converters, devices, models
from imcjax.data import Dataset
from imcjax.mapping import Differential
from imcjax.report import style
from imcjax.training import Options


DAY_S = 86400.0
READS = {"programmed": (0.0, None), "a day": (DAY_S, None), "a day, compensated": (DAY_S, "global")}
WIDTHS = (8, 4)


def hardware(bits: int, device: str) -> Hardware:
    """Weights of so many bits in one pair of cells, inputs of as many, arrays of 256 x 256 with 8-bit ADCs."""
    return Hardware(
        name=f"{device}, W{bits}A{bits}",
        rows=256,
        cols=256,
        encoding=Differential(weight_bits=bits, cell_bits=bits - 1),
        dac=converters.Dac(input_bits=bits, bits=bits),
        device=devices.preset(device),
        adc=converters.Adc(bits=8),
    )


def run(data: Dataset, out: Path, *, device: str, quick: bool) -> list[dict[str, Any]]:
    """Train and judge every design; rows of the table."""
    steps, tuning, images, count = (20, 10, 200, 2) if quick else (1000, 250, 2000, 10)
    x, y = data.test.x[:images], data.test.y[:images]
    plain = cases.trained(models.build("lenet5", data.shape, data.classes, 0), data, steps, out / "float", rate=1e-3)
    base = cases.kept(out / "float.json", lambda: {"accuracy": cases.digital_accuracy(plain, x, y)})["accuracy"]
    rows: list[dict[str, Any]] = [{"network": "float", "read": "digital", "mean": base, "std": 0.0, "loss": 0.0}]
    for bits in WIDTHS:
        ready = cases.put_on(plain, hardware(bits, device), data)
        for name, tuned in ((f"W{bits}A{bits}, not trained for it", 0), (f"W{bits}A{bits}, hardware-aware", tuning)):
            case = name.replace(", ", "-").replace(" ", "_")
            model = ready
            if tuned and not (out / f"{case}.json").is_file():
                model = cases.trained(ready, data, tuned, out / case, rate=3e-4, options=Options())

            def judged(model: Any = model) -> dict[str, Any]:
                found: dict[str, Any] = {}
                for read, (time, compensation) in READS.items():
                    found[read] = cases.chips(model, x, y, count, times=(time,), compensation=compensation, chunk=2)
                return found

            for read, accuracies in cases.kept(out / f"{case}.json", judged).items():
                of_chips = cases.summary([chip[0] for chip in accuracies])
                row = {"network": name, "read": read, **of_chips, "chips": len(accuracies)}
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
    names = list(dict.fromkeys(row["network"] for row in rows[1:]))
    figure = style.figure(0.6 + 0.75 * len(names))
    axes = figure.add_subplot()
    colours = (style.CODESIGN, style.BASELINE, style.COMPONENTS["digital"])
    for place, (read, colour) in enumerate(zip(READS, colours, strict=True)):
        of_read = {row["network"]: row for row in rows if row["read"] == read}
        heights = [at + 0.25 * (place - 1) for at in range(len(names))]
        losses, errors = ([100 * of_read[name][what] for name in names] for what in ("loss", "std"))
        axes.barh(heights, losses, 0.22, xerr=errors, color=colour, label=read, error_kw={"lw": 0.8, "ecolor": style.INK})
    axes.set_yticks(range(len(names)), labels=[name.replace(", ", "\n") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0.5, color=style.MUTED, linewidth=0.8, linestyle=":")
    axes.set_xlabel("points below the float network's test accuracy; bars: ± standard deviation over chips")
    axes.set_xscale("symlog", linthresh=1.0)
    axes.legend(loc="lower right")
    return figure
