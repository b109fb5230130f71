"""Reader of the idx format, in which MNIST and its successors are published.

    bytes 0-1   0, 0
    byte  2     element type: 8 is unsigned byte, the only one these data sets use
    byte  3     rank
    then        one unsigned big-endian 32-bit size per axis, and the elements, last axis fastest

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from imcjax.errors import UserError


class Checksum(NamedTuple):
    """What the bytes of a file, as it lies on disk, must hash to. `algorithm` is a name that hashlib knows."""

    algorithm: str
    hex: str


def read(path: Path, rank: int, checksum: Checksum | None = None) -> UInt8[np.ndarray, "..."]:
    """The array of `rank` axes in the idx file at `path`, which is uncompressed first where its name ends in .gz.

    Raises:
      UserError: where the file cannot be read, does not have the checksum, or is not one whole idx array of bytes.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it a file you may read.") from error
    if checksum is not None:
        found = hashlib.new(checksum.algorithm, raw, usedforsecurity=False).hexdigest()
        if found != checksum.hex:
            raise UserError(
                f"{path} is not the official file: its {checksum.algorithm} is {found} in place of {checksum.hex}; "
                "get the file anew, as published."
            )
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} is not a whole gzip file ({error}); get the file anew.") from error
    return _parse(path, raw, rank)


def _parse(path: Path, raw: bytes, rank: int) -> np.ndarray:
    magic = bytes([0, 0, 8, rank])
    if raw[:4] != magic:
        raise UserError(
            f"{path} is not an idx file of bytes with {rank} {'axis' if rank == 1 else 'axes'}: it starts with "
            f"{raw[:4].hex() or 'nothing'} in place of {magic.hex()}; check that its name belongs to its content."
        )
    header = 4 + 4 * rank
    if len(raw) < header:
        raise UserError(f"{path} ends within its header, after {len(raw)} of {header} bytes; get the file anew.")
    shape = struct.unpack(f">{rank}I", raw[4:header])
    expected = header + math.prod(shape)
    if len(raw) != expected:
        sizes = " x ".join(map(str, shape))
        raise UserError(
            f"{path} holds {len(raw)} bytes, but its header promises {expected} ({sizes} elements); get the file anew."
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
