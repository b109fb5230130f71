"""Training for coarse partial sums on MNIST: python -m experiments.partial_sums --data-dir DIR."""

import dataclasses
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console

from experiments.partial_sums import report, study
from imcjax import __version__, data, xla
from imcjax.errors import UserError, check_number
from imcjax.files import read_json, writable, write_json


@dataclass(frozen=True)
class Options:
    """Train a small LeNet for ADCs of 2 to 16 levels, and let the widths of its ADCs be learned.

    Killed and started again with the same --out, it goes on where it was.
    """

    data_dir: Path | None = None
    """Folder with the four files of MNIST; default the folder mnist below that of IMCJAX_DATA_DIR."""
    out: Path | None = None
    """Folder for checkpoints and results; default runs/partial-sums (with -quick)."""
    quick: bool = False
    """Few images and steps, one seed. It shows that everything runs, and no more."""
    seeds: int = 0
    """How many; default 2, with --quick 1."""


def main(options: Options) -> list[dict[str, Any]]:
    """Everything, and the results of all designs.

    Raises:
      UserError: wrong options, or a folder that holds a study with other ones.
    """
    console = Console()
    check_number("--seeds", options.seeds, 0, 1000, whole=True)
    sizes = study.QUICK if options.quick else study.Schedule()
    seeds = options.seeds or (1 if options.quick else 2)
    mnist = data.load("mnist", options.data_dir)
    out = options.out or Path("runs") / ("partial-sums" + ("-quick" if options.quick else ""))
    writable(out)
    schedule = dataclasses.asdict(sizes) | {"levels": list(sizes.levels)}  # as JSON has them
    settings = {"imcjax": __version__, "schedule": schedule}
    if (out / "config.json").exists() and read_json(out / "config.json") != settings:
        raise UserError(f"{out} holds a study with another schedule or version; give another --out.")
    write_json(out / "config.json", settings)

    def tell(row: dict[str, Any]) -> None:
        words = [str(row[name]) for name in ("method", "levels", "ranges", "bits") if name in row]
        console.print(f"seed {row['seed']}: {', '.join(words)}: {row['test']:.2%}, {row['seconds']:.0f} s", highlight=False)

    rows = [row for seed in range(seeds) for row in study.Study(mnist, sizes, seed, out).run(tell)]
    report.save(rows, out, head(options, sizes, seeds))
    console.print(report.summary(rows), highlight=False, soft_wrap=True)
    return rows


def head(options: Options, sizes: study.Schedule, seeds: int) -> str:
    """What was run, and where."""
    given = ["python -m experiments.partial_sums", "--data-dir DIR", *(["--quick"] if options.quick else [])]
    given += [f"--seeds {options.seeds}"] if options.seeds else []
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "numpy"))
    return (
        "# Training for coarse partial sums\n\n"
        f"    {' '.join(given)}\n\n"
        f"{os.cpu_count()} cores, {jax.devices()[0].device_kind}; Python {platform.python_version()}, {versions}. "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, the first {sizes.samples} training images, {sizes.test} test images, "
        f"batches of {sizes.batch}: {sizes.float_steps} float steps, {sizes.start_steps} at lossless partial sums, then "
        f"{sizes.tune_steps} for every design (of which {sizes.search_steps} move the learned widths).\n\n"
        "Test accuracy in percent, mean over seeds ± sample standard deviation, of the last step; nothing is chosen by it. "
        "Energy is of all ADC conversions of one image.\n"
    )


if __name__ == "__main__":
    xla.choose_flags()
    xla.keep_compiled()
    try:
        main(tyro.cli(Options, prog="python -m experiments.partial_sums"))
    except UserError as error:
        sys.exit(f"partial_sums: {error}")
