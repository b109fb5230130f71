"""Agreement with badcrossbar, an independent nodal solver: output currents and node voltages; skipped where it is absent."""

import importlib.util
import logging
import sys
import unittest.mock

import jax
import numpy as np
import pytest

from imcjax import crossbar

from . import nodal


OHM = 2.0  # badcrossbar's sources and outputs are one segment away, as `driver` and `sense` are


@pytest.fixture
def badcrossbar(monkeypatch):
    """The module, with a stand-in for what only its plotting and saving use (cairo needs headers to install)."""
    if importlib.util.find_spec("badcrossbar") is None:
        pytest.skip("badcrossbar is not installed: pip install --no-deps badcrossbar")
    for name in ("cairo", "sigfig", "pathvalidate"):
        if importlib.util.find_spec(name) is None:
            monkeypatch.setitem(sys.modules, name, unittest.mock.MagicMock())
    level = logging.getLogger().level
    module = importlib.import_module("badcrossbar")
    logging.getLogger().setLevel(level)
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rows, cols", [(8, 8), (20, 13), (64, 64)])
def test_currents_and_node_voltages_agree(badcrossbar, rows, cols):
    g, v = nodal.example(rows, cols, 3)
    theirs = badcrossbar.compute(v.T, 1 / g, OHM)
    wires = crossbar.Wires(OHM, OHM, OHM, OHM)
    with jax.enable_x64(True):
        ours = crossbar.solve(g, v, wires, rtol=1e-13)
        merged = v @ crossbar.transfer_matrix(g, wires, solver="port_merge")
    for currents in (ours.currents, merged):
        assert nodal.off(currents, theirs.currents.output) < 1e-9
    for name, found in (("word_line", ours.wordline_v), ("bit_line", ours.bitline_v)):
        wanted = np.moveaxis(getattr(theirs.voltages, name), -1, 0)  # they keep the inputs last
        assert nodal.off(np.reshape(found, (3, -1)), wanted.reshape(3, -1)) < 1e-9
