"""Every device preset beside its source, in one picture: python -m experiments.devices."""

import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.devices import draw, measure, references
from imcjax import devices
from imcjax.errors import UserError, nearest
from imcjax.files import write_bytes, write_json


RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    """Sample the presets, draw them beside published fits and points, and say how far they are apart."""

    out: Path = RESULTS / "devices.png"
    """The picture; the largest distances go beside it as .json."""
    presets: tuple[str, ...] = ()
    """Which; default all."""
    draws: int = 4000
    """Simulated devices a point."""
    reference_dir: Path | None = None
    """Folder with outputs of IBM aihwkit, aihwkit_<preset>.npz; default the environment variable IMCJAX_REFERENCE_DIR."""


def main(options: Options) -> dict[str, dict[str, float | None]]:
    """Measure and draw.

    Raises:
      UserError: an unknown preset.
    """
    names = list(options.presets) or devices.presets()
    for name in names:
        if name not in devices.presets():
            raise UserError(f"There is no device preset {name!r}{nearest(name, devices.presets())}.")
    folder = options.reference_dir or os.environ.get("IMCJAX_REFERENCE_DIR")
    rows = []
    for name in names:
        print(name, flush=True)
        rows.append(
            measure.measure(name, options.draws) | {"references": references.find(name, Path(folder) if folder else None)}
        )
    write_bytes(options.out, draw.png(rows))
    distances = {row["name"]: measure.distances(row) for row in rows}
    write_json(options.out.with_suffix(".json"), {"draws": options.draws, "largest distance, part of g_max": distances})
    return distances


if __name__ == "__main__":
    for name, found in main(tyro.cli(Options)).items():
        print(f"{name:16}", ", ".join(f"{what} {d:.2%}" for what, d in found.items() if d is not None) or "no reference")
