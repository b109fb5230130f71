"""The netlist, run by ngspice where that is installed."""

import shutil
import subprocess

import jax
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires
from imcjax.errors import UserError

from . import nodal


def run(netlist, folder):
    if shutil.which("ngspice") is None:
        pytest.skip("ngspice is not on the PATH")
    path = folder / "array.cir"
    path.write_text(netlist)
    done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, timeout=600, check=True)
    return crossbar.read_spice(done.stdout)


@pytest.mark.parametrize(
    "r", [(2, 3, 5, 7), (0, 3, 5, 7), (2, 0, 5, 7), (2, 3, 0, 7), (2, 3, 5, 0), (0, 0, 0, 0), (0, 0, 5, 7)]
)
def test_ngspice_agrees(r, tmp_path):
    g, v = nodal.example(6, 4, 1, signed=True)
    g[2, 3] = g[0, 0] = 0.0
    found = run(crossbar.to_spice(g, v[0], Wires(*r)), tmp_path)
    with jax.enable_x64(True):
        np.testing.assert_allclose(found, crossbar.currents(g, v[0], Wires(*r)), rtol=1e-10, atol=1e-18)


@pytest.mark.parametrize("topology", ["input_source", "gate_input"])
@pytest.mark.parametrize("size", [8, pytest.param(64, marks=pytest.mark.slow)])
def test_ngspice_agrees_on_square_arrays(size, topology, tmp_path):
    g, v = nodal.example(size, size, 1)
    v = v[0] if topology == "input_source" else np.where(v[0] > 0.1, 0.2, 0.0)
    wires = Wires(2, 2, 2, 2)
    found = run(crossbar.to_spice(g, v, wires, topology=topology), tmp_path)
    with jax.enable_x64(True):
        assert nodal.off(found, crossbar.currents(g, v, wires, topology=topology)) < 1e-9


@pytest.mark.parametrize(
    "text, cols, number", [("", None, 0), ("i(vsense0) = 1e-3\ni(vsense2) = 2", None, 2), ("i(vsense0) = 1", 2, 1)]
)
def test_output_of_a_failed_run_is_refused(text, cols, number):
    with pytest.raises(UserError, match=f"has {number} currents"):
        crossbar.read_spice(text + "\nError: singular matrix", cols)
    with pytest.raises(UserError, match="singular matrix"):
        crossbar.read_spice(text + "\nError: singular matrix", cols)


def test_currents_are_read_in_order():
    text = "".join(f"i(vsense{j}) = {value}\n" for j, value in [(1, "-2.5e-06"), (0, "1.000000000000000e-05"), (2, "0")])
    np.testing.assert_array_equal(crossbar.read_spice("No. of Data Rows : 1\n" + text, 3), [1e-5, -2.5e-6, 0])


def test_every_wire_and_cell_is_there_once():
    text = crossbar.to_spice(np.full((3, 2), 1e-5), np.ones(3), Wires(1.0, 1.0, 1.0, 1.0))
    parts = [line.split() for line in text.splitlines() if line[0] in "RV"]
    assert len({part[0] for part in parts}) == len(parts) == 3 + 2 + 6 + 6 + 6
    joined = crossbar.to_spice(np.full((3, 2), 1e-5), np.ones(3), Wires())
    assert joined.count("\nR") == 6
    assert "\nRcell2_1 in2 out1 99999.9" in joined


def test_only_one_array_with_known_numbers():
    with pytest.raises(UserError, match="index them first"):
        crossbar.to_spice(np.ones((2, 3, 2)), np.ones(3), Wires())
    with pytest.raises(UserError, match="traced"):
        jax.jit(lambda g: crossbar.to_spice(g, np.ones(3), Wires()))(np.ones((3, 2)))
