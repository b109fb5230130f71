"""What a data set is, the one split rule, and where files are looked for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, Int32, Shaped

from imcjax.errors import UserError


ENVIRONMENT = "IMCJAX_DATA_DIR"


@dataclass(frozen=True, eq=False)
class Split:
    """Samples kept apart from those of the other splits.

    x: (n, *shape) inputs in [0, 1].  y: (n,) class of each, 0 to classes - 1.
    """

    x: Float32[np.ndarray, "n ..."]
    y: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train on `train`, choose with `validation`, report `test`. One sample has `shape`: (height, width, channels)."""

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int
    shape: tuple[int, ...]


def choose(y: Shaped[np.ndarray, " n"], count: int) -> tuple[Int[np.ndarray, " chosen"], Int[np.ndarray, " rest"]]:
    """Indices of `count` samples in the class proportions of `y` (to within one sample a class), and those of all others.

    y: (n,) classes; `count` is at most n. Returns two sorted index arrays, of sizes `count` and n - `count`, that share none.
    The choice is a function of `y` and `count` alone: the seed of a run must not move a sample from test to train.
    """
    # Raw generator output is the one stream that NumPy promises never to change; `Generator.permutation` may.
    shuffled = np.argsort(np.random.PCG64(0).random_raw(len(y)), kind="stable")
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    # Evenly spaced picks along the classes laid end to end: the sizes are exact and every class gets its share.
    steps = np.arange(len(y) + 1) * count // len(y)
    picked = np.diff(steps) > 0
    return np.sort(by_class[picked]), np.sort(by_class[~picked])


def locate(name: str, files: Sequence[str], data_dir: Path | None) -> list[Path]:
    """The paths of a data set's `files`, in `data_dir` or else in the folder `name` below that of IMCJAX_DATA_DIR.

    Raises:
      UserError: where no folder was named, or one of the files is not in it.
    """
    above = os.environ.get(ENVIRONMENT)
    if data_dir is not None:
        folder, origin = data_dir, "given by --data-dir"
    elif above:
        folder, origin = Path(above) / name, f"below the folder of {ENVIRONMENT}"
    else:
        raise UserError(
            f"{name} is read from {', '.join(files)}, and no folder was named; give --data-dir (data_dir in Python) the folder "
            f"that holds these files themselves, or set {ENVIRONMENT} to the folder above one called {name}."
        )
    advice = f"give --data-dir (data_dir in Python) the folder that holds all {len(files)} files of {name} themselves."
    # os.path, since Path.is_dir and Path.is_file raise on what may not be looked at.
    if not os.path.isdir(folder):
        raise UserError(f"{files[0]} was looked for in {folder} ({origin}), which is no folder that can be read; {advice}")
    for file in files:
        if not os.path.isfile(folder / file):
            raise UserError(f"{file} was looked for in {folder} ({origin}) and is not there; {advice}")
    return [folder / file for file in files]
