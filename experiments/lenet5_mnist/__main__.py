"""Bit-widths of LeNet-5 under bounds on its bit operations: python -m experiments.lenet5_mnist --data-dir DIR."""

import dataclasses
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console

from experiments.lenet5_mnist import allocations, report, schedule
from experiments.lenet5_mnist.methods import SEARCHES
from experiments.lenet5_mnist.study import Run, Study
from imcjax import __version__, data, xla
from imcjax.errors import UserError, check_number, nearest
from imcjax.files import read_json, writable, write_json


USUAL = ("cgmq", "ours", "random", *allocations.UNIFORM)
LONG = ("ours_pruned", "pruned W1A2")
EVERY = (*SEARCHES, *allocations.NAMES, *allocations.UNIFORM)


@dataclass(frozen=True)
class Options:
    """Train LeNet-5 at bit-widths found by several methods, all within the same bounds and with the same number of steps.

    Killed and started again with the same --out, it goes on where it was.
    """

    data_dir: Path | None = None
    """Folder with the four files of MNIST; default the folder mnist below that of IMCJAX_DATA_DIR."""
    out: Path | None = None
    """Folder for checkpoints and results; default runs/lenet5-mnist (with -quick or -long)."""
    quick: bool = False
    """Minutes: few images, two seeds, two bounds. It shows that everything runs, and no more."""
    long: bool = False
    """Four times as many epochs, channels pruned, at bounds of 0.10 and 0.14 %: how little an accuracy of 99.30 % takes."""
    methods: tuple[str, ...] = ("usual",)
    """Names of methods; "usual" are those of two cores, with --long those that prune; "all" is for a GPU."""
    bounds: tuple[float, ...] = ()
    """Relative BOPs in percent; default 0.40, 0.90 and 2.00."""
    all_bounds: bool = False
    """0.36, 0.52, 0.90, 1.40, 2.00 and 5.00 %."""
    seeds: tuple[int, ...] = ()
    """Which; default 0, 1 and 2, with --quick 0 and 1."""
    rate: float = 0.0
    """Step size of quantized weights (that of ranges is three times as large); default 1e-3."""
    together: int = 0
    """Seeds that are trained in one program; default 1 on a CPU, which gains nothing by more, and all elsewhere."""


def main(options: Options, *, progress: bool = True) -> list[dict[str, Any]]:
    """Everything, and the results of all runs.

    Raises:
      UserError: wrong options, or a folder that holds a study with other ones.
    """
    console = Console()
    for seed in options.seeds:
        check_number("--seeds", seed, 0, 2**31 - 1, whole=True)
    for bound in options.bounds:
        check_number("--bounds", bound, 1e-6, 100, unit="%")
    check_number("--together", options.together, 0, 1000, whole=True)
    check_number("--rate", options.rate, 0.0, 1.0)
    if options.quick and options.long:
        raise UserError("--quick and --long were both given; give one of them.")
    names = methods(options.methods, LONG if options.long else USUAL)
    kind = "-quick" if options.quick else "-long" if options.long else ""
    sizes = {"-quick": schedule.QUICK, "-long": schedule.LONG, "": schedule.FULL}[kind]
    if options.rate:
        sizes = dataclasses.replace(sizes, rate=options.rate, range_rate=3 * options.rate)
    usual = {"-quick": schedule.BOUNDS[::2], "-long": schedule.LONG_BOUNDS, "": schedule.BOUNDS}[kind]
    bounds = options.bounds or (schedule.ALL_BOUNDS if options.all_bounds else usual)
    seeds = options.seeds or ((0, 1) if options.quick else (0, 1, 2))
    mnist = data.load("mnist", options.data_dir)
    out = options.out or Path("runs") / f"lenet5-mnist{kind}"
    writable(out)
    settings = {"imcjax": __version__, "schedule": dataclasses.asdict(sizes)}
    if (out / "config.json").exists():
        if read_json(out / "config.json") != settings:
            raise UserError(f"{out} holds a study with another schedule or version; give another --out.")
    else:
        write_json(out / "config.json", settings)
    study = Study(mnist, sizes, out, progress=progress)
    size = options.together or (1 if jax.default_backend() == "cpu" else len(seeds))
    groups = [seeds[first : first + size] for first in range(0, len(seeds), size)]
    runs = [
        Run(name, bound, group)
        for group in groups
        for name in names
        for bound in ((None,) if name in allocations.UNIFORM else bounds)
    ]
    rows, began = [], time.perf_counter()
    for i, run in enumerate(runs):
        found = study.results(run)
        rows += found
        said = [f"test {r['test']:.2%} at {r['bops_percent']:.4f} %" if r["status"] == "done" else r["status"] for r in found]
        console.print(
            f"{i + 1}/{len(runs)} {run.name()}: {', '.join(said)}, {time.perf_counter() - began:.0f} s", highlight=False
        )
    report.save(rows, out, head(options, sizes, len(seeds), rows))
    console.print(report.summary(rows), highlight=False, soft_wrap=True)
    return rows


