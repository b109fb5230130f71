"""Gradients against central differences in float64, at ordinary points and where resistances or cells are zero."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires

from . import nodal


RESISTANCES = ("wordline", "bitline", "driver", "sense")
SOME, NONE = Wires(2.0, 3.0, 5.0, 7.0), Wires(0.0, 0.0, 0.0, 0.0)
WEIGHTS = np.random.default_rng(5).normal(size=(2, 16))


def few_inputs(solver):
    return lambda g, v, wires: jnp.sum(WEIGHTS[:, : g.shape[-1]] * crossbar.currents(g, v, wires, solver=solver)) * 1e5


def matrix(solver):
    def loss(g, v, wires):
        s = crossbar.transfer_matrix(g, wires, solver=solver)
        return jnp.sum(WEIGHTS[:, : g.shape[-1]] * (v @ s)) * 1e5 + jnp.sum(s**2) * 1e9

    return loss


def all_fields(solver):
    def loss(g, v, wires):
        found = crossbar.solve(g, v, wires, solver=solver)
        total = 1e9 * jnp.sum(found.source_currents**2) + 1e4 * jnp.sum(found.currents) + 1e3 * jnp.sum(found.bitline_v**2)
        return total + jnp.sum(found.wordline_v * np.cos(np.arange(g.size)).reshape(g.shape))

    return loss


LOSSES = {
    "few inputs": few_inputs("schur_pcg"),
    "all fields": all_fields("schur_pcg"),
    "all fields, dense": all_fields("dense_cg"),
    "matrix": matrix("schur_pcg"),
    "dense matrix": matrix("dense_cg"),
    "merged matrix": matrix("port_merge"),
    "pade": matrix("pade"),
}


def slope(f, step):
    """df/dx at 0, fourth order, from points at x >= 0 only."""
    values = [float(f(k * step)) for k in range(5)]
    return np.dot([-25, 48, -36, 16, -3], values) / (12 * step)


@pytest.mark.parametrize("wires", [SOME, pytest.param(NONE, marks=pytest.mark.slow)], ids=["wires", "no wires"])
@pytest.mark.parametrize("name, shape", [*((name, (5, 4)) for name in LOSSES), ("matrix", (5, 7))])
def test_gradient(name, shape, wires):
    loss = LOSSES[name]
    g, v = nodal.example(*shape, 2, signed=True)
    g[1, 2] = g[0] = 0.0
    with jax.enable_x64(True):
        value = jax.jit(loss)
        to_g, to_v, to_wires = jax.jit(jax.grad(loss, (0, 1, 2)))(g, v, wires)
        for cell in ((1, 2), (0, 1), (4, 3)):
            expected = slope(lambda h, cell=cell: value(increased(g, cell, h), v, wires), 1e-7)
            assert to_g[cell] == pytest.approx(expected, rel=1e-5, abs=1e-6 * float(abs(to_g).max()))
        for place in ((0, 0), (1, 3)):
            expected = slope(lambda h, place=place: value(g, increased(v, place, h), wires), 1e-3)
            assert to_v[place] == pytest.approx(expected, rel=1e-6, abs=1e-8 * float(abs(to_v).max()))
        for name in RESISTANCES:
            expected = slope(lambda h, name=name: value(g, v, with_more(wires, name, h)), 0.05)
            assert getattr(to_wires, name) == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("solver", ["schur_pcg", "dense_cg"])
def test_a_gradient_grows_with_the_loss_however_small_that_is(solver):
    g, v = nodal.example(12, 9, 2)
    gradient = jax.jit(jax.grad(lambda g, c: jnp.sum(c * crossbar.currents(g, v, SOME, solver=solver))))
    g = g.astype(np.float32)
    expected = gradient(g, 1.0)
    for c in (1e-6, 1e-15, 1e-22):
        np.testing.assert_allclose(np.asarray(gradient(g, c), float) / c, expected, rtol=1e-5)


def increased(array, place, step):
    array = array.copy()
    array[place] += step
    return array


def with_more(wires, name, step):
    return dataclasses.replace(wires, **{name: getattr(wires, name) + step})


@pytest.mark.slow
def test_float32_gradient_is_close_to_float64():
    g, v = nodal.example(24, 16, 3)

    def gradient(x64):
        with jax.enable_x64(x64):
            return jax.jit(jax.grad(few_inputs("schur_pcg"), (0, 1, 2)))(g, v[:2], Wires(20.0, 20.0, 20.0, 20.0))

    for found, reference in zip(jax.tree.leaves(gradient(False)), jax.tree.leaves(gradient(True)), strict=True):
        np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())


@pytest.mark.parametrize("solver", [pytest.param("schur_pcg", marks=pytest.mark.slow), "dense_cg"])
def test_second_derivative_at_zero_resistance(solver):
    g, v = nodal.example(4, 3, 2)
    g[1, 1] = 0.0

    def current(r):
        return 1e6 * jnp.sum(crossbar.currents(g, v, Wires(r, r, r, r), solver=solver))

    with jax.enable_x64(True):
        first = jax.jit(jax.grad(current))
        assert jax.jit(jax.grad(first))(0.0) == pytest.approx(slope(first, 0.5), rel=1e-6)


def test_gradient_of_a_shared_array_is_the_sum_over_its_inputs():
    g, v = nodal.example(6, 5, 4)
    gradient = jax.jit(jax.grad(lambda g, v: jnp.sum(crossbar.currents(g, v, SOME))))
    together = gradient(g, v)
    apart = sum(gradient(g, row) for row in v)
    np.testing.assert_allclose(together, apart, rtol=1e-5)
