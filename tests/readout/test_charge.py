"""Charge mode against charge conservation in NumPy and in ngspice; the size of its mismatch and of its thermal noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.crossbar import Wires
from imcjax.readout import Charge

from . import circuit
from .derivative import check, compiled


G_REF = 50e-6
KEY = jax.random.key(3)
PLAIN = Charge(c_unit=2e-15, g_ref=G_REF, c_parasitic=3e-15)
CONSTANT = PLAIN.replace(constant_total=1)


def cells(rows, cols, seed=0):
    return G_REF * np.random.default_rng(seed).choice([0.0, 0.25, 0.7, 1.0], (rows, cols))


def column(c_driven, c_grounded, c_parasitic):
    """The capacitors of one column and its node."""
    branches = [(("row", i), "column", c) for i, c in enumerate(c_driven)]
    branches += [("column", circuit.GROUND, c) for c in c_grounded]
    return [*branches, ("column", circuit.GROUND, c_parasitic)]


def conserved(g, readout):
    """(rows, cols): volts of each column per volt on each row, by charge conservation."""
    rows = len(g)
    held = {("row", i): np.eye(rows)[i] for i in range(rows)}
    answers = []
    for part in (g / G_REF).T:
        rest = (1 - part) * readout.c_unit if readout.constant_total else []
        answers.append(circuit.solve(column(part * readout.c_unit, rest, readout.c_parasitic), held)["column"])
    return np.stack(answers, 1)


@pytest.mark.parametrize("readout", [PLAIN, CONSTANT], ids=["plain", "constant total"])
def test_charge_is_conserved(readout):
    g = cells(6, 5)
    with jax.enable_x64(True):
        found = readout.respond(jnp.asarray(g), None, "auto")
        np.testing.assert_allclose(found, conserved(g, readout), rtol=1e-12)
        v = np.linspace(-0.5, 0.8, 6)
        out = v @ found
        # What the rows' capacitors hold is what was taken from the node's other capacitors.
        driven = (g / G_REF * readout.c_unit * (v[:, None] - out)).sum(0)
        rest = (1 - g / G_REF).sum(0) * readout.c_unit if readout.constant_total else 0
        np.testing.assert_allclose(driven, out * (rest + readout.c_parasitic), rtol=1e-10)


def test_ngspice_agrees(tmp_path):
    g, v = cells(4, 1), [0.3, -0.2, 0.5, 0.1]
    part = g[:, 0] / G_REF * CONSTANT.c_unit
    branches = column(part, CONSTANT.c_unit - part, CONSTANT.c_parasitic)
    held = {("row", i): v[i] for i in range(4)}
    found = circuit.ngspice(branches, held, ["column"], tmp_path, part="C")
    np.testing.assert_allclose(np.array(v) @ CONSTANT.respond(jnp.asarray(g), None, "auto"), found, rtol=1e-5)


def test_constant_total_is_the_same_divider_for_every_weight():
    g = jnp.asarray(cells(6, 5), jnp.float32)
    unit = CONSTANT.unit_per_siemens(g)
    np.testing.assert_allclose(unit, np.full((1, 5), 2e-15 / G_REF / (6 * 2e-15 + 3e-15)), rtol=1e-6)
    np.testing.assert_allclose(CONSTANT.noise_sigma(g), np.full(5, np.sqrt(1.380649e-23 * 300 / 15e-15)), rtol=1e-5)


@pytest.mark.parametrize("readout", [PLAIN, CONSTANT], ids=["plain", "constant total"])
def test_the_digital_side_gets_the_conductances_back(readout):
    g = jnp.asarray(cells(2 * 6, 5).reshape(2, 6, 5), jnp.float32)
    unit = readout.unit_per_siemens(g)
    assert unit.shape == (2, 1, 5)
    np.testing.assert_allclose(readout.respond(g, None, "auto") / unit, g, rtol=2e-6)


def test_values_stay_between_the_row_voltages_and_ground():
    g = jnp.asarray(cells(8, 5), jnp.float32)
    for readout in (PLAIN, CONSTANT):
        found = np.asarray(readout.replace(sigma=0.3).respond(g, None, "auto", KEY))
        assert found.min() >= 0
        assert found.sum(0).max() < 1
    alone = PLAIN.replace(c_parasitic=0.0).respond(g, None, "auto")
    np.testing.assert_allclose(alone.sum(0), 1, rtol=1e-6)


def test_rows_may_be_reordered_and_wires_do_not_matter():
    g = jnp.asarray(cells(6, 5), jnp.float32)
    order = np.random.default_rng(1).permutation(6)
    found = PLAIN.respond(g, None, "auto")
    np.testing.assert_allclose(PLAIN.respond(g[order], None, "auto"), found[order], rtol=1e-6)
    np.testing.assert_array_equal(PLAIN.respond(g, Wires(10.0, 10.0), "pade"), found)


@pytest.mark.parametrize("part", [1.0, 0.25])
def test_mismatch_has_the_size_it_says(part):
    """One cell beside a parasitic capacitor far larger than it: the column value is proportional to the cell's capacitor."""
    count, sigma = 40_000, 0.04
    readout = Charge(c_unit=1e-15, g_ref=G_REF, sigma=sigma, c_parasitic=1e-9)
    found = jax.jit(readout.respond, static_argnums=(1, 2))(jnp.full((1, count), part * G_REF), None, "auto", KEY)
    size = np.asarray(found[0], float) * 1e6
    assert size.mean() == pytest.approx(part, abs=5 * sigma / np.sqrt(count))
    assert size.std() == pytest.approx(sigma * np.sqrt(part), rel=5 / np.sqrt(2 * count))


