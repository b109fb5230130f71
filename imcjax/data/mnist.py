"""MNIST and Fashion-MNIST from their official files: 28 x 28 grey pixels, ten classes, 60,000 + 10,000 images."""

from pathlib import Path

import numpy as np

from imcjax.data import idx
from imcjax.data.base import Dataset, Split, choose, locate
from imcjax.data.idx import Checksum
from imcjax.errors import UserError


# Images and labels for training, then for test.
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

# The files of both sets have the same names: only their checksums tell a user who mixed them up.
CHECKSUMS = {
    "mnist": (
        Checksum("sha256", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        Checksum("sha256", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        Checksum("sha256", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        Checksum("sha256", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion-mnist": (  # as its authors publish them, in MD5
        Checksum("md5", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        Checksum("md5", "25c81989df183df01b3e8a0aad5dffbe"),
        Checksum("md5", "bef4ecab320f06d8554ea6380940ec79"),
        Checksum("md5", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
}


def mnist(data_dir: Path | None = None) -> Dataset:
    """Handwritten digits. Source: LeCun et al., Gradient-based learning applied to document recognition, 1998."""
    return _load("mnist", data_dir)


def fashion_mnist(data_dir: Path | None = None) -> Dataset:
    """Pictures of clothes. Source: Xiao, Rasul, Vollgraf, Fashion-MNIST, arXiv:1708.07747."""
    return _load("fashion-mnist", data_dir)


def _load(name: str, data_dir: Path | None) -> Dataset:
    """One training image in twelve is for validation: 55,000, 5,000 and the official 10,000 for test.

    Raises:
      UserError: where a file is missing or is not the official one.
    """
    paths = locate(name, FILES, data_dir)
    images, labels, test_images, test_labels = (
        idx.read(path, rank, checksum) for path, rank, checksum in zip(paths, (3, 1, 3, 1), CHECKSUMS[name])
    )
    for part, x, y in (("training", images, labels), ("test", test_images, test_labels)):
        if len(x) != len(y):
            raise UserError(f"{name} has {len(x)} {part} images but {len(y)} labels in {paths[0].parent}; get its files anew.")
    validation, train = choose(labels, len(labels) // 12)
    return Dataset(
        name,
        _split(images[train], labels[train]),
        _split(images[validation], labels[validation]),
        _split(test_images, test_labels),
        classes=10,
        shape=(28, 28, 1),
    )


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    """Bytes (n, 28, 28) and (n,) as a Split of shape (28, 28, 1)."""
    return Split(images[..., None].astype(np.float32) / np.float32(255), labels.astype(np.int32))
