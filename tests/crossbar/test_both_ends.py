"""Lines driven and sensed at both ends."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, crossbar, hardware
from imcjax.crossbar import Wires
from imcjax.crossbar.line_matrix import matrices
from imcjax.crossbar.wires import Wiring
from imcjax.errors import UserError

from . import nodal
from .test_gradients import increased, slope, with_more
from .test_spice import run


FAR = Wires(2.0, 3.0, 5.0, 7.0, 4.0, 6.0)


@pytest.mark.parametrize("far", [(4.0, 6.0), (4.0, None), (None, 6.0), (1e9, 1e-2)])
@pytest.mark.parametrize("rows, cols", [(1, 1), (9, 14)])
def test_every_field_matches_the_sparse_solution(rows, cols, far):
    g, v = nodal.example(rows, cols, 3, signed=True)
    reference = nodal.solve(g, v, 2.0, 3.0, 5.0, 7.0, *far)
    wires = Wires(2.0, 3.0, 5.0, 7.0, *far)
    with jax.enable_x64(True):
        found = crossbar.solve(g, v, wires)
        for value, expected in zip(found[:4], reference, strict=False):
            assert np.abs(value - expected).max() < 1e-12 * np.abs(expected).max()
    found = crossbar.currents(g, v, wires)
    assert found.dtype == np.float32
    assert nodal.off(found, reference[0]) < 1e-6


def test_one_line_is_a_ladder_of_two_ends():
    of_wordline, of_bitline = matrices(Wiring(FAR.vector(np.float32)), 1, 2)
    np.testing.assert_allclose(of_bitline, [[7 * 6 / 13]], rtol=1e-6)
    np.testing.assert_allclose(of_wordline, np.array([[5 * 6, 5 * 4], [5 * 4, 7 * 4]]) / 11, rtol=1e-6)
    for ohms in (0.0, 1e-30):
        assert not np.any(np.abs(matrices(Wiring(jnp.full(6, ohms, np.float32)), 3, 4)[0]) > 2 * ohms)


def loss(g, v, wires):
    found = crossbar.solve(g, v, wires)
    total = 1e9 * jnp.sum(found.source_currents**2) + 1e4 * jnp.sum(found.currents) + 1e3 * jnp.sum(found.bitline_v**2)
    s = crossbar.transfer_matrix(g, wires)
    return total + jnp.sum(found.wordline_v * np.cos(np.arange(g.size)).reshape(g.shape)) + 1e9 * jnp.sum(s**2)


def test_gradients():
    g, v = nodal.example(5, 4, 2, signed=True)
    g[1, 2] = g[0] = 0.0
    with jax.enable_x64(True):
        value, gradient = jax.jit(loss), jax.jit(jax.grad(loss, (0, 1, 2)))
        to_g, to_v, to_wires = gradient(g, v, FAR)
        for cell in ((1, 2), (4, 3)):
            expected = slope(lambda h, cell=cell: value(increased(g, cell, h), v, FAR), 1e-7)
            assert to_g[cell] == pytest.approx(expected, rel=1e-5, abs=1e-6 * float(abs(to_g).max()))
        assert to_v[1, 3] == pytest.approx(slope(lambda h: value(g, increased(v, (1, 3), h), FAR), 1e-3), rel=1e-6)
        for name in ("wordline", "bitline", "driver", "sense", "driver_far", "sense_far"):
            expected = slope(lambda h, name=name: value(g, v, with_more(FAR, name, h)), 0.05)
            assert getattr(to_wires, name) == pytest.approx(expected, rel=1e-5, abs=1e-9), name
        # Without any resistance the slope depends on the direction: that of all resistances together is right.
        none = Wires(*[0.0] * 6)
        together = sum(jax.tree.leaves(gradient(g, v, none)[2]))
        assert together == pytest.approx(slope(lambda r: value(g, v, Wires(*[r] * 7)), 0.05), rel=1e-5)


@pytest.mark.parametrize("solver", ["dense_cg", "pade"])
def test_every_further_end_brings_the_currents_nearer_to_the_ideal(solver):
    g, v = nodal.example(12, 10, 3)
    ends = [{}, {"driver_far": 5.0}, {"driver_far": 5.0, "sense_far": 7.0}, {"driver_far": 0.0, "sense_far": 0.0}]
    found = [crossbar.currents(g, v, Wires(20.0, 30.0, 5.0, 7.0, **far), solver=solver) for far in ends]
    assert all((more > less).all() for less, more in itertools.pairwise(found))
    assert (found[-1] < v @ g).all()
    np.testing.assert_allclose(crossbar.currents(g, v, Wires(*[0.0] * 6), solver=solver), v @ g, rtol=1e-6)


def test_pade_is_exact_to_first_order():
    g, v = nodal.example(10, 12, 2)
    wires = Wires(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    with jax.enable_x64(True):
        assert nodal.off(crossbar.currents(g, v, wires, solver="pade"), crossbar.currents(g, v, wires)) < 1e-6


@pytest.mark.parametrize("r", [(2, 3, 5, 7, 4, 6), (2, 3, 5, 7, 0, None), (0, 3, 5, 0, 4, 0), (0, 0, 0, 7, 0, 6)])
def test_ngspice_agrees(r, tmp_path):
    g, v = nodal.example(6, 4, 1, signed=True)
    found = run(crossbar.to_spice(g, v[0], Wires(*r)), tmp_path)
    with jax.enable_x64(True):
        np.testing.assert_allclose(found, crossbar.currents(g, v[0], Wires(*r)), rtol=1e-10, atol=1e-18)


def test_the_netlist_closes_each_line():
    text = crossbar.to_spice(np.full((3, 2), 1e-5), np.ones(3), Wires(1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    parts = [line.split() for line in text.splitlines() if line[0] in "RV"]
    assert len({part[0] for part in parts}) == len(parts) == 3 + 2 + 3 * 6 + 3 + 2
    assert "Rin1far w1_1 in1 1" in text
    joined = crossbar.to_spice(np.full((3, 2), 1e-5), np.ones(3), Wires(1.0, 1.0, 1.0, 1.0, 0.0, 0.0))
    assert "Rw1_1 w1_0 in1 1" in joined
    assert "Rcell0_1 in0 out1" in joined


def test_where_it_is_not_known_it_is_refused():
    g, v = nodal.example(3, 2, 1)
    for solver in ("schur_pcg", "port_merge"):
        with pytest.raises(UserError, match=f"{solver}' knows no driver_far"):
            crossbar.currents(g, v, Wires(sense_far=1.0), solver=solver)
    with pytest.raises(UserError, match="gate_input"):
        crossbar.currents(g, v, Wires(driver_far=1.0), topology="gate_input")
    with pytest.raises(UserError, match=r"wires\.sense_far is -1 ohm"):
        crossbar.transfer_matrix(g, Wires(sense_far=-1.0))


def test_a_hardware_file_keeps_the_far_ends(tmp_path):
    for wires in (Wires(1.0, 2.0, 3.0, 4.0, sense_far=6.0), Wires(1.0, 2.0, 3.0, 4.0)):
        hardware.save(Hardware(wires=wires), tmp_path / "h.toml")
        found = hardware.load(tmp_path / "h.toml").wires
        assert found is not None
        assert found.driver_far is None
        assert (found.sense_far, found.sense) == (wires.sense_far, 4.0)
