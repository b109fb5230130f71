"""Voltage mode against dense nodal analysis, Thevenin's theorem and ngspice; its bounds, limits and gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError, crossbar
from imcjax.crossbar import Bias, Wires
from imcjax.readout import Voltage, open_circuit_matrix

from . import circuit
from .derivative import check, compiled


WIRES = Wires(20.0, 30.0, 50.0, 70.0)
READ = jax.jit(Voltage().respond, static_argnums=2)


def cells(rows, cols, seed=0, contrast=100.0):
    """1e-4 S down to 1e-4/contrast, log-uniform."""
    rng = np.random.default_rng(seed)
    return 1e-4 * np.exp(-np.log(contrast) * rng.random((rows, cols)))


def nodal(g, wires):
    """(rows, cols) open-circuit volts for a volt on each row."""
    rows, cols = g.shape
    held = {("in", i): np.eye(rows)[i] for i in range(rows)}
    volts = circuit.solve(circuit.array(g, wires.wordline, wires.bitline, wires.driver), held)
    return np.stack([volts["b", rows - 1, j] for j in range(cols)], 1)


def test_without_wires_a_column_is_the_mean_of_the_rows_weighted_by_its_cells():
    g = cells(7, 5)
    found = Voltage().respond(jnp.asarray(g), None, "auto")
    v = np.linspace(-0.2, 0.3, 7)
    np.testing.assert_allclose(v @ found, [np.average(v, weights=column) for column in g.T], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(7, 5), (4, 9)])
def test_wires_match_the_dense_nodal_solution(shape):
    g = cells(*shape)
    expected = nodal(g, WIRES)
    off = np.abs(expected - g / g.sum(0)).max()
    assert off > 1e-3 * expected.max()  # the wires matter here
    found = READ(g.astype(np.float32), WIRES, "auto")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * expected.max())
    if shape == (7, 5):
        with jax.enable_x64(True):
            np.testing.assert_allclose(READ(g, WIRES, "auto"), expected, rtol=1e-10)


def test_open_and_short_circuit_obey_thevenin():
    """Short-circuit currents are open-circuit voltages through the conductances seen into the columns, all of them coupled."""
    g = cells(7, 5)
    with jax.enable_x64(True):
        short = crossbar.transfer_matrix(g, WIRES)
        into = -crossbar.currents(g, Bias(np.zeros(7), np.eye(5)), WIRES)  # row j: a volt at the end of column j
        assert np.abs(into - np.diag(np.diag(into))).max() > 1e-3 * np.abs(into).max()
        np.testing.assert_allclose(READ(g, WIRES, "auto") @ into, short, rtol=1e-9)


def test_ngspice_agrees(tmp_path):
    g = cells(7, 5)
    v = np.linspace(-0.1, 0.2, 7)
    branches = circuit.array(g, WIRES.wordline, WIRES.bitline, WIRES.driver)
    held, ends = {("in", i): v[i] for i in range(7)}, [("b", 6, j) for j in range(5)]
    found = circuit.ngspice(branches, held, ends, tmp_path, part="R")
    with jax.enable_x64(True):
        np.testing.assert_allclose(v @ READ(g, WIRES, "auto"), found, rtol=1e-8)


def test_values_stay_between_the_row_voltages():
    found = np.asarray(READ(cells(7, 5).astype(np.float32), dataclasses.replace(WIRES, access=2e3), "auto"))
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1, rtol=3e-6)


def test_vanishing_resistances_are_no_wires():
    g = cells(7, 5)
    with jax.enable_x64(True):
        ideal = Voltage().respond(jnp.asarray(g), None, "auto")
        np.testing.assert_allclose(READ(g, Wires(), "auto"), ideal, rtol=1e-12)
        drops = [np.abs(READ(g, Wires(r, r, r, r), "auto") - ideal).max() for r in (1e-2, 1e-3)]
        assert drops[0] / drops[1] == pytest.approx(10, rel=1e-2)
        behind = g / (1 + 2e3 * g)
        access = dataclasses.replace(WIRES, access=2e3)
        np.testing.assert_allclose(Voltage().respond(g, access, "ideal"), behind / behind.sum(0), rtol=1e-12)


def test_no_current_flows_through_the_sense_resistance():
    g = cells(7, 5).astype(np.float32)
    np.testing.assert_array_equal(READ(g, WIRES, "auto"), READ(g, dataclasses.replace(WIRES, sense=1e6), "auto"))


def test_rows_may_be_reordered_without_wires():
    g = jnp.asarray(cells(6, 5), jnp.float32)
    order = np.random.default_rng(1).permutation(6)
    np.testing.assert_allclose(Voltage().respond(g[order], None, "auto"), Voltage().respond(g, None, "auto")[order], rtol=1e-6)


def test_multiplying_the_known_sum_back_gives_the_product():
    g = jnp.asarray(cells(2 * 6, 5).reshape(2, 6, 5), jnp.float32)
    unit = Voltage().unit_per_siemens(g)
    assert unit.shape == (2, 1, 5)
    np.testing.assert_allclose(Voltage().respond(g, None, "auto") / unit, g, rtol=1e-6)


def loss(wires, g):
    found = Voltage().respond(g, wires, "auto")
    return jnp.sum(found * np.cos(np.arange(found.size)).reshape(found.shape)) + jnp.sum(found**2)


@pytest.mark.slow
@pytest.mark.parametrize("wires", [dataclasses.replace(WIRES, access=200.0), None], ids=["wires", "no wires"])
def test_gradients(wires):
    names = [] if wires is None else ["wordline", "bitline", "driver", "access"]
    with jax.enable_x64(True):
        check(loss, wires, cells(5, 4), names=names, cells=[(0, 0), (2, 3), (4, 1)])
        if wires is not None:
            assert compiled(loss)[1](wires, cells(5, 4))[0].sense == 0


def test_gradients_where_resistances_are_zero():
    g = cells(5, 4)
    g[1] = 0.0
    with jax.enable_x64(True):
        value, gradient = compiled(loss)
        to_wires, to_g = gradient(Wires(), g)
        np.testing.assert_allclose(to_g, gradient(None, g)[1], rtol=1e-8)
        for name in ("wordline", "bitline", "driver", "access"):
            at = [float(value(Wires(**{name: 0.05 * k}), g)) for k in range(5)]
            expected = np.dot([-25, 48, -36, 16, -3], at) / (12 * 0.05)
            assert getattr(to_wires, name) == pytest.approx(expected, rel=1e-6), name


@pytest.mark.parametrize("wires", [WIRES, None], ids=["wires", "no wires"])
def test_a_column_without_cells_is_at_zero_and_harms_nothing(wires):
    g = cells(5, 4)
    g[:, 1] = 0.0
    kept = np.delete(g, 1, 1)
    with jax.enable_x64(True):
        found = np.asarray(Voltage().respond(jnp.asarray(g), wires, "auto"))
        assert (found[:, 1] == 0).all()
        others = np.delete(found, 1, 1)
        if wires is None:
            np.testing.assert_allclose(others, kept / kept.sum(0), rtol=1e-12)
        else:  # the nodes of the empty column only make its neighbours' wordline segments longer
            nearly = np.insert(kept, 1, 1e-16, 1)
            np.testing.assert_allclose(others, np.delete(nodal(nearly, wires), 1, 1), rtol=1e-8)
        assert np.isfinite(compiled(loss)[1](wires, g)[1]).all()
        unit, back = jax.vjp(Voltage().unit_per_siemens, jnp.asarray(g))
        assert unit[0, 1] == 0
        assert np.isfinite(back(jnp.ones_like(unit))[0]).all()


@pytest.mark.slow
def test_many_arrays_and_many_wires_in_one_call():
    g = np.stack([cells(7, 5, seed) for seed in range(6)]).reshape(2, 3, 7, 5).astype(np.float32)
    found = READ(g, WIRES, "auto")
    np.testing.assert_allclose(found[1, 2], READ(g[1, 2], WIRES, "auto"), atol=1e-6)
    ohms = jnp.array([1.0, 30.0])
    swept = jax.jit(jax.vmap(lambda r: Voltage().respond(g[0, 0], Wires(r, r, r, r), "auto")))(ohms)
    np.testing.assert_allclose(swept[1], READ(g[0, 0], Wires(30.0, 30.0, 30.0, 30.0), "auto"), atol=1e-6)


LARGE = np.stack([cells(40, 24, seed, contrast=1e3) for seed in range(2)])
"""More cells than are solved at once: the rows of an array come from different pieces, and so do the arrays."""


def test_float32_holds_on_larger_arrays_whose_pieces_are_put_together():
    found = READ(LARGE.astype(np.float32), WIRES, "auto")
    for one, g in zip(found, LARGE, strict=True):
        expected = nodal(g, WIRES)
        np.testing.assert_allclose(one, expected, rtol=0, atol=3e-6 * expected.max())


@pytest.mark.slow
def test_gradients_of_larger_arrays_whose_pieces_are_put_together():
    weights = np.arange(40.0)
    to_g = jax.jit(jax.grad(lambda g: jnp.sum(open_circuit_matrix(g, WIRES)[1, :, 3] * weights)))(LARGE.astype(np.float32))
    assert (to_g[0] == 0).all()
    for cell in ((0, 3), (39, 3), (17, 20)):
        unit = np.zeros_like(LARGE[1])
        unit[cell] = 1e-8
        moved = (nodal(LARGE[1] + unit, WIRES) - nodal(LARGE[1] - unit, WIRES))[:, 3] @ weights / 2e-8
        assert to_g[1][cell] == pytest.approx(moved, rel=2e-3, abs=1e-4 * float(abs(to_g).max()))


def test_what_floats_cannot_be_solved_by_everything():
    g = cells(3, 2)
    with pytest.raises(UserError, match="'pade' knows no floating bitlines"):
        Voltage().respond(g, WIRES, "pade")
    with pytest.raises(UserError, match=r"solver 'shcur_pcg' does not exist \(nearest: schur_pcg"):
        Voltage().respond(g, WIRES, "shcur_pcg")
    with pytest.raises(UserError, match="far"):
        Voltage().respond(g, dataclasses.replace(WIRES, driver_far=1.0), "auto")
    with pytest.raises(UserError, match="g is -1"):
        Voltage().respond(-np.ones((3, 2)), WIRES, "auto")
