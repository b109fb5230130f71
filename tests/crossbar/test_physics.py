"""What any circuit of resistors obeys, and its limits."""

import jax
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires

from . import nodal


RESISTANCES = (2.0, 3.0, 5.0, 7.0)


@pytest.fixture(scope="module")
def solved():
    g, v = nodal.example(9, 7, 4, signed=True)
    with jax.enable_x64(True):
        return g, v, jax.tree.map(np.asarray, crossbar.solve(g, v, Wires(*RESISTANCES)))


def test_kirchhoffs_current_law_holds_at_every_node(solved):
    g, v, found = solved
    wordline, bitline, driver, sense = RESISTANCES
    w = np.concatenate([v[:, :, None], found.wordline_v], 2)
    along_w = -np.diff(w, axis=2) / np.array([driver] + [wordline] * 6)
    b = np.concatenate([found.bitline_v, np.zeros((4, 1, 7))], 1)
    along_b = -np.diff(b, axis=1) / np.array([bitline] * 8 + [sense])[:, None]
    cells = g * (found.wordline_v - found.bitline_v)
    at_wordline = along_w - cells - np.pad(along_w[:, :, 1:], ((0, 0), (0, 0), (0, 1)))
    at_bitline = along_b - cells - np.pad(along_b[:, :-1], ((0, 0), (1, 0), (0, 0)))
    assert abs(at_wordline).max() < 1e-10 * abs(along_w).max()
    assert abs(at_bitline).max() < 1e-10 * abs(along_b).max()
    np.testing.assert_allclose(found.source_currents, along_w[:, :, 0], rtol=1e-8)
    np.testing.assert_allclose(found.currents, along_b[:, -1], rtol=1e-8, atol=1e-16)
    np.testing.assert_allclose(found.source_currents.sum(1), found.currents.sum(1), rtol=1e-10)


def test_sources_deliver_the_power_that_the_resistors_take(solved):
    g, v, found = solved
    wordline, bitline, driver, sense = RESISTANCES
    heat = (g * (found.wordline_v - found.bitline_v) ** 2).sum((1, 2))
    heat += (np.diff(found.wordline_v, axis=2) ** 2).sum((1, 2)) / wordline
    heat += (np.diff(found.bitline_v, axis=1) ** 2).sum((1, 2)) / bitline
    heat += driver * (found.source_currents**2).sum(1) + sense * (found.currents**2).sum(1)
    np.testing.assert_allclose((v * found.source_currents).sum(1), heat, rtol=1e-10)


def test_reciprocity():
    # Mirrored in its antidiagonal, an array has drivers where it had sense ends: its S is mirrored too.
    g, _ = nodal.example(8, 5, 1)
    wordline, bitline, driver, sense = RESISTANCES
    with jax.enable_x64(True):
        s = crossbar.transfer_matrix(g, Wires(*RESISTANCES))
        mirrored = crossbar.transfer_matrix(g[::-1, ::-1].T, Wires(bitline, wordline, sense, driver))
    np.testing.assert_allclose(mirrored[::-1, ::-1].T, s, rtol=1e-10)


@pytest.mark.parametrize("solver", [name for name in crossbar.SOLVERS if name != "ideal"])
def test_wires_only_take_away_and_more_so_when_longer(solver):
    g, _ = nodal.example(8, 7, 1)
    r = [0.0, 1.0, 10.0, 100.0, 1e4]
    s = np.stack([crossbar.transfer_matrix(g, Wires(x, x, x, x), solver=solver) for x in r])
    assert (s > 0).all()
    assert (s <= s[0] * (1 + 1e-6)).all()
    assert (np.diff(s.sum((1, 2))) < 0).all()
    assert s[-1].sum() < 0.2 * s[0].sum()


@pytest.mark.parametrize("solver", crossbar.SOLVERS)
def test_ideal_wires_give_the_matrix_product(solver):
    g, v = nodal.example(8, 7, 3, signed=True)
    g[2, 3] = 0.0
    g[:, 5] = 0.0
    s = crossbar.transfer_matrix(g, Wires(), solver=solver)
    np.testing.assert_allclose(s, g.astype(np.float32), rtol=3e-7)
    np.testing.assert_allclose(crossbar.currents(g, v, Wires(), solver=solver), v @ g, rtol=1e-6, atol=1e-11)
    nearly = crossbar.transfer_matrix(g, Wires(1e-12, 1e-12, 1e-12, 1e-12), solver=solver)
    np.testing.assert_allclose(nearly, g.astype(np.float32), rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("solver", ["schur_pcg", "dense_cg", "port_merge"])
def test_some_zero_resistances_among_others(solver):
    g, v = nodal.example(8, 7, 2)
    with jax.enable_x64(True):
        for zero in range(4):
            r = [2.0, 3.0, 5.0, 7.0]
            r[zero] = 0.0
            reference = [1e-5 if x == 0 else x for x in r]
            found = crossbar.currents(g, v, Wires(*r), solver=solver)
            assert nodal.off(found, nodal.solve(g, v, *reference)[0]) < 1e-7


def test_pade_is_exact_to_first_order():
    g, v = nodal.example(10, 12, 2)
    with jax.enable_x64(True):
        for r, bound in ((1.0, 1e-4), (0.1, 1e-6)):
            wires = Wires(r, 2 * r, 3 * r, 4 * r)
            exact = crossbar.currents(g, v, wires)
            assert nodal.off(crossbar.currents(g, v, wires, solver="pade"), exact) < bound
            assert nodal.off(v @ g, exact) > 10 * bound


def test_superposition(solved):
    g, v, found = solved
    with jax.enable_x64(True):
        summed = crossbar.currents(g, v[0] - 3 * v[1], Wires(*RESISTANCES))
    np.testing.assert_allclose(summed, found.currents[0] - 3 * found.currents[1], rtol=1e-10)
