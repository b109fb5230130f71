"""The array whose inputs gate its cells."""

import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires, chunks

from . import nodal
from .test_gradients import slope
from .test_spice import run


def nodal_ladders(g, v, segment, bitline, driver, sense):
    """Every column as its own dense nodal system; resistances > 0. Returns source-line and bitline voltages, (rows, cols)."""
    rows, cols = g.shape
    found = np.zeros((2 * rows, cols))
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
        found[:, column] = np.linalg.solve(matrix, known)
    return found[:rows], found[rows:]


@pytest.mark.parametrize("x64, bound", [(False, 1e-6), (True, 1e-12)])
def test_matches_nodal_analysis(x64, bound):
    g, _ = nodal.example(40, 3, 1)
    v = 0.2 * (np.random.default_rng(1).random((2, 40)) < 0.6)
    source_v, bitline_v = np.swapaxes([nodal_ladders(g, one, 20.0, 30.0, 5.0, 7.0) for one in v], 0, 1)
    with jax.enable_x64(x64):
        found = crossbar.solve(g, v, Wires(20.0, 30.0, 5.0, 7.0), topology="gate_input")
    assert nodal.off(found.currents, bitline_v[:, -1] / 7.0) < bound
    assert nodal.off(np.swapaxes(found.wordline_v, 1, 2), np.swapaxes(source_v, 1, 2)) < bound
    assert nodal.off(np.swapaxes(found.bitline_v, 1, 2), np.swapaxes(bitline_v, 1, 2)) < bound
    assert nodal.off(v @ g, found.currents) > 0.1
    np.testing.assert_array_equal(found.source_currents, found.currents)
    assert not found.residual.any()
    assert not found.iterations.any()


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


def loss(g, volts, wires):
    found = crossbar.currents(g, jnp.where(GATES, volts, 0.0), wires, topology="gate_input")
    return 1e5 * jnp.sum(found * np.array([1.0, -2.0, 3.0, 0.5]))


GATES = np.array([True, False, True, True, True])
gradient = jax.grad(loss, (0, 1, 2))


def example(r):
    g, _ = nodal.example(5, 4, 1)
    g[2, 1] = 0.0
    return g, 0.2, Wires(r, 1.5 * r, 2 * r, 0.5 * r)


@pytest.mark.parametrize("r", [0.0, 4.0])
def test_gradients(r):
    with jax.enable_x64(True):
        value, start = jax.jit(loss), example(r)
        found = jax.jit(gradient)(*start)
        assert not found[0][1].any()
        leaves, tree = jax.tree.flatten(start)
        for k, slopes in enumerate(jax.tree.leaves(found)):
            for at in [(2, 1), (0, 0), (4, 3)] if k == 0 else [()]:

                def moved(step, k=k, at=at):
                    changed = np.array(leaves[k], float)
                    changed[at] += step
                    return value(*jax.tree.unflatten(tree, [*leaves[:k], changed, *leaves[k + 1 :]]))

                assert slopes[at] == pytest.approx(slope(moved, 1e-7 if k == 0 else 1e-2), rel=1e-6)


def test_float32_gradients_mapped_over_arrays_are_those_of_float64():
    rng = np.random.default_rng(4)
    g, r = 1e-4 * rng.random((3, 5, 4)), np.array([0.0, 20.0, 2e4])
    mapped = jax.jit(jax.vmap(lambda g, r: gradient(g, 0.2, Wires(r, 30.0, 5.0, 7.0))))
    with jax.enable_x64(True):
        expected = mapped(g, r)
    jax.tree.map(lambda found, reference: np.testing.assert_allclose(found, reference, rtol=1e-5), mapped(g, r), expected)


@pytest.mark.slow
def test_gradient_of_pieces(monkeypatch):
    rng = np.random.default_rng(4)
    g, v = 1e-4 * rng.random((3, 1, 6, 5)), 0.1 * (rng.random((4, 6)) < 0.5)

    def both(g, v, wires):
        fields = crossbar.solve(g, v, wires, topology="gate_input")
        return jax.grad(lambda *at: jnp.sum(crossbar.currents(*at, topology="gate_input")), (0, 1, 2))(g, v, wires), fields

    whole = jax.jit(both)(g, v, Wires(9.0, 5.0, 4.0, 3.0))
    monkeypatch.setitem(chunks._CELLS_AT_ONCE, "cpu", 10)
    jax.clear_caches()
    pieces = jax.jit(both)(g, v, Wires(9.0, 5.0, 4.0, 3.0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, pieces)
    jax.clear_caches()


def test_second_derivatives():
    with jax.enable_x64(True):
        g, volts, _ = example(1.0)
        first = jax.jit(jax.grad(lambda r: loss(g, volts, Wires(r, 2 * r, r, r))))
        assert jax.jit(jax.grad(first))(0.0) == pytest.approx(slope(first, 0.1), rel=1e-6)


def test_an_array_without_a_cell_that_is_on():
    wires, at = Wires(1.0, 2.0, 3.0, 4.0), (np.zeros((3, 2)), 0.5 * np.ones(3))
    value, slopes = jax.value_and_grad(lambda g, v: jnp.sum(crossbar.currents(g, v, wires, topology="gate_input")), (0, 1))(*at)
    assert value == 0
    np.testing.assert_allclose(slopes[0], 0.5)
    np.testing.assert_array_equal(slopes[1], 0)
    off = crossbar.solve(np.ones((3, 2)), np.zeros(3), wires, topology="gate_input")
    assert not any(np.any(field) for field in off)
    one = crossbar.solve(np.full((1, 1), 0.25), np.ones(1), wires, topology="gate_input")
    np.testing.assert_allclose([*one.currents, *one.wordline_v[0], *one.bitline_v[0]], np.array([1, 8, 4]) / 11, rtol=1e-6)
