"""CIFAR-10 from its official files or a small set in their form; pickles that ask for more than arrays are refused."""

import hashlib
import io
import os
import pickle
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import data
from imcjax.data import cifar10
from imcjax.errors import UserError


def batch(n, seed):
    random = np.random.default_rng(seed)
    return {
        "batch_label": "testing",
        "labels": (np.arange(n) % 10).tolist(),
        "data": random.integers(0, 256, (n, 3072), np.uint8),
        "filenames": [f"{i}.png" for i in range(n)],
    }


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Batches of 20 images in place of the official ones, below a folder."""
    folder = tmp_path / cifar10.FOLDER
    folder.mkdir()
    sums = {}
    for seed, name in enumerate(cifar10.FILES):
        content = pickle.dumps(batch(20, seed), protocol=4)
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar10, "FILES", sums)
    monkeypatch.delenv("IMCJAX_DATA_DIR", raising=False)
    return tmp_path


def test_folder_batches_and_tarball_give_the_same(small, monkeypatch):
    given = data.load("cifar-10", small)
    assert (len(given.train), len(given.validation), len(given.test)) == (90, 10, 20)
    assert given.test.x.dtype == np.float32
    assert given.test.y.dtype == np.int32
    raw = batch(20, 5)["data"]
    np.testing.assert_allclose(given.test.x[3, 4, 7, 2], raw[3, 2 * 1024 + 4 * 32 + 7] / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.load("cifar-10", small / cifar10.FOLDER).train.x, given.train.x)
    packed = small / "packed"
    packed.mkdir()
    with tarfile.open(packed / cifar10.TARBALL, "w:gz") as archive:
        archive.add(small / cifar10.FOLDER, cifar10.FOLDER)
    np.testing.assert_array_equal(data.load("cifar-10", packed).validation.x, given.validation.x)
    (small / "above").mkdir()
    packed.rename(small / "above" / "cifar-10")
    monkeypatch.setenv("IMCJAX_DATA_DIR", str(small / "above"))
    np.testing.assert_array_equal(data.load("cifar-10").test.x, given.test.x)


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "content, message",
    [
        (pickle.dumps({"data": Evil(), "labels": []}), r"asks for posix\.system|asks for nt\.system"),
        (pickle.dumps(io.BytesIO), "asks for _io.BytesIO"),
        (b"", "Ran out of input"),
        (pickle.dumps([1, 2]), "no pickle of NumPy arrays"),
        (pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [0, 1]}, protocol=4), r"shape \(2, 5\)"),
    ],
)
def test_other_pickles_are_refused(small, monkeypatch, content, message):
    (small / cifar10.FOLDER / "test_batch").write_bytes(content)
    monkeypatch.setitem(cifar10.FILES, "test_batch", hashlib.md5(content).hexdigest())
    with pytest.raises(UserError, match=message):
        data.load("cifar-10", small)


def test_damaged_and_missing_files(small):
    path = small / cifar10.FOLDER / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"data_batch_2 in .* is not the official file: its md5 is"):
        data.load("cifar-10", small)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*data_batch_2"):
        data.load("cifar-10", small)
    with pytest.raises(UserError, match="Neither data_batch_1"):
        data.load("cifar-10", small / "nowhere")
    with pytest.raises(UserError, match="no folder was named"):
        data.load("cifar-10")
    (small / cifar10.TARBALL).write_bytes(b"no tar")
    (small / cifar10.FOLDER).rename(small / "away")
    with pytest.raises(UserError, match="not the whole official tarball"):
        data.load("cifar-10", small)


@pytest.mark.slow
def test_official_files(data_dir):
    official = data.load("cifar-10", data_dir / "cifar-10")
    assert (len(official.train), len(official.validation), len(official.test)) == (45_000, 5_000, 10_000)
    assert official.test.y[:5].tolist() == [3, 8, 8, 0, 6]
    assert np.bincount(official.validation.y).tolist() == [500] * 10


def test_augmentation_moves_and_mirrors_each_image_by_itself():
    images = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (60, 9, 8, 2)), jnp.float32)
    found = np.asarray(cifar10.augment(jax.random.key(1), images))
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    seen = set()
    for i in range(60):
        ways = [
            (down, right, flip)
            for down in range(9)
            for right in range(9)
            for flip in (1, -1)
            if np.array_equal(padded[i, down : down + 9, right : right + 8][:, ::flip], found[i])
        ]
        assert len(ways) == 1
        seen.add(ways[0])
    assert len(seen) > 30
    assert {way[2] for way in seen} == {1, -1}
    assert {way[0] for way in seen} == set(range(9))
    np.testing.assert_array_equal(found, cifar10.augment(jax.random.key(1), images))
    assert np.any(found != cifar10.augment(jax.random.key(2), images))
