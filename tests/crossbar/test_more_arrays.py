"""Interleaved pairs, access resistance, and passive arrays with biased and floating lines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Bias, Wires, select
from imcjax.errors import UserError

from . import nodal
from .test_gradients import increased, slope, with_more
from .test_spice import run


OHMS = 2.0, 3.0, 5.0, 7.0
WIRES = Wires(*OHMS)
EXACT = ["schur_pcg", "dense_cg"]


def pairs(rows, cols, inputs):
    g, v = nodal.example(2 * rows, cols, inputs, signed=True)
    return g.reshape(rows, 2, cols).swapaxes(0, 1), v[:, ::2]


def assert_close(found, reference, tolerance):
    for value, expected in zip(found, reference, strict=True):
        assert np.shape(value) == expected.shape
        assert np.abs(value - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("solver", EXACT)
@pytest.mark.parametrize("rows, cols", [pytest.param(1, 1, marks=pytest.mark.slow), (7, 12)])
def test_interleaved_pairs_match_the_sparse_solution(rows, cols, solver):
    g, v = pairs(rows, cols, 3)
    doubled = np.stack([v, -v], 2).reshape(3, -1)
    currents, w, b, drawn = nodal.solve(g.swapaxes(0, 1).reshape(-1, cols), doubled, *OHMS, meets=2)
    expected = currents, w.reshape(3, rows, 2, cols).swapaxes(1, 2), b, drawn.reshape(3, rows, 2).swapaxes(1, 2)
    with jax.enable_x64(True):
        found = crossbar.solve(g, v, WIRES, topology="interleaved", solver=solver)
        assert_close(found[:4], expected, 1e-12)
        s = crossbar.transfer_matrix(g, WIRES, topology="interleaved", solver=solver)
        assert_close([v @ s], expected[:1], 1e-12)
    found = crossbar.currents(g, v, WIRES, topology="interleaved", solver=solver)
    assert nodal.off(found, currents) < 2e-6


@pytest.mark.slow
def test_interleaved_pairs_that_are_equal_carry_nothing():
    g, v = pairs(6, 5, 2)
    found = crossbar.solve(np.stack([g[0]] * 2), v, WIRES, topology="interleaved")
    assert np.abs(found.currents).max() < 1e-6 * np.abs(v @ g[0]).max()
    assert np.abs(found.bitline_v).max() < 1e-6
    # What the two cancel does not flow through the bitline.
    together = crossbar.solve(g, np.abs(v), WIRES, topology="interleaved").bitline_v
    alone = [crossbar.solve(one, np.abs(v), WIRES).bitline_v for one in g]
    assert np.abs(together).max() < max(np.abs(one).max() for one in alone)
    ideal = v @ (g[0] - g[1])
    np.testing.assert_allclose(crossbar.currents(g, v, Wires(), topology="interleaved"), ideal, rtol=1e-5, atol=1e-9)
    pade = crossbar.currents(g, v, Wires(0.1, 0.1, 0.1, 0.1), topology="interleaved", solver="pade")
    np.testing.assert_allclose(pade, crossbar.currents(g, v, Wires(0.1, 0.1, 0.1, 0.1), topology="interleaved"), rtol=1e-4)


@pytest.mark.parametrize("topology", ["input_source", "gate_input"])
def test_access_resistance_is_in_series_with_each_cell(topology):
    g, v = nodal.example(6, 5, 2)
    v = np.where(v > 0.1, 0.2, 0.0) if topology == "gate_input" else v
    g[1, 2] = 0.0
    behind = np.where(g > 0, 1 / (1 / np.where(g > 0, g, 1) + 3e3), 0)
    with_access = Wires(*OHMS, access=3e3)
    with jax.enable_x64(True):
        found = crossbar.solve(g, v, with_access, topology=topology)
        expected = crossbar.solve(behind, v, WIRES, topology=topology)
        assert_close(found[:4], [np.asarray(x) for x in expected[:4]], 1e-13)
        value = jax.jit(lambda a: jnp.sum(crossbar.currents(g, v, with_more(with_access, "access", a), topology=topology)))
        assert jax.grad(value)(0.0) == pytest.approx(slope(value, 5.0), rel=1e-8)
        if topology == "input_source":
            s = crossbar.transfer_matrix(g, with_access, solver="port_merge")
            assert_close([v @ s], [np.asarray(found.currents)], 1e-12)


BIASES = {
    "voltages": Bias(np.linspace(-0.2, 0.3, 6), np.linspace(0.1, -0.2, 5)),
    "some float": Bias(np.linspace(0, 0.3, 6), None, np.arange(6) % 2 == 0, np.arange(5) == 1),
    "bitlines float": Bias(np.linspace(0, 0.3, 6), np.full(5, 0.1), None, np.arange(5) != 3),
    **{scheme: select(6, 5, 2, 3, 0.2, scheme) for scheme in ("ground", "half", "third", "float")},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in ("bitlines float", "ground", "half", "float"))) for name in BIASES],
)
def test_biased_and_floating_lines_match_the_sparse_solution(name):
    g, _ = nodal.example(6, 5, 1)
    bias = BIASES[name]
    held = None if bias.bitline_v is None else np.asarray(bias.bitline_v)[None]
    floating = tuple(False if x is None else np.asarray(x) for x in bias[2:])
    expected = nodal.solve(g, np.asarray(bias.wordline_v)[None], *OHMS, bitline_v=held, floating=floating)
    with jax.enable_x64(True):
        for solver in EXACT if not np.any([np.any(x) for x in floating]) else ["auto"]:
            found = crossbar.solve(g, bias, WIRES, solver=solver)
            assert_close(found[:4], [x[0] for x in expected], 1e-10)
            np.testing.assert_array_equal(crossbar.currents(g, bias, WIRES, solver=solver), found.currents)
    found = crossbar.currents(g, bias, WIRES)
    assert found.dtype == np.float32
    assert np.abs(found - expected[0][0]).max() < 2e-6 * np.abs(expected[0]).max()


@pytest.mark.slow
def test_all_cells_are_read_in_one_batch():
    g, _ = nodal.example(6, 5, 1)
    rows, cols = np.mgrid[:6, :5]
    for scheme in ("third", "float"):
        bias = select(6, 5, rows, cols, 0.2, scheme)
        found = crossbar.currents(g, bias, WIRES)
        assert found.shape == (6, 5, 5)
        one = crossbar.currents(g, select(6, 5, 4, 2, 0.2, scheme), WIRES)
        np.testing.assert_allclose(found[4, 2], one, rtol=3e-5, atol=1e-6 * float(abs(one).max()))


def test_sneak_paths_and_what_the_schemes_do_about_them():
    g = np.full((16, 16), 1e-4)
    g[3, 5] = 1e-6
    alone = 0.2 * g[3, 5]
    read = {s: crossbar.currents(g, select(16, 16, 3, 5, 0.2, s), Wires())[5] for s in crossbar.bias.SCHEMES}
    # A resistor of 15 parallel cells, 225 cells and 15 cells is all that the floating lines put beside the selected cell.
    sneak = 0.2 * 1e-4 / (1 / 15 + 1 / 225 + 1 / 15)
    assert read["float"] == pytest.approx(alone + sneak, rel=1e-5)
    assert read["ground"] == pytest.approx(alone, rel=1e-5)
    assert read["half"] == pytest.approx(alone + 15 * 1e-4 * 0.1, rel=1e-5)
    assert read["third"] == pytest.approx(alone + 15 * 1e-4 * 0.2 / 3, rel=1e-5)


def test_a_floating_line_without_cells_is_at_zero():
    g, _ = nodal.example(4, 3, 1)
    g[1] = 0.0
    bias = Bias(np.full(4, 0.2), None, np.arange(4) == 1)
    found = crossbar.solve(g, bias, WIRES)
    assert np.abs(found.wordline_v[1]).max() == found.source_currents[1] == 0.0
    np.testing.assert_allclose(found.currents, crossbar.currents(g, np.where(np.arange(4) == 1, 0, 0.2), WIRES), rtol=1e-6)


def interleaved(g, v, wires):
    found = crossbar.solve(g, v, wires, topology="interleaved")
    total = 1e9 * jnp.sum(found.source_currents**2) + 1e4 * jnp.sum(found.currents) + 1e3 * jnp.sum(found.bitline_v**2)
    s = crossbar.transfer_matrix(g, wires, topology="interleaved")
    return total + jnp.sum(found.wordline_v * np.cos(np.arange(g.size)).reshape(g.shape)) + 1e9 * jnp.sum(s**2)


def biased(g, v, wires):
    floating = np.arange(4) == 2, np.arange(3) == 1
    found = crossbar.solve(g[0], Bias(v[0], v[1, :3], *floating), wires)
    total = 1e9 * jnp.sum(found.source_currents**2) + 1e4 * jnp.sum(found.currents) + 1e3 * jnp.sum(found.bitline_v**2)
    return total + jnp.sum(found.wordline_v * np.cos(np.arange(12)).reshape(4, 3))


@pytest.mark.parametrize("loss", [interleaved, biased])
@pytest.mark.parametrize("ohms", [(*OHMS, 100.0), pytest.param((0.0,) * 5, marks=pytest.mark.slow)])
def test_gradients(loss, ohms):
    g, v = pairs(4, 3, 2)
    g[0, 1, 2] = 0.0
    wires = Wires(*ohms[:4], access=ohms[4])
    with jax.enable_x64(True):
        value = jax.jit(loss)
        to_g, to_v, to_wires = jax.jit(jax.grad(loss, (0, 1, 2)))(g, v, wires)
        for cell in ((0, 1, 2), (0, 3, 1), (0, 2, 0)):
            expected = slope(lambda h, cell=cell: value(increased(g, cell, h), v, wires), 1e-7)
            assert to_g[cell] == pytest.approx(expected, rel=1e-5, abs=1e-6 * float(abs(to_g).max()))
        for place in ((0, 0), (1, 2), (0, 2), (1, 1)):
            expected = slope(lambda h, place=place: value(g, increased(v, place, h), wires), 1e-3)
            assert to_v[place] == pytest.approx(expected, rel=1e-6, abs=1e-8 * float(abs(to_v).max()))
        for name in ("wordline", "bitline", "driver", "sense", "access"):
            expected = slope(lambda h, name=name: value(g, v, with_more(wires, name, h)), 0.05)
            assert getattr(to_wires, name) == pytest.approx(expected, rel=1e-5, abs=1e-8), name


@pytest.mark.slow
@pytest.mark.parametrize("low", [1e-6, 1e-8, 1e-10])
def test_floating_lines_that_hold_each_other_far_better_than_the_selected_ones_hold_them(low):
    g = np.full((32, 24), 1e-4)
    g[20], g[:, 10] = low, 2 * low

    def both(x64):
        def read(g):
            found = crossbar.solve(g, select(32, 24, 20, 10, 0.2, "float"), WIRES)
            return found.currents[10], (found.wordline_v, found.source_currents[20])

        with jax.enable_x64(x64):
            done = jax.jit(jax.value_and_grad(read, has_aux=True))(g.astype(np.float64 if x64 else np.float32))
            return jax.tree.map(np.asarray, done)

    (found, (w, drawn)), to_g = both(False)
    (expected, (w_expected, _)), to_g_expected = both(True)
    assert found == pytest.approx(float(expected), rel=3e-6)
    assert drawn == pytest.approx(float(expected), rel=3e-6)
    np.testing.assert_allclose(w, w_expected, atol=1e-6 * 0.2 * 3)
    np.testing.assert_allclose(to_g, to_g_expected, rtol=1e-3, atol=1e-5 * float(abs(to_g_expected).max()))


@pytest.mark.slow
def test_float32_with_floating_lines_of_high_contrast():
    g, _ = nodal.example(64, 48, 1, contrast=1e4)
    for scheme in ("float", "half"):
        bias = select(64, 48, 20, 30, 0.2, scheme)
        with jax.enable_x64(True):
            expected = crossbar.currents(g, bias, WIRES)
        assert nodal.off(crossbar.currents(g, bias, WIRES)[30:31], expected[30:31]) < 2e-6


@pytest.mark.parametrize("name", ["some float", "third", "interleaved", "access"])
def test_ngspice_agrees(name, tmp_path):
    g, v = nodal.example(6, 5, 1, signed=True)
    wires, topology = Wires(*OHMS, access=1e3 if name == "access" else 0.0), "input_source"
    given = BIASES.get(name, v[0])
    if name == "interleaved":
        (g, given), topology = (x if k == 0 else x[0] for k, x in enumerate(pairs(6, 5, 1))), name
    found = run(crossbar.to_spice(g, given, wires, topology=topology), tmp_path)
    with jax.enable_x64(True):
        expected = crossbar.currents(g, given, wires, topology=topology)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * float(abs(expected).max()))


@pytest.mark.slow
def test_nonlinear_interleaved_pairs_obey_kirchhoff():
    g, v = pairs(5, 4, 2)
    wires = Wires(20.0, 30.0, 50.0, 70.0, None, 60.0)
    with jax.enable_x64(True):
        cell = crossbar.cells.Sinh(0.1)
        found = crossbar.solve(g, v, wires, topology="interleaved", cell=cell)
        c = cell.current(g, found.wordline_v - found.bitline_v[:, None])
        np.testing.assert_allclose(found.source_currents, c.sum(-1), rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(found.currents, c.sum((1, 2)), rtol=1e-9, atol=1e-15)
        w, b = found.wordline_v, found.bitline_v
        along = (w[..., :-1] - w[..., 1:]) / 20.0
        np.testing.assert_allclose(along[..., -1], c[..., -1], rtol=1e-6, atol=1e-12)
        into = (b[:, :-1] - b[:, 1:]) / 30.0
        np.testing.assert_allclose(into[:, 0] + b[:, 0] / 60.0, c.sum(1)[:, 0], rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_masks_of_floating_lines_can_be_mapped():
    g, _ = nodal.example(4, 3, 1)
    rows = jnp.arange(4)

    def loss(g, row):
        return jnp.sum(crossbar.currents(g, select(4, 3, row, 1, 0.2, "float"), WIRES) ** 2) * 1e9

    both = jax.jit(jax.value_and_grad(loss))
    mapped = jax.jit(jax.vmap(both, (None, 0)))(g, rows)
    for k in range(4):
        for found, alone in zip(mapped, both(g, k), strict=True):
            np.testing.assert_allclose(found[k], alone, rtol=1e-3, atol=1e-4 * float(abs(alone).max()))


def test_what_cannot_be_refused_under_jit_is_nan():
    g, _ = nodal.example(4, 3, 1)
    for scheme in ("half", "float"):
        found = jax.jit(lambda row, s=scheme: crossbar.currents(g, select(4, 3, row, 1, 0.2, s), WIRES))(7)
        assert np.isnan(found).all()
    mixed = jax.jit(lambda v: crossbar.currents(g, v, WIRES, topology="gate_input"))(np.array([0.1, 0.2, 0.0, 0.2]))
    assert np.isnan(mixed).all()
    # What a floating line would be held at does not matter, whatever it is.
    bias = Bias(jnp.array([0.1, jnp.nan, 0.1, 0.1]), None, np.arange(4) == 1)
    assert np.isfinite(jax.jit(lambda v: crossbar.currents(g, bias._replace(wordline_v=v), WIRES))(bias.wordline_v)).all()


def test_wrong_input():
    g, v = nodal.example(4, 3, 1)
    floating = np.arange(4) == 1
    fars = Wires(sense_far=1.0)
    for call, words in [
        (lambda: select(4, 3, 0, 0, 0.1, "halve"), r"scheme 'halve' does not exist \(nearest: half"),
        (lambda: select(4, 3, 4, 0, 0.1), "row is 4; give whole numbers from 0 to 3"),
        (lambda: select(4, 3, 1, 0.5, 0.1), "col is 0.5"),
        (lambda: crossbar.currents(g, Bias(v[0], v[0]), Wires()), r"bitline_v has shape \(4,\); give \(..., 3\)"),
        (lambda: crossbar.currents(g, Bias(v[0], np.full(3, np.nan)), Wires()), "bitline_v is nan V"),
        (lambda: crossbar.currents(g, Bias(v[0], None, np.ones(4)), Wires()), "give True for each line that floats"),
        (lambda: crossbar.currents(g, Bias(v[0], None, floating), Wires(), solver="pade"), "no floating lines; leave"),
        (lambda: crossbar.currents(g, Bias(v[0], None, floating), fars), "A line cannot float that has a driver_far"),
        (lambda: crossbar.to_spice(g, Bias(v[0], None, floating), fars), "A line cannot float that has a driver_far"),
        (
            lambda: crossbar.currents(g, Bias(v[0], None, floating), Wires(), cell=crossbar.cells.Sinh(0.1)),
            "Lines float and cells are nonlinear",
        ),
        (lambda: crossbar.currents(g, None, Wires()), "v is None; give one voltage for each row"),
        (lambda: crossbar.to_spice(g, Bias(None), Wires()), "wordline_v is None"),
        (lambda: crossbar.currents(g, Bias(v[0], np.zeros((0, 3))), Wires()), r"bitline_v has shape \(0, 3\)"),
        (lambda: crossbar.currents(g, Bias(np.full(4, np.nan)), Wires()), "wordline_v is nan V"),
        (lambda: crossbar.currents(g, v, Wires(), rtol="x"), "rtol is 'x'"),
        (lambda: crossbar.currents(g, v, Wires(), solver=["auto"]), r"solver \['auto'\] does not exist"),
        (lambda: select(4, 3, np.arange(4), np.arange(3), 0.1), r"give row\[:, None\]"),
        (lambda: select(4, 3, np.arange(0), 1, 0.1), "give whole numbers from 0 to 3"),
        (lambda: crossbar.currents(np.stack([g, g]), v[0, :3], Wires(), topology="interleaved"), r"row of g \(2, 4, 3\)"),
        (lambda: crossbar.currents(g, Bias(v[0]), Wires(), topology="gate_input"), "A Bias was given with topology"),
        (lambda: crossbar.currents(g, v, Wires(), topology="interleaved"), r"give \(..., 2, rows, cols\)"),
        (lambda: crossbar.transfer_matrix(g, Wires(), topology="gate_input"), "has no transfer matrix"),
        (lambda: crossbar.currents(g, v, Wires(access=-1.0)), r"wires\.access is -1 ohm"),
        (
            lambda: crossbar.transfer_matrix(np.stack([g, g]), Wires(), topology="interleaved", solver="port_merge"),
            "'port_merge' knows no interleaved pairs; give topology 'input_source'",
        ),
    ]:
        with pytest.raises(UserError, match=words):
            call()
