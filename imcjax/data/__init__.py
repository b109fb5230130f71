"""Data sets with fixed train, validation and test splits, as NumPy arrays. A new one is a file here and a line below."""

import os
from collections.abc import Callable
from pathlib import Path

from imcjax.data import cifar10, digits, mnist
from imcjax.data.base import Dataset as Dataset
from imcjax.data.base import Split as Split
from imcjax.errors import UserError, nearest


LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "cifar-10": cifar10.load,
    "digits": digits.load,
    "mnist": mnist.mnist,
    "fashion-mnist": mnist.fashion_mnist,
}


def names() -> list[str]:
    """The data sets that `load` knows."""
    return sorted(LOADERS)


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set `name`, whose splits are the same in every run, whatever its seed.

    `data_dir` is the folder that holds the set's files themselves. Without it they are looked for in the folder `name` below
    the one that the environment variable IMCJAX_DATA_DIR names. Sets that need no files ignore both.

    Raises:
      UserError: where the name is unknown, or a file is missing, damaged or not the official one.
    """
    if name not in LOADERS:
        raise UserError(f"there is no data set {name!r}{nearest(name, LOADERS)}; give one of these names.")
    return LOADERS[name](None if data_dir is None else Path(data_dir).expanduser())
