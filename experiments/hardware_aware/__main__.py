"""What training for the hardware buys: python -m experiments.hardware_aware --data-dir DIR."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from experiments import tables
from experiments.hardware_aware import drift, ir_drop
from imcjax import data
from imcjax.files import write_bytes, write_json, write_text
from imcjax.report import style


@dataclass(frozen=True)
class Options:
    """Train networks for their hardware in several ways and judge them on chips. The same command goes on after a stop."""

    out: Path
    """Folder for tables, pictures, and everything that is kept to go on from."""
    data_dir: Path | None = None
    """Folder with MNIST's files, for the study "cifar10" with CIFAR-10's; default below that of IMCJAX_DATA_DIR."""
    study: Literal["drift", "ir_drop", "both", "cifar10"] = "both"
    """Which: LeNet-5 or the perceptron on MNIST, both, or drift with ResNet-20 on CIFAR-10."""
    device: str = "pcm_nandakumar"
    """Memory cell of the studies of drift."""
    quick: bool = False
    """A few steps and chips, to see that everything runs."""


def main(options: Options) -> dict[str, list[dict[str, Any]]]:
    """Run what the options ask for, and write it down."""
    found: dict[str, list[dict[str, Any]]] = {}

    def drifts(name: str, dataset: str, work: drift.Work) -> None:
        work = replace(work, **drift.QUICK) if options.quick else work
        images = data.load(dataset, options.data_dir)
        found[name] = drift.run(images, options.out / name, work, device=options.device)
        _write(options.out / name, drift, found[name])

    if options.study == "cifar10":
        drifts("cifar10", "cifar-10", drift.RESNET20)
    if options.study in ("drift", "both"):
        drifts("drift", "mnist", drift.LENET5)
    if options.study in ("ir_drop", "both"):
        mnist = data.load("mnist", options.data_dir)
        found["ir_drop"] = ir_drop.run(mnist, options.out / "ir_drop", quick=options.quick)
        _write(options.out / "ir_drop", ir_drop, found["ir_drop"])
    return found


def _write(path: Path, study: Any, rows: list[dict[str, Any]]) -> None:
    write_json(path.with_suffix(".json"), {"rows": rows})
    write_text(path.with_suffix(".md"), tables.markdown(study.HEADS, map(study.cells, rows)))
    write_bytes(path.with_suffix(".png"), style.png(study.draw(rows)))


if __name__ == "__main__":
    for name, rows in main(tyro.cli(Options)).items():
        study = ir_drop if name == "ir_drop" else drift
        Console().print(tables.shown(study.HEADS, map(study.cells, rows), name))
