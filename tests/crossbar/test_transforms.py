"""Broadcasting and JAX transformations, over all solvers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires, chunks


WIRES = Wires(2.0, 3.0, 5.0, 7.0)
RNG = np.random.default_rng(2)


def draw(*shape):
    return (1e-6 + 1e-4 * RNG.random(shape)).astype(np.float32)


BATCHES = [
    ((), (3,), (3,)),
    ((4,), (4,), (4,)),
    ((1, 2), (3, 1), (3, 2)),
    ((2,), (), (2,)),
    ((4, 1), (64,), (4, 64)),
    ((2, 1, 3), (5, 1), (2, 5, 3)),
]


@pytest.mark.slow
@pytest.mark.parametrize("solver, batches", [("ideal", BATCHES), ("schur_pcg", BATCHES[-1:])])
def test_leading_axes_broadcast_as_in_numpy(solver, batches):
    for g_batch, v_batch, batch in batches:
        g, v = draw(*g_batch, 12, 9), draw(*v_batch, 12) * 1e3
        s = crossbar.transfer_matrix(g, WIRES, solver=solver)
        assert s.shape == g.shape
        expected = (v[..., None, :].astype(float) @ np.asarray(s, float))[..., 0, :]
        found = crossbar.currents(g, v, WIRES, solver=solver)
        assert found.shape == (*batch, 9)
        np.testing.assert_allclose(found, expected, rtol=3e-6)
        fields = crossbar.solve(g, v, WIRES, solver=solver)
        assert fields.wordline_v.shape == fields.bitline_v.shape == (*batch, 12, 9)
        assert fields.source_currents.shape == (*batch, 12)
        assert fields.residual.shape == fields.iterations.shape == batch
        np.testing.assert_allclose(fields.currents, expected, rtol=3e-6)


@pytest.mark.slow
def test_an_array_with_many_axes_has_a_transfer_matrix():
    g = draw(2, 1, 3, 1, 11, 6)
    s = crossbar.transfer_matrix(g, WIRES)
    assert s.shape == g.shape
    np.testing.assert_allclose(s[1, 0, 2, 0], crossbar.transfer_matrix(g[1, 0, 2, 0], WIRES), rtol=2e-6)


@pytest.mark.parametrize(
    "solver", [pytest.param(name, marks=pytest.mark.slow if name == "port_merge" else []) for name in crossbar.SOLVERS]
)
def test_jit_eager_vmap_and_gradients_agree(solver):
    g, v = draw(2, 4, 3), draw(2, 4) * 1e3

    def loss(g, v, wires):
        some = crossbar.currents(g, v, wires, solver=solver)
        return 1e9 * jnp.sum(some**2) + 1e6 * jnp.sum(v @ crossbar.transfer_matrix(g, wires, solver=solver))

    both = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    alone = [both(g[k], v[k], WIRES) for k in range(2)]
    np.testing.assert_allclose(loss(g[0], v[0], WIRES), alone[0][0], rtol=1e-5)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    mapped = jax.jit(jax.vmap(both, (0, 0, None)))(g, v, WIRES)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9), mapped, stacked)


def test_wires_can_be_mapped_and_may_be_a_traced_zero():
    g, v = draw(6, 5), draw(6)
    r = jnp.array([0.0, 1.0, 10.0])

    def total(r):
        found = crossbar.currents(g, v, Wires(r, r, r, r))
        return jnp.sum(found), found

    slopes, found = jax.jit(jax.vmap(jax.grad(total, has_aux=True)))(r)
    np.testing.assert_allclose(found[0], v @ g, rtol=1e-6)
    np.testing.assert_allclose(found[2], crossbar.currents(g, v, Wires(10, 10, 10, 10)), rtol=1e-6)
    assert (slopes < 0).all()


@pytest.mark.parametrize("cells", [1, 70, 130, 250, 400, 10_000])
def test_pieces_of_a_batch_add_up(monkeypatch, cells):
    monkeypatch.setitem(chunks._CELLS_AT_ONCE, "cpu", cells)
    g, v = draw(3, 6, 5), draw(3, 4, 6)
    sums, kept = chunks.in_chunks(lambda g: lambda v: (jnp.einsum("aij,abi->aj", g, v), (v @ g, v)), (g,), v)
    np.testing.assert_allclose(kept[0], v @ g, rtol=1e-5)
    np.testing.assert_array_equal(kept[1], v)
    np.testing.assert_allclose(sums, np.sum(v @ g, 1), rtol=1e-5)


@pytest.mark.slow
def test_a_batch_in_pieces_solves_and_differentiates_as_a_whole(monkeypatch):
    g, v = draw(3, 1, 6, 5), draw(4, 6) * 1e3

    def everything(g):
        s, back = jax.vjp(lambda g: crossbar.transfer_matrix(g, WIRES, solver="schur_pcg"), g)
        return back(s)[0], jax.grad(lambda g: jnp.sum(crossbar.currents(g, v, WIRES, solver="schur_pcg")))(g)

    whole = jax.jit(everything)(g)
    monkeypatch.setitem(chunks._CELLS_AT_ONCE, "cpu", 70)
    jax.clear_caches()
    for found, expected in zip(jax.jit(everything)(g), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    jax.clear_caches()
