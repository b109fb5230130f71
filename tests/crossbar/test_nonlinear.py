"""Nonlinear cells against general root finding on the nodal equations, their gradients and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from imcjax import crossbar
from imcjax.crossbar import Wires, nonlinear
from imcjax.crossbar.cells import Cubic, Polynomial, Sinh
from imcjax.errors import UserError

from . import nodal
from .test_gradients import increased, slope, with_more


SOME = Wires(20.0, 30.0, 50.0, 70.0)
FAR = Wires(20.0, 30.0, 50.0, 70.0, 40.0, 60.0)
CURVE = np.array([0.5, 3.0, -1.0])
CELLS = {
    "sinh": (Sinh(0.1), lambda u: 0.1 * np.sinh(u / 0.1)),
    "cubic": (Cubic(-0.25), lambda u: u - 0.25 * u**3),
    "polynomial": (Polynomial(CURVE), lambda u: u + 0.5 * u**2 + 3 * u**3 - u**4),
}


def root(g, v, wires, phi):
    """Currents and node voltages of one input by Kirchhoff's current law, solved by SciPy."""
    wordline, bitline, *ends = (0.0 if r is None else 1 / r for r in (getattr(wires, name) for name in wires.__match_args__))
    driver, sense, driver_far, sense_far = ends

    def unbalanced(x):
        w, b = x.reshape(2, *g.shape)
        cells = g * phi(w - b)
        along_w = wordline * np.diff(w, axis=1, prepend=w[:, :1], append=w[:, -1:])
        along_b = bitline * np.diff(b, axis=0, prepend=b[:1], append=b[-1:])
        at_w = np.diff(along_w, axis=1) - cells
        at_b = np.diff(along_b, axis=0) + cells
        at_w[:, 0] += driver * (v - w[:, 0])
        at_w[:, -1] += driver_far * (v - w[:, -1])
        at_b[-1] -= sense * b[-1]
        at_b[0] -= sense_far * b[0]
        return 1e4 * np.concatenate([at_w, at_b]).ravel()

    start = np.stack([np.broadcast_to(v[:, None], g.shape), 0 * g]).ravel()
    w, b = scipy.optimize.fsolve(unbalanced, start, xtol=1e-13).reshape(2, *g.shape)
    return sense * b[-1] + sense_far * b[0], w, b, (g * phi(w - b)).sum(1)


@pytest.mark.parametrize(
    "kind, solver, wires",
    [("sinh", "schur_pcg", SOME), ("sinh", "dense_cg", FAR), ("cubic", "auto", SOME), ("polynomial", "auto", FAR)],
)
def test_every_field_matches_root_finding(kind, solver, wires):
    cell, phi = CELLS[kind]
    g, v = nodal.example(5, 4, 2, signed=True)
    g *= 10
    g[1, 2] = 0.0
    with jax.enable_x64(True):
        found = crossbar.solve(g, 2 * v, wires, solver=solver, cell=cell)
        linear = crossbar.currents(g, 2 * v, wires)
        assert found.currents.dtype == np.float64
        for k in range(2):
            for value, reference in zip(found[:4], root(g, 2 * v[k], wires, phi), strict=True):
                assert np.abs(value[k] - reference).max() < 1e-9 * np.abs(reference).max()
        np.testing.assert_array_equal(crossbar.currents(g, 2 * v, wires, solver=solver, cell=cell), found.currents)
        assert nodal.off(found.currents, linear) > 3e-3
        assert (found.residual < 1e-13).all()
        assert ((found.iterations > 3) & (found.iterations < 40)).all()


@pytest.mark.parametrize(
    "kind, wires",
    [
        ("sinh", FAR),
        pytest.param("polynomial", SOME, marks=pytest.mark.slow),
        pytest.param("sinh", Wires(), marks=pytest.mark.slow),
    ],
)
def test_gradients(kind, wires):
    g, v = nodal.example(5, 4, 2, signed=True)
    g[1, 2] = g[0] = 0.0

    def loss(g, v, wires, cell):
        found = crossbar.solve(g, v, wires, cell=cell)
        total = 1e9 * jnp.sum(found.source_currents**2) + 1e4 * jnp.sum(found.currents) + 1e3 * jnp.sum(found.bitline_v**2)
        return total + jnp.sum(found.wordline_v * np.cos(np.arange(g.size)).reshape(g.shape))

    cell = CELLS[kind][0]
    with jax.enable_x64(True):
        value = jax.jit(loss)
        to_g, to_v, to_wires, to_cell = jax.jit(jax.grad(loss, (0, 1, 2, 3)))(g, v, wires, cell)
        for place in ((1, 2), (4, 3)):
            expected = slope(lambda h, place=place: value(increased(g, place, h), v, wires, cell), 1e-7)
            assert to_g[place] == pytest.approx(expected, rel=1e-5, abs=1e-6 * float(abs(to_g).max()))
        expected = slope(lambda h: value(g, increased(v, (1, 3), h), wires, cell), 1e-4)
        assert to_v[1, 3] == pytest.approx(expected, rel=1e-6)
        for name in ("wordline", "bitline", "driver", "sense") + ("driver_far", "sense_far") * wires.both_ends:
            expected = slope(lambda h, name=name: value(g, v, with_more(wires, name, h), cell), 0.05)
            assert getattr(to_wires, name) == pytest.approx(expected, rel=1e-5, abs=1e-9)
        (number,), (to_number,) = jax.tree.leaves(cell), jax.tree.leaves(to_cell)
        last = np.eye(np.size(number))[-1].reshape(np.shape(number))
        expected = slope(lambda h: value(g, v, wires, jax.tree.map(lambda n: n + h * last, cell)), 2e-4)
        assert np.ravel(to_number)[-1] == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.slow
