"""What training for the hardware buys: python -m experiments.hardware_aware --data-dir DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

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
    """Folder with MNIST's four official files; default below that of IMCJAX_DATA_DIR."""
    study: Literal["drift", "ir_drop", "both"] = "both"
    """Which."""
    device: str = "pcm_nandakumar"
    """Memory cell of the study of drift."""
    quick: bool = False
    """A few steps and chips, to see that everything runs."""


def main(options: Options) -> dict[str, list[dict[str, Any]]]:
    """Run what the options ask for, and write it down."""
    mnist = data.load("mnist", options.data_dir)
    found: dict[str, list[dict[str, Any]]] = {}
    if options.study != "ir_drop":
        found["drift"] = drift.run(mnist, options.out / "drift", device=options.device, quick=options.quick)
        _write(options.out / "drift", drift, found["drift"])
    if options.study != "drift":
        found["ir_drop"] = ir_drop.run(mnist, options.out / "ir_drop", quick=options.quick)
        _write(options.out / "ir_drop", ir_drop, found["ir_drop"])
    return found


def _write(path: Path, study: Any, rows: list[dict[str, Any]]) -> None:
    write_json(path.with_suffix(".json"), {"rows": rows})
    lines = [study.HEADS, ["---"] * len(study.HEADS), *map(study.cells, rows)]
    write_text(path.with_suffix(".md"), "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    write_bytes(path.with_suffix(".png"), style.png(study.draw(rows)))


if __name__ == "__main__":
    for name, rows in main(tyro.cli(Options)).items():
        study = {"drift": drift, "ir_drop": ir_drop}[name]
        shown = Table(*study.HEADS, title=name)
        for row in rows:
            shown.add_row(*study.cells(row))
        Console().print(shown)
