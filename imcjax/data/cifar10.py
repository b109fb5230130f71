"""CIFAR-10 from its official Python files: 32 x 32 colour pixels, ten classes, 50,000 + 10,000 images.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. The files are pickles, which may run any
code when they are read; here nothing but NumPy arrays gets out of them.
"""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax.data.base import ENVIRONMENT, Dataset, Split, choose
from imcjax.errors import UserError


FOLDER = "cifar-10-batches-py"
TARBALL = "cifar-10-python.tar.gz"
FILES = {  # with their MD5
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def load(data_dir: Path | None = None) -> Dataset:
    """One training image in ten is for validation: 45,000, 5,000 and the official 10,000 for test.

    `data_dir` (or the folder cifar-10 below that of IMCJAX_DATA_DIR) holds the six batches, the folder cifar-10-batches-py with
    them, or the tarball cifar-10-python.tar.gz, which is read where it is.

    Raises:
      UserError: where a file is missing, is not the official one, or holds something else than NumPy arrays.
    """
    content = _contents(_folder(data_dir))
    parts = [_parse(name, content[name]) for name in FILES]
    images, labels = (np.concatenate([part[i] for part in parts[:-1]]) for i in range(2))
    validation, train = choose(labels, len(labels) // 10)
    splits = [(images[train], labels[train]), (images[validation], labels[validation]), parts[-1]]
    return Dataset("cifar-10", *(Split(_scaled(x), y) for x, y in splits), classes=10, shape=(32, 32, 3))


@jax.jit
def augment(key: jax.Array, images: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
    """Each image moved by up to 4 pixels, zeros coming in, and mirrored left to right half of the time.

    The usual augmentation of CIFAR-10 (K. He et al., CVPR 2016, section 4.2); each image has draws of its own.
    """
    shift_key, flip_key = jax.random.split(key)
    shifts = jax.random.randint(shift_key, (len(images), 2), 0, 2 * PAD + 1)
    padded = jnp.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)))
    moved = jax.vmap(lambda image, at: lax.dynamic_slice(image, (at[0], at[1], 0), images.shape[1:]))(padded, shifts)
    mirrored = jax.random.bernoulli(flip_key, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, moved[:, :, ::-1], moved)


PAD = 4
"""Pixels added on each side before cropping."""


def _folder(data_dir: Path | None) -> Path:
    above = os.environ.get(ENVIRONMENT)
    if data_dir is None and not above:
        raise UserError(
            f"cifar-10 is read from {TARBALL} or the folder {FOLDER}, and no folder was named; give --data-dir (data_dir in "
            f"Python) the folder that holds one of them, or set {ENVIRONMENT} to the folder above one called cifar-10."
        )
    return Path(above or "") / "cifar-10" if data_dir is None else data_dir


def _contents(folder: Path) -> dict[str, bytes]:
    """The bytes of the six files, by name, each with its checksum."""
    for place in (folder, folder / FOLDER):
        if os.path.isfile(place / "data_batch_1"):
            found = {name: _read(place / name) for name in FILES}
            break
    else:
        if not os.path.isfile(folder / TARBALL):
            raise UserError(
                f"Neither data_batch_1, {FOLDER} nor {TARBALL} is in {folder}; give --data-dir (data_dir in Python) the "
                "folder that holds one of them."
            )
        found = _unpacked(folder / TARBALL)
    for name, content in found.items():
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest != FILES[name]:
            raise UserError(
                f"{name} in {folder} is not the official file: its md5 is {digest} in place of {FILES[name]}; get it anew, as "
                "published."
            )
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it a file you may read.") from error


def _unpacked(path: Path) -> dict[str, bytes]:
    """The files in the tarball; nothing is written anywhere."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for name in FILES:
                member = archive.extractfile(f"{FOLDER}/{name}")
                if member is None:
                    raise KeyError(f"{FOLDER}/{name} is no file")
                found[name] = member.read()
    except (OSError, EOFError, tarfile.TarError, KeyError) as error:
        raise UserError(f"{path} is not the whole official tarball ({error}); get it anew.") from error
    return found


class _ArraysOnly(pickle.Unpickler):
    """Refuses to look up anything but what NumPy arrays are made of; a pickle can run no other code."""

    def find_class(self, module: str, name: str) -> Any:
        """The function or class, by the names that pickles of NumPy 1 and 2 use."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _parse(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) in bytes and their classes (n,)."""
    try:
        table = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        images, labels = np.asarray(table["data"]), np.asarray(table["labels"], np.int32)
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        ImportError,
    ) as error:
        raise UserError(f"{name} is no pickle of NumPy arrays ({error}); get the file anew, as published.") from error
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072 or labels.shape != images.shape[:1]:
        raise UserError(f"{name} holds images of shape {images.shape} and {labels.shape} labels; get the file anew.")
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)