def methods(asked: tuple[str, ...], usual: tuple[str, ...] = USUAL) -> list[str]:
    """The methods by name, groups resolved.

    Raises:
      UserError: an unknown name.
    """
    found: list[str] = []
    for name in asked:
        if name not in (*EVERY, "usual", "all"):
            raise UserError(f"There is no method {name!r}{nearest(name, (*EVERY, 'usual', 'all'))}.")
        found += {"usual": usual, "all": EVERY}.get(name, (name,))
    return list(dict.fromkeys(found))


def head(options: Options, sizes: schedule.Schedule, seeds: int, rows: list[dict[str, Any]]) -> str:
    """What was run, and where."""
    given = ["python -m experiments.lenet5_mnist", "--data-dir DIR"]
    given += [f"--{name}" for name in ("quick", "long") if getattr(options, name)]
    given += ["--methods", *map(repr_word, options.methods)] if options.methods != ("usual",) else []
    given += ["--bounds", *map(str, options.bounds)] if options.bounds else []
    given += ["--all-bounds"] if options.all_bounds else []
    given += ["--seeds", *map(str, options.seeds)] if options.seeds else []
    given += [f"--rate {options.rate:g}"] if options.rate else []
    device = jax.devices()[0]
    machine = f"{os.cpu_count()} cores, {processor()}, {device.platform} {device.device_kind}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "numpy"))
    hours = sum(row.get("seconds", 0.0) for row in rows) / 3600
    return (
        "# LeNet-5 on MNIST under bounds on relative BOPs\n\n"
        f"    {' '.join(given)}\n\n"
        f"{machine}; Python {platform.python_version()}, {versions}. {seeds} seeds, {sizes.samples} training images in "
        f"{sizes.views} distorted copies, {sizes.float_epochs} float epochs, then {sizes.search_epochs} + {sizes.tune_epochs} "
        f"quantized ones for every design, batches of {sizes.batch}; {hours:.2f} hours for the designs.\n\n"
        "Accuracy is the mean over seeds ± their sample standard deviation, on the official test set, of which one image is "
        "0.01 points; differences below 0.1 points are not claimed. The lower bound is one-sided, 95 %: the mean less 1.645 "
        "times the root of p (1 - p) / 10,000 + s^2 / seeds, for all seeds are tested on the same images. Relative BOPs are "
        "percent of float32's with the image counted as 8 bits; the other convention counts it as wide as the first layer's "
        "output.\n"
    )


def repr_word(name: str) -> str:
    """A name as it is typed."""
    return f'"{name}"' if " " in name else name


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    xla.choose_flags()
    xla.keep_compiled()
    try:
        main(tyro.cli(Options, prog="python -m experiments.lenet5_mnist"))
    except UserError as error:
        sys.exit(f"lenet5_mnist: {error}")
