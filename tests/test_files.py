import json
import os
import stat

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imcjax import files
from imcjax.errors import UserError


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
@settings(deadline=None, max_examples=50)
def test_json_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    files.write_json(path, value)
    assert files.read_json(path) == value


def test_writes_the_bytes_given_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    files.write_text(path, "Δ\r\nline\n")
    assert path.read_bytes() == "Δ\r\nline\n".encode()
    files.write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    files.write_text(tmp_path / "a", "")
    (tmp_path / "b").write_text("")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_longest_name(tmp_path):
    files.write_text(tmp_path / ("x" * 255), "fits")
    with pytest.raises(UserError, match=r"cannot write .*File name too long"):
        files.write_text(tmp_path / ("x" * 256), "does not")


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_write_keeps_the_old_content(tmp_path, monkeypatch, broken, failure):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(UserError if isinstance(failure, OSError) else KeyboardInterrupt, match=r"^cannot write .*No space|^$"):
        files.write_json(path, {"new": 2})
    assert files.read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_symbolic_link_keeps_pointing(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    files.write_text(tmp_path / "link", "content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "content"


def test_refuses_to_replace_what_is_not_a_file(tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(UserError, match="is not a regular file"):
            files.write_text(path, "content")


def test_json_takes_arrays_paths_and_numbers_that_json_lacks(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(
        path,
        {
            "numpy": np.array([[1.5, np.nan], [np.inf, 0.25]]),
            "jax": jnp.arange(3),
            "scalars": (np.float32(0.5), np.float64("nan"), np.int64(7), np.bool_(True), float("-inf")),
            "path": tmp_path,
        },
    )
    strict = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert strict == {
        "numpy": [[1.5, None], [None, 0.25]],
        "jax": [0, 1, 2],
        "scalars": [0.5, None, 7, True, None],
        "path": str(tmp_path),
    }


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path):
    files.write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "a.json", {"object": object()})
    assert files.read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"{} {}", b"\xff\xfe\xfd", b"[" * 200_000])
def test_corrupt_json(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is not valid JSON \(.*\); restore it, or delete it"):
        files.read_json(path)


def test_missing_json(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*a\.json: No such file"):
        files.read_json(tmp_path / "a.json")


def test_writable_leaves_nothing_behind(tmp_path):
    files.writable(tmp_path)
    files.writable(tmp_path / "one" / "two")
    assert list(tmp_path.iterdir()) == []


def test_writable_takes_a_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.writable("one/two")
    files.writable(".")
    assert list(tmp_path.iterdir()) == []


def test_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "made" / ".." / "file" / "below", tmp_path / ("x" * 256), tmp_path / "a\0b"):
        with pytest.raises(UserError, match=r"^cannot write to the folder .*; give a folder you may write to\.$"):
            files.writable(folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_not_permitted(tmp_path):
    tmp_path.chmod(0o555)
    for folder in (tmp_path, tmp_path / "below"):
        with pytest.raises(UserError, match="Permission denied"):
            files.writable(folder)
    with pytest.raises(UserError, match="Permission denied"):
        files.write_text(tmp_path / "a", "")
    tmp_path.chmod(0o755)
