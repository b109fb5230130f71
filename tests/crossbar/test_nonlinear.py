"""Nonlinear cells against general root finding on the nodal equations, their gradients and limits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from imcjax import crossbar
from imcjax.crossbar import Bias, Wires, nonlinear, select
from imcjax.crossbar.cells import Cubic, Polynomial, Selector, Sinh
from imcjax.errors import UserError

from . import nodal
from .test_gradients import increased, slope, with_more


SOME = Wires(20.0, 30.0, 50.0, 70.0)
FAR = Wires(20.0, 30.0, 50.0, 70.0, 40.0, 60.0)
CURVE = np.array([0.5, 3.0, -1.0])


def positive_root(excess, top, sign):
    return sign * scipy.optimize.brentq(excess, 0, top, xtol=1e-25, rtol=1e-14) if top > 0 else 0.0


@np.vectorize
def behind_selector(g, u):
    """The current of a resistor behind a selector of 1 nA and 0.03 V, by what each of them takes of the voltage."""
    return positive_root(lambda i: 0.03 * np.arcsinh(i / 1e-9) + i / g - abs(u), g * abs(u), np.sign(u))


def behind_access(current, ohm):
    """The same cells with a resistor in series."""

    @np.vectorize
    def found(g, u):
        return positive_root(lambda i: current(g, abs(u) - ohm * i) - i, abs(u) / ohm if g > 0 else 0.0, np.sign(u))

    return found


CELLS = {
    "sinh": (Sinh(0.1), lambda g, u: g * 0.1 * np.sinh(u / 0.1)),
    "cubic": (Cubic(-0.25), lambda g, u: g * (u - 0.25 * u**3)),
    "polynomial": (Polynomial(CURVE), lambda g, u: g * (u + 0.5 * u**2 + 3 * u**3 - u**4)),
    "selector": (Selector(1e-9, 0.03), behind_selector),
}


def root(g, v, wires, current, held=0.0):
    """Currents and node voltages of one input by Kirchhoff's current law, solved by SciPy."""
    wordline, bitline, *ends = (
        0.0 if r is None else 1 / r for r in (getattr(wires, name) for name in wires.__match_args__[:6])
    )
    driver, sense, driver_far, sense_far = ends

    def unbalanced(x):
        w, b = x.reshape(2, *g.shape)
        cells = current(g, w - b)
        along_w = wordline * np.diff(w, axis=1, prepend=w[:, :1], append=w[:, -1:])
        along_b = bitline * np.diff(b, axis=0, prepend=b[:1], append=b[-1:])
        at_w = np.diff(along_w, axis=1) - cells
        at_b = np.diff(along_b, axis=0) + cells
        at_w[:, 0] += driver * (v - w[:, 0])
        at_w[:, -1] += driver_far * (v - w[:, -1])
        at_b[-1] -= sense * (b[-1] - held)
        at_b[0] -= sense_far * (b[0] - held)
        return 1e4 * np.concatenate([at_w, at_b]).ravel()

    start = np.stack([np.broadcast_to(v[:, None], g.shape), 0 * g]).ravel()
    w, b = scipy.optimize.fsolve(unbalanced, start, xtol=1e-13).reshape(2, *g.shape)
    return current(g, w - b).sum(0), w, b, current(g, w - b).sum(1)


@pytest.mark.parametrize(
    "kind, solver, wires",
    [("sinh", "schur_pcg", SOME), ("sinh", "dense_cg", FAR), ("cubic", "auto", SOME), ("polynomial", "auto", FAR)],
)
def test_every_field_matches_root_finding(kind, solver, wires):
    cell, current = CELLS[kind]
    g, v = nodal.example(5, 4, 2, signed=True)
    g *= 10
    g[1, 2] = 0.0
    with jax.enable_x64(True):
        found = crossbar.solve(g, 2 * v, wires, solver=solver, cell=cell)
        linear = crossbar.currents(g, 2 * v, wires)
        assert found.currents.dtype == np.float64
        for k in range(2):
            for value, reference in zip(found[:4], root(g, 2 * v[k], wires, current), strict=True):
                assert np.abs(value[k] - reference).max() < 1e-9 * np.abs(reference).max()
        np.testing.assert_array_equal(crossbar.currents(g, 2 * v, wires, solver=solver, cell=cell), found.currents)
        assert nodal.off(found.currents, linear) > 3e-3
        assert (found.residual < 1e-13).all()
        assert ((found.iterations > 3) & (found.iterations < 40)).all()


