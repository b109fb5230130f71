import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from imcjax.data import idx
from imcjax.data.idx import Checksum
from imcjax.errors import UserError


def encode(array):
    """The bytes of an uncompressed idx file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


IMAGES = np.arange(2 * 3 * 4).reshape(2, 3, 4)


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
@settings(deadline=None, max_examples=50)
def test_round_trip(tmp_path_factory, array):
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.gz").write_bytes(gzip.compress(encode(array)))
    (folder / "a").write_bytes(encode(array))
    for name in ("a.gz", "a"):
        read = idx.read(folder / name, array.ndim)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, array)


def test_checksum(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(encode(IMAGES)))
    for algorithm in ("md5", "sha256"):
        good = hashlib.new(algorithm, path.read_bytes()).hexdigest()
        np.testing.assert_array_equal(idx.read(path, 3, Checksum(algorithm, good)), IMAGES)
        with pytest.raises(UserError, match=rf"a\.gz is not the official file: its {algorithm} is {good} in place of 0000;"):
            idx.read(path, 3, Checksum(algorithm, "0000"))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "starts with nothing in place of 00000803"),
        (b"\x00\x00", "starts with 0000 in place of 00000803"),
        (encode(IMAGES.ravel()), r"bytes with 3 axes: it starts with 00000801 in place of 00000803"),
        (b"\x00\x00\x0d\x03" + encode(IMAGES)[4:], "starts with 00000d03"),
        (encode(IMAGES)[:9], "ends within its header, after 9 of 16 bytes"),
        (encode(IMAGES)[:-1], r"holds 39 bytes, but its header promises 40 \(2 x 3 x 4 elements\)"),
        (encode(IMAGES) + b"\x00", "holds 41 bytes, but its header promises 40"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "holds 16 bytes, but its header promises 79228162458924105385300197391"),
    ],
)
def test_refuses_what_is_not_one_whole_array(tmp_path, content, message):
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=message):
        idx.read(tmp_path / "a.gz", 3)


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: encode(IMAGES),
        lambda whole: whole[:-10],
        lambda whole: whole[:5],
        lambda whole: whole + b"trailing",
        lambda whole: flipped(whole, len(whole) - 6),
        lambda whole: flipped(whole, 12),
    ],
    ids=["not gzip", "cut", "cut header", "trailing", "wrong crc", "bad deflate"],
)
def test_refuses_bad_gzip(tmp_path, damage):
    (tmp_path / "a.gz").write_bytes(damage(gzip.compress(encode(IMAGES))))
    with pytest.raises(UserError, match=r"a\.gz is not a whole gzip file \(.+\); get the file anew\."):
        idx.read(tmp_path / "a.gz", 3)


def test_refuses_what_it_cannot_open(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*: No such file or directory"):
        idx.read(tmp_path / "absent.gz", 3)
    with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
        idx.read(tmp_path, 3)