def test_what_a_cell_leaves_is_the_rest_of_the_same_capacitor():
    """With one cell and no parasitics V = driven / whole, whose spread is sigma sqrt(s (1 - s)) to first order."""
    count, sigma, part = 40_000, 0.01, 0.2
    readout = Charge(constant_total=1, g_ref=G_REF, sigma=sigma)
    found = np.asarray(readout.respond(jnp.full((1, count), part * G_REF), None, "auto", KEY)[0], float)
    assert found.mean() == pytest.approx(part, abs=5 * sigma / np.sqrt(count))
    assert found.std() == pytest.approx(sigma * np.sqrt(part * (1 - part)), rel=5 / np.sqrt(2 * count))
    # A chip's capacitors stay its own: rewritten from all to nothing, the same one is on the other side.
    rows = jnp.array([[1.0, 1.0], [1.0, 0.0]]) * G_REF
    full, half = readout.respond(rows, None, "auto", KEY), readout.respond(rows.at[1, 0].set(0.0), None, "auto", KEY)
    assert full[0, 0] == half[0, 0]
    np.testing.assert_array_equal(full[:, 1], half[:, 1])


def test_thermal_noise_is_that_of_the_columns_capacitance():
    one = Charge(c_unit=1e-12, g_ref=G_REF)
    # 64.4 uV on 1 pF at 300 K, a textbook figure.
    assert one.noise_sigma(jnp.array([[G_REF]]))[0] == pytest.approx(64.36e-6, rel=1e-3)
    g = jnp.array([[0.0, G_REF], [0.0, G_REF]])
    np.testing.assert_allclose(one.noise_sigma(g), [0, 64.36e-6 / np.sqrt(2)], rtol=1e-3)
    assert np.isfinite(jax.grad(lambda g: one.noise_sigma(g).sum())(g)).all()


def test_a_column_without_capacitance_is_at_zero():
    bare = Charge(g_ref=G_REF)
    g = jnp.asarray(cells(4, 3), jnp.float32).at[:, 1].set(0.0)
    assert (bare.respond(g, None, "auto")[:, 1] == 0).all()
    assert bare.unit_per_siemens(g)[0, 1] == 0
    gradient = jax.grad(lambda bare, g: bare.respond(g, None, "auto").sum() + bare.unit_per_siemens(g).sum(), (0, 1))(bare, g)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def loss(readout, g):
    found = readout.respond(g, None, "auto", KEY)
    weighted = jnp.sum(found * np.cos(np.arange(found.size)).reshape(found.shape))
    return weighted + 10 * jnp.sum(readout.noise_sigma(g)) + 1e-6 * jnp.sum(readout.unit_per_siemens(g))


@pytest.mark.parametrize("constant", [0, 1])
def test_gradients(constant):
    readout = Charge(constant_total=constant, g_ref=G_REF, sigma=0.05, c_parasitic=2e-15)
    g = G_REF * np.random.default_rng(2).uniform(0.1, 0.9, (4, 3))
    names = ("c_unit", "g_ref", "sigma", "c_parasitic", "temperature_k")
    with jax.enable_x64(True):
        check(loss, readout, g, names=names, cells=[(0, 0), (3, 1), (1, 2)])
        check(loss, readout.replace(sigma=0.0), g, names=["sigma"], steps={"sigma": 1e-3})
        # At nothing and at everything a cell is not divided, and the spread of its parts has no slope.
        ends = np.where(g > 0.5 * G_REF, G_REF, 0.0)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(compiled(loss)[1](readout, ends)))