@pytest.mark.parametrize("kind", ["sinh", "selector"])
def test_cells_behind_access_resistance_between_biased_lines(kind):
    cell, current = CELLS[kind]
    g, v = nodal.example(5, 4, 1, signed=True)
    g[1, 2] = 0.0
    wires, held = Wires(20.0, 30.0, 50.0, 70.0, access=2e3), np.array([0.1, 0.0, -0.1, 0.2])
    expected = root(g, 2 * v[0], wires, behind_access(current, 2e3), held)
    with jax.enable_x64(True):
        found = crossbar.solve(g, Bias(2 * v[0], held), wires, cell=cell)
        for value, reference in zip(found[:4], expected, strict=True):
            assert np.abs(value - reference).max() < 1e-8 * np.abs(reference).max()


def test_selector_equals_bisection():
    g, u = np.logspace(-9, -3, 7)[:, None], np.concatenate([np.linspace(-2, 2, 41), np.logspace(-8, -2, 7)])
    expected = behind_selector(g, u)
    with jax.enable_x64(True):
        np.testing.assert_allclose(Selector(1e-9, 0.03).current(g, u), expected, rtol=1e-12, atol=1e-25)
        slopes = jax.vmap(jax.grad(lambda u, g: Selector(1e-9, 0.03).current(g, u)), (0, None))(u, 1e-5)
        steps = (behind_selector(1e-5, u + 1e-6) - behind_selector(1e-5, u - 1e-6)) / 2e-6
        np.testing.assert_allclose(slopes, steps, rtol=1e-6)
    found = Selector(1e-9, 0.03).current(g.astype(np.float32), u.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=5e-6)


def test_selectors_darken_half_selected_cells():
    g = np.full((16, 16), 1e-5)
    selector = Selector(1e-13, 0.03)
    alone = selector.current(1e-5, 0.65)
    for scheme in ("half", "third"):
        read, linear = (
            float(crossbar.currents(g, select(16, 16, 3, 5, 0.65, scheme), Wires(2.0, 2.0, 2.0, 2.0), cell=cell)[5])
            for cell in (selector, None)
        )
        assert read == pytest.approx(float(alone), rel=5e-2)
        assert linear > 5 * read


@pytest.mark.parametrize(
    "kind, wires",
    [
        ("sinh", FAR),
        pytest.param("selector", dataclasses.replace(SOME, access=1e3), marks=pytest.mark.slow),
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
            step = 1e-7 if kind != "selector" else 1e-11  # a small resistor is soon the selector's lesser part
            expected = slope(lambda h, place=place: value(increased(g, place, h), v, wires, cell), step)
            assert to_g[place] == pytest.approx(expected, rel=1e-5, abs=1e-6 * float(abs(to_g).max()))
        expected = slope(lambda h: value(g, increased(v, (1, 3), h), wires, cell), 1e-4)
        assert to_v[1, 3] == pytest.approx(expected, rel=1e-6)
        for name in ("wordline", "bitline", "driver", "sense", "access") + ("driver_far", "sense_far") * wires.both_ends:
            expected = slope(lambda h, name=name: value(g, v, with_more(wires, name, h), cell), 0.05)
            assert getattr(to_wires, name) == pytest.approx(expected, rel=1e-5, abs=1e-9)
        for k, (number, to_number) in enumerate(zip(jax.tree.leaves(cell), jax.tree.leaves(to_cell), strict=True)):
            expected = slope(lambda h, k=k: value(g, v, wires, with_larger(cell, k, h)), 2e-3 * np.ravel(number)[-1])
            assert np.ravel(to_number)[-1] == pytest.approx(expected, rel=1e-5, abs=1e-9)


def with_larger(cell, k, step):
    """The cell with the last entry of its k-th number increased."""
    leaves = jax.tree.leaves(cell)
    leaves[k] = leaves[k] + step * np.eye(np.size(leaves[k]))[-1].reshape(np.shape(leaves[k]))
    return jax.tree.unflatten(jax.tree.structure(cell), leaves)


@pytest.mark.slow
def test_second_derivative():
    g, v = nodal.example(4, 3, 2)

    def current(v0):
        return 1e6 * jnp.sum(crossbar.currents(g, v, dataclasses.replace(SOME, access=1e4 * v0), cell=Sinh(v0)))

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
        ({"cell": Sinh(np.ones(3))}, "single numbers"),
        ({"cell": Polynomial(1.0)}, r"one array \(n,\)"),
        ({"cell": Cubic(-20.0)}, "less current at more voltage near -?0.13 V"),
        ({"cell": Sinh(0.1), "solver": "pade"}, "'pade' knows no nonlinear cells"),
    ]:
        with pytest.raises(UserError, match=words):
            crossbar.currents(g, v, SOME, **options)
    with pytest.raises(UserError, match="linear cells only"):
        crossbar.currents(g, np.full(6, 0.1), SOME, cell=Sinh(0.1), topology="gate_input")
    monkeypatch.setattr(nonlinear, "_STEPS", 1)
    found = crossbar.solve(g, v, Wires(21.0, 30.0, 50.0, 70.0), cell=Sinh(0.1), rtol=3e-7)
    assert found.residual > 1e-6
    assert np.isnan(found.currents).all()
