"""The exact solver against a direct sparse solution and against another simulator's output."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires, exact
from imcjax.crossbar.solvers import pick_transfer

from . import nodal


RESISTANCES = (2.0, 3.0, 5.0, 7.0)
ITERATIVE = ("schur_pcg", "dense_cg")


@pytest.mark.parametrize("solver", ITERATIVE)
@pytest.mark.parametrize("rows, cols", [(1, 1), (1, 9), (9, 1), (12, 7)])
def test_every_field_matches_the_sparse_solution(rows, cols, solver):
    g, v = nodal.example(rows, cols, 3, signed=True)
    currents, w, b, drawn = nodal.solve(g, v, *RESISTANCES)
    with jax.enable_x64(True):
        found = crossbar.solve(g, v, Wires(*RESISTANCES), solver=solver)
        assert found.currents.dtype == np.float64
        for value, reference in zip(found[:4], (currents, w, b, drawn), strict=True):
            assert np.abs(value - reference).max() < 1e-12 * np.abs(reference).max()
        assert found.residual.shape == found.iterations.shape == (3,)
        assert nodal.off(v @ crossbar.transfer_matrix(g, Wires(*RESISTANCES), solver=solver), currents) < 1e-12


@pytest.mark.parametrize("x64, bound", [(False, 1.5e-6), (True, 1e-12)])
@pytest.mark.parametrize("contrast, r", [(100.0, 2.0), (1e4, 2.0), (10.0, 50.0)])
@pytest.mark.parametrize("solver", ITERATIVE)
def test_accuracy_of_a_64_by_48_array(solver, contrast, r, x64, bound):
    g, v = nodal.example(64, 48, 2, contrast=contrast)
    v[1] *= 1e-6
    reference = nodal.solve(g, v, r, r, r, r)[0]
    with jax.enable_x64(x64):
        found = crossbar.currents(g, v, Wires(r, r, r, r), solver=solver)
    assert found.dtype == (np.float64 if x64 else np.float32)
    assert nodal.off(found, reference) < bound


@pytest.mark.parametrize(
    "rows, cols, solver",
    [
        (20, 13, "schur_pcg"),
        (14, 20, "schur_pcg"),
        (20, 13, "dense_cg"),
        (11, 6, "port_merge"),
        (1, 5, "port_merge"),
        (6, 1, "port_merge"),
    ],
)
def test_transfer_matrix_in_float32(rows, cols, solver):
    g, v = nodal.example(rows, cols, 30)
    reference = nodal.solve(g, v, *RESISTANCES)[0]
    wires = Wires(*RESISTANCES)
    assert nodal.off(v @ np.asarray(crossbar.transfer_matrix(g, wires, solver=solver), float), reference) < 1e-6
    assert nodal.off(crossbar.currents(g, v, wires, solver=solver), reference) < 1e-6


def test_auto_merges_where_that_pays():
    assert pick_transfer("auto", 128, 128, 128) == pick_transfer("auto", 1000, 100, 120) == "port_merge"
    for shape in ((20, 128, 128), (10_000, 8, 8), (10_000, 65, 65)):
        assert pick_transfer("auto", *shape) == "schur_pcg"
    assert pick_transfer("pade", 1000, 128, 128) == "pade"


@pytest.mark.slow
def test_merging_is_accurate_in_larger_arrays():
    g, v = nodal.example(64, 50, 1)
    s = crossbar.transfer_matrix(g, Wires(*RESISTANCES), solver="port_merge")
    assert nodal.off(v @ np.asarray(s, float), nodal.solve(g, v, *RESISTANCES)[0]) < 1e-6


def test_dense_matrices_are_accurate_in_float32_on_a_full_array():
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 1e-4, (128, 128)), rng.uniform(0, 0.2, (2, 128))
    found = crossbar.currents(g, v, Wires(2.0, 2.0, 2.0, 2.0), solver="dense_cg")
    assert nodal.off(found, nodal.solve(g, v, 2.0, 2.0, 2.0, 2.0)[0]) < 1e-6


def test_accelerators_get_the_solver_without_scans(monkeypatch):
    assert exact.preferred() == "schur_pcg"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert exact.preferred() == pick_transfer("auto", 1, 16, 16) == "dense_cg"


@pytest.mark.parametrize("solver", ITERATIVE)
def test_each_input_converges_by_itself(solver):
    g, v = nodal.example(24, 24, 3)
    v[0] = 0.0
    v[2] *= 1e-12
    wires = Wires(20.0, 20.0, 5.0, 5.0)
    together = crossbar.solve(g, v, wires, solver=solver)
    alone = [crossbar.solve(g, row, wires, solver=solver) for row in v]
    np.testing.assert_array_equal(together.iterations, [one.iterations for one in alone])
    np.testing.assert_allclose(together.currents, np.stack([one.currents for one in alone]), rtol=1e-6)
    assert not together.currents[0].any()
    assert together.iterations[0] == 0
    assert nodal.off(together.currents[2:], nodal.solve(g, v[2:], 20.0, 20.0, 5.0, 5.0)[0]) < 1e-6


def test_looser_tolerance_costs_fewer_iterations_and_is_kept():
    g, v = nodal.example(48, 48, 1)
    reference = nodal.solve(g, v, 20.0, 20.0, 20.0, 20.0)[0]
    loose, tight = (crossbar.solve(g, v, Wires(20.0, 20.0, 20.0, 20.0), rtol=rtol) for rtol in (1e-2, 1e-6))
    assert loose.iterations[0] < tight.iterations[0]
    assert nodal.off(tight.currents, reference) < 1e-6 < nodal.off(loose.currents, reference) < 1e-2


def test_agrees_with_crosssim():
    folder = Path(os.environ.get("IMCJAX_REFERENCE_DIR", Path(__file__).parents[3] / "shared" / "reference"))
    path = folder / "crosssim_05_ir_inputsource_rp1e-4.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {folder}; set IMCJAX_REFERENCE_DIR")
    with np.load(path, allow_pickle=False) as data:
        g, x, reference = data["g"].T, data["X"].T, data["I_tight"].T
    with jax.enable_x64(True):
        found = crossbar.currents(g, x, Wires(1e-4, 1e-4, 1e-4, 1e-4))
    assert nodal.off(found, reference) < 1e-8


def test_sizes_for_which_a_compiler_fusion_used_to_crash():
    g = np.full((8, 16, 16), 1e-5)
    assert np.isfinite(crossbar.transfer_matrix(g, Wires(*RESISTANCES), solver="schur_pcg")).all()


@pytest.mark.parametrize("solver", ["schur_pcg", "dense_cg"])
def test_a_bad_array_does_not_harm_the_others(solver):
    g, v = nodal.example(10, 8, 1)
    wires = Wires(2e3, 2e3, 2e3, 2e3)
    bad = np.stack([g, g])
    bad[1, 3, 3] = np.nan
    found = jax.jit(lambda g: crossbar.currents(g, v[0], wires, solver=solver))(bad)
    np.testing.assert_allclose(found[0], crossbar.currents(g, v[0], wires, solver=solver), rtol=1e-5)
    assert np.isnan(found[1]).all()
