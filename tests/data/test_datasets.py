import gzip
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imcjax import data
from imcjax.data import mnist
from imcjax.data.base import choose
from imcjax.data.idx import Checksum
from imcjax.errors import UserError


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.data())
@settings(deadline=None, max_examples=100)
def test_choice_is_exact_disjoint_and_balanced(labels, draw):
    y = np.array(labels)
    count = draw.draw(st.integers(0, len(y)))
    chosen, rest = choose(y, count)
    assert len(chosen) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([chosen, rest])), np.arange(len(y)))
    expected = np.bincount(y, minlength=5) * count / len(y)
    assert np.all(np.abs(np.bincount(y[chosen], minlength=5) - expected) < 1)


def test_choice_never_changes():
    """The splits of published results: another generator or rule would move test samples into training."""
    chosen, _ = choose(np.repeat(np.arange(3), 8), 6)
    np.testing.assert_array_equal(chosen, [5, 6, 8, 9, 16, 19])


def check_splits(dataset, sizes):
    """Sizes, types, range and class balance to within one sample a class of the whole."""
    splits = (dataset.train, dataset.validation, dataset.test)
    assert tuple(len(split) for split in splits) == sizes
    for split in splits:
        assert split.x.shape == (len(split), *dataset.shape)
        assert split.x.dtype == np.float32
        assert split.y.dtype == np.int32
        assert split.x.min() == 0
        assert split.x.max() == 1
        assert set(split.y) == set(range(dataset.classes))
    both = np.bincount(dataset.train.y) + np.bincount(dataset.validation.y)
    share = len(dataset.validation) / (len(dataset.train) + len(dataset.validation))
    assert np.all(np.abs(np.bincount(dataset.validation.y) - both * share) < 1)


def test_digits():
    digits = data.load("digits")
    check_splits(digits, (1077, 360, 360))
    images = [{image.tobytes() for image in split.x} for split in (digits.train, digits.validation, digits.test)]
    assert len(set.union(*images)) == 1797  # no two alike, so none is in two splits
    again = data.load("digits", "ignored")
    np.testing.assert_array_equal(digits.test.x, again.test.x)
    np.testing.assert_array_equal(digits.train.y, again.train.y)


@pytest.mark.skipif(not os.environ.get("IMCJAX_DATA_DIR"), reason="IMCJAX_DATA_DIR names no folder with mnist/ in it")
def test_official_mnist():
    official = data.load("mnist")
    check_splits(official, (55_000, 5_000, 10_000))
    assert official.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    direct = data.load("mnist", Path(os.environ["IMCJAX_DATA_DIR"]) / "mnist")
    np.testing.assert_array_equal(official.validation.x, direct.validation.x)


def idx_gz(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.fixture(params=["mnist", "fashion-mnist"])
def small(request, tmp_path, monkeypatch):
    """A set of 120 + 20 images in place of the official files: its name and the folder above its own."""
    random = np.random.default_rng(0)
    folder = tmp_path / request.param
    folder.mkdir()
    checksums = []
    for file, n in zip(mnist.FILES, (120, 120, 20, 20)):
        array = random.integers(0, 256, (n, 28, 28), np.uint8) if "images" in file else np.arange(n, dtype=np.uint8) % 10
        content = idx_gz(array)
        (folder / file).write_bytes(content)
        checksums.append(Checksum("sha256", hashlib.sha256(content).hexdigest()))
    monkeypatch.setitem(mnist.CHECKSUMS, request.param, tuple(checksums))
    monkeypatch.delenv("IMCJAX_DATA_DIR", raising=False)
    return request.param, tmp_path


def test_files_from_data_dir_and_from_the_environment(small, monkeypatch):
    name, above = small
    given = data.load(name, str(above / name))
    check_splits(given, (110, 10, 20))
    assert given.name == name
    monkeypatch.setenv("IMCJAX_DATA_DIR", str(above))
    found = data.load(name)
    np.testing.assert_array_equal(given.train.x, found.train.x)
    monkeypatch.setenv("IMCJAX_DATA_DIR", "/nowhere")
    np.testing.assert_array_equal(data.load(name, above / name).test.x, given.test.x)


def test_no_folder_named(small, monkeypatch):
    name, _ = small
    for value in (None, ""):
        if value is not None:
            monkeypatch.setenv("IMCJAX_DATA_DIR", value)
        with pytest.raises(UserError, match=rf"^{name} is read from train-images.*no folder was named; give --data-dir"):
            data.load(name)


@pytest.mark.parametrize("variable", [True, False])
def test_missing_folder_and_file(small, monkeypatch, variable):
    name, above = small
    origin = r"below the folder of IMCJAX_DATA_DIR" if variable else "given by --data-dir"
    monkeypatch.setenv("IMCJAX_DATA_DIR", str(above) if variable else "")
    folder = above / name
    given = None if variable else folder
    (folder / mnist.FILES[3]).rename(above / "kept")
    with pytest.raises(
        UserError, match=re.escape(f"{mnist.FILES[3]} was looked for in {folder} ({origin}) and is not there; give")
    ):
        data.load(name, given)
    folder.rename(above / "moved")
    with pytest.raises(
        UserError, match=re.escape(f"{mnist.FILES[0]} was looked for in {folder} ({origin}), which is no folder")
    ):
        data.load(name, given)


def test_damaged_file(small):
    name, above = small
    path = above / name / mnist.FILES[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=re.escape(f"{path} is not the official file: its sha256 is")):
        data.load(name, above / name)


def test_counts_that_do_not_agree(small, monkeypatch):
    name, above = small
    (above / name / mnist.FILES[3]).write_bytes(idx_gz(np.zeros(19, np.uint8)))
    monkeypatch.setitem(mnist.CHECKSUMS, name, (None,) * 4)
    with pytest.raises(UserError, match=f"{name} has 20 test images but 19 labels"):
        data.load(name, above / name)


def test_unknown_name():
    assert data.names() == ["cifar-10", "digits", "fashion-mnist", "mnist"]
    with pytest.raises(UserError, match=r"^there is no data set 'mnits' \(nearest: mnist, .*\); give"):
        data.load("mnits")