def test_second_derivative():
    g, v = nodal.example(4, 3, 2)

    def current(v0):
        return 1e6 * jnp.sum(crossbar.currents(g, v, SOME, cell=Sinh(v0)))

    with jax.enable_x64(True):
        first = jax.jit(jax.grad(current))
        assert jax.jit(jax.grad(first))(0.1) == pytest.approx(slope(lambda h: first(0.1 + h), 1e-4), rel=1e-6)


@pytest.mark.parametrize("solver", ["schur_pcg", "dense_cg"])
def test_limits(solver):
    g, v = nodal.example(12, 9, 3, signed=True)
    v[1] = 0.0
    wires, nearly = (
        Wires(2.0, 3.0, 5.0, 7.0),
        jax.jit(lambda wires, v0, v: crossbar.solve(g, v, wires, solver=solver, cell=Sinh(v0))),
    )
    linear = crossbar.currents(g, v, wires)
    np.testing.assert_allclose(nearly(wires, 1e3, v).currents, linear, rtol=2e-6, atol=1e-11)
    np.testing.assert_allclose(nearly(Wires(), 0.1, v).currents, 0.1 * np.sinh(v / 0.1) @ g, rtol=2e-6, atol=1e-11)
    small = nearly(wires, 0.1, 1e-6 * v)
    np.testing.assert_allclose(small.currents, 1e-6 * linear, rtol=2e-6, atol=1e-17)
    assert not small.iterations[1]
    # Far above v0 the wires carry what they can: Newton's steps are cut, and still arrive.
    steep = nearly(wires, 0.02, np.abs(v))
    assert (steep.residual < 5e-7).all()
    assert (steep.currents[0] > linear[0]).all()


@pytest.mark.slow
def test_float32_reaches_its_tolerance():
    g, v = nodal.example(64, 48, 2)
    with jax.enable_x64(True):
        reference = crossbar.currents(g, v, SOME, cell=Sinh(0.1))
    for solver in ("schur_pcg", "dense_cg"):
        found = crossbar.solve(g, v, SOME, cell=Sinh(0.1), solver=solver)
        assert nodal.off(found.currents, reference) < 1e-6
        assert (found.iterations < 60).all()


def test_batches_and_maps_agree():
    g, v = nodal.example(6, 5, 4)
    together = crossbar.currents(np.stack([g, 0.5 * g])[:, None], v, SOME, cell=Sinh(0.1))
    assert together.shape == (2, 4, 5)
    mapped = jax.vmap(lambda v0: crossbar.currents(0.5 * g, v, SOME, cell=Sinh(v0)))(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(mapped[0], together[1], rtol=2e-6)


def test_what_cannot_be_solved_is_refused_or_shown(monkeypatch):
    g, v = nodal.example(6, 5, 1)
    for options, words in [
        ({"cell": 0.1}, "cell is 0.1"),
        ({"cell": Sinh(-1.0)}, r"cell\.v0 is -1 V"),
        ({"cell": Sinh(np.ones(3))}, "one number"),
        ({"cell": Polynomial(1.0)}, r"one array \(n,\)"),
        ({"cell": Cubic(-20.0)}, "less current at more voltage near -?0.13 V"),
        ({"cell": Sinh(0.1), "solver": "pade"}, "'pade' knows linear cells only"),
    ]:
        with pytest.raises(UserError, match=words):
            crossbar.currents(g, v, SOME, **options)
    with pytest.raises(UserError, match="linear cells only"):
        crossbar.currents(g, np.full(6, 0.1), SOME, cell=Sinh(0.1), topology="gate_input")
    monkeypatch.setattr(nonlinear, "_STEPS", 1)
    found = crossbar.solve(g, v, Wires(21.0, 30.0, 50.0, 70.0), cell=Sinh(0.1), rtol=3e-7)
    assert found.residual > 1e-6
    assert np.isnan(found.currents).all()
