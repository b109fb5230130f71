"""Files that are whole or absent: a reader, or a run that resumes after a kill, never meets half of one.

A write goes to a temporary file in the target's own folder (only there is the rename one step) and is on disk before it takes
the target's name. So an interrupted write leaves the old content, and the same content can be written again.
"""

import json
import math
import os
import uuid
from pathlib import Path
from typing import Any

from imcjax.errors import UserError


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` at `path` in one step, creating missing folders; a symbolic link keeps pointing to its file.

    Raises:
      UserError: where `path` is a folder or a device, or the system refuses the write (full, read-only, not allowed).
    """
    target = Path(os.path.realpath(path))
    if os.path.exists(target) and not os.path.isfile(target):  # renaming onto /dev/null, say, would replace the device
        raise UserError(f"{path} exists and is not a regular file; give the name of a file to write.")
    # The name does not grow out of the target's, which may already be as long as the file system allows.
    temporary = target.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:  # open, not mkstemp, so that the file gets the user's usual permissions
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {_reason(error)}; give a place you may write to, with room left.") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Put `text` at `path` as UTF-8, in one step, with its line ends as they are; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Put `obj` at `path` as indented JSON, in one step; see `write_bytes`.

    Arrays and scalars of NumPy and JAX become lists and numbers, paths become text. JSON has no NaN and no infinity, and most
    readers refuse a file that spells them: such a number is written as null.
    """
    write_text(path, json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The object that the JSON file at `path` holds.

    Raises:
      UserError: where the file is missing, cannot be read, or does not hold one whole JSON value.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {_reason(error)}; give the path of a JSON file.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it, or delete it to have it written anew.") from error


def writable(folder: str | os.PathLike[str]) -> None:
    """Check, before hours of work, that `folder` can be created and written; nothing stays behind.

    Raises:
      UserError: naming the folder and the reason.
    """
    path = Path(folder)
    made: list[Path] = []
    try:
        for part in [*reversed(path.parents), path]:
            if not part.is_dir():
                part.mkdir()
                made.append(part)
        probe = path / f".{uuid.uuid4().hex}.tmp"  # permission bits do not tell of a read-only mount or a full disk
        try:
            probe.write_bytes(b"imcjax")
        finally:
            probe.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise UserError(f"cannot write to the folder {folder}: {_reason(error)}; give a folder you may write to.") from error
    finally:
        for part in reversed(made):
            try:
                part.rmdir()
            except OSError:  # another process put something there meanwhile: it is theirs now
                break


def _plain(value: Any) -> Any:
    """`value` in types that JSON knows."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):  # includes NumPy's float64
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _reason(error: Exception) -> str:
    """The system's own words for what went wrong, with the path it stumbled over where that is known."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
