"""The core is usable without Flax and Optax: importing it loads neither, whatever the order of the imports."""

import subprocess
import sys

import pytest


CORE = ("quantize", "mapping", "devices", "converters", "crossbar", "readout", "pipeline", "hardware")
OUTSIDE = ("flax", "optax")


def loaded_by(statement: str) -> set[str]:
    """The top-level packages among OUTSIDE that a fresh interpreter has loaded after the statement."""
    # sys.modules is read in a new process: in this one, other tests have loaded everything already.
    code = f"{statement}\nimport sys\nprint(*(name for name in {OUTSIDE} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"`{statement}` failed:\n{done.stderr}"
    return set(done.stdout.split())


def test_core_imports_neither_flax_nor_optax():
    assert loaded_by("import " + ", ".join(f"imcjax.{name}" for name in CORE)) == set()


@pytest.mark.parametrize("name", CORE)
def test_each_core_module_imports_on_its_own(name):
    assert loaded_by(f"import imcjax.{name}") == set()


def test_the_check_sees_an_import():
    assert loaded_by("import flax") >= {"flax"}


def test_nn_is_reached_from_the_top_level_on_first_use():
    assert loaded_by("import imcjax; imcjax.convert; imcjax.Rule; imcjax.calibrate; imcjax.summary") >= {"flax"}


def test_packages_are_reached_from_the_top_level_on_first_use():
    assert loaded_by("import imcjax; imcjax.training.fit; imcjax.data.load; imcjax.models.build") >= {"flax", "optax"}
