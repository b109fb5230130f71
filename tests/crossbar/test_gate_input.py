"""The array whose inputs gate its cells."""

import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires

from . import nodal
from .test_spice import run


def nodal_ladders(g, v, segment, bitline, driver, sense):
    """Every column as its own dense nodal system; resistances > 0."""
    rows, cols = g.shape
    found = np.zeros(cols)
    for column in range(cols):
        matrix, known = np.zeros((2 * rows, 2 * rows)), np.zeros(2 * rows)

        def connect(a, b, siemens, matrix=matrix):
            ends = [end for end in (a, b) if end is not None]
            for one in ends:
                matrix[one, one] += siemens
                for other in ends:
                    matrix[one, other] -= siemens * (one != other)

        for row in range(rows):
            connect(row, rows + row, g[row, column] * (v[row] != 0))
            if row:
                connect(row - 1, row, 1 / segment)
                connect(rows + row - 1, rows + row, 1 / bitline)
        connect(0, None, 1 / driver)
        connect(2 * rows - 1, None, 1 / sense)
        known[0] = v.max() / driver
        found[column] = np.linalg.solve(matrix, known)[-1] / sense
    return found


@pytest.mark.parametrize("x64, bound", [(False, 1e-6), (True, 1e-12)])
def test_matches_nodal_analysis(x64, bound):
    g, _ = nodal.example(40, 3, 1)
    v = 0.2 * (np.random.default_rng(1).random((2, 40)) < 0.6)
    reference = np.stack([nodal_ladders(g, one, 20.0, 30.0, 5.0, 7.0) for one in v])
    with jax.enable_x64(x64):
        found = crossbar.currents(g, v, Wires(20.0, 30.0, 5.0, 7.0), topology="gate_input")
    assert nodal.off(found, reference) < bound
    assert nodal.off(v @ g, reference) > 0.1


def test_agrees_with_crosssim():
    folder = Path(os.environ.get("IMCJAX_REFERENCE_DIR", Path(__file__).parents[3] / "shared" / "reference"))
    path = folder / "crosssim_07_ir_gateinput_rp1e-4.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {folder}; set IMCJAX_REFERENCE_DIR")
    with np.load(path, allow_pickle=False) as data:
        g, x, reference = data["g"].T, data["X"].T, data["I_tight"].T
    with jax.enable_x64(True):
        found = crossbar.currents(g, x, Wires(1e-4, 1e-4, 1e-4, 1e-4), topology="gate_input")
    assert nodal.off(found, reference) < 1e-8


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not on the PATH")
@pytest.mark.parametrize("r", [(2, 3, 5, 7), (0, 3, 0, 7), (2, 0, 5, 0)])
def test_ngspice_agrees(r, tmp_path):
    g, _ = nodal.example(5, 3, 1)
    v = np.array([0.2, 0.0, 0.2, 0.2, 0.0])
    found = run(crossbar.to_spice(g, v, Wires(*r), topology="gate_input"), tmp_path)
    with jax.enable_x64(True):
        expected = crossbar.currents(g, v, Wires(*r), topology="gate_input")
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_ideal_wires_broadcasting_and_sign():
    rng = np.random.default_rng(3)
    g, v = rng.random((4, 1, 6, 5)) * 1e-4, -0.1 * (rng.random((7, 6)) < 0.5)
    found = crossbar.currents(g, v, Wires(), topology="gate_input")
    np.testing.assert_allclose(found, np.einsum("bi,aij->abj", v, g[:, 0]), rtol=1e-6)


@pytest.mark.parametrize("r", [0.0, 4.0])
def test_gradients(r):
    g, _ = nodal.example(5, 4, 1)
    g[2, 1] = 0.0
    v = np.array([0.2, 0.0, 0.2, 0.2, 0.2])

    def loss(g, volts, wires):
        found = crossbar.currents(g, jnp.where(v != 0, volts, 0.0), wires, topology="gate_input")
        return 1e5 * jnp.sum(found * np.array([1.0, -2.0, 3.0, 0.5]))

    with jax.enable_x64(True):
        value, start = jax.jit(loss), (g, 0.2, Wires(r, r, r, r))
        found = jax.jit(jax.grad(loss, (0, 1, 2)))(*start)
        assert not found[0][1].any()
        leaves, tree = jax.tree.flatten(start)
        for k, gradient in enumerate(jax.tree.leaves(found)):
            at = (2, 1) if k == 0 else ()
            step = 1e-7 if k == 0 else 1e-3

            def moved(times, k=k, at=at, step=step):
                changed = np.array(leaves[k], float)
                changed[at] += times * step
                return float(value(*jax.tree.unflatten(tree, [*leaves[:k], changed, *leaves[k + 1 :]])))

            expected = (-3 * moved(0) + 4 * moved(1) - moved(2)) / (2 * step)
            assert gradient[at] == pytest.approx(expected, rel=1e-5)
