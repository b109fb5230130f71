"""Wrong input is refused before it is computed with, and a solver that fails says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import crossbar
from imcjax.crossbar import Wires, dense_cg, schur_pcg
from imcjax.errors import UserError


G, V = np.full((4, 3), 1e-5), np.full(4, 0.1)


@pytest.mark.parametrize(
    "g, v, wires, options, words",
    [
        (-G, V, Wires(), {}, "g is -1e-05 S"),
        (G * np.nan, V, Wires(), {}, "g is nan"),
        (G, V * np.inf, Wires(), {}, "v is inf V"),
        (G, V[:3], Wires(), {}, r"v has shape \(3,\); give \(\.\.\., 4\)"),
        (G[0], V, Wires(), {}, r"g has shape \(3,\)"),
        (G[:, :0], V, Wires(), {}, "at least one"),
        (np.stack([G] * 2), np.stack([V] * 3), Wires(), {}, r"\(2, 4, 3\) and v \(3, 4\) do not broadcast"),
        (G * 1j, V, Wires(), {}, "give real"),
        (G, V, Wires(wordline=-1.0), {}, "wires.wordline is -1 ohm"),
        (G, V, Wires(sense=np.nan), {}, "wires.sense is nan"),
        (G, V, Wires(driver=np.ones(2)), {}, "wires.driver has shape"),
        (G, V, (1.0, 1.0, 1.0, 1.0), {}, "wires is a tuple"),
        (G, V, Wires(), {"topology": "inputsource"}, "nearest: input_source"),
        (G, np.array([0.1, 0, 0.2, 0]), Wires(), {"topology": "gate_input"}, "v has 0.1 V beside another"),
        (G, V, Wires(), {"topology": "gate_input", "solver": "pade"}, "gate_input"),
        (G, V, Wires(), {"solver": "schur"}, "nearest: schur_pcg"),
        (G, V, Wires(), {"rtol": 0.0}, "rtol is 0.0"),
    ],
)
def test_refused(g, v, wires, options, words):
    for function in (crossbar.currents, crossbar.solve):
        with pytest.raises(UserError, match=words):
            function(g, v, wires, **options)


def test_refused_even_under_jit_where_it_can_be_seen():
    with pytest.raises(UserError, match="v has shape"):
        jax.jit(lambda g: crossbar.currents(g, V[:3], Wires()))(G)
    with pytest.raises(UserError, match="rtol is traced"):
        jax.jit(lambda rtol: crossbar.currents(G, V, Wires(), rtol=rtol))(1e-3)


def test_a_solver_without_node_voltages_says_so():
    with pytest.raises(UserError, match="computes no node voltages"):
        crossbar.solve(G, V, Wires(), solver="pade")


def test_whole_numbers_are_numbers():
    assert crossbar.currents(np.ones((2, 2), int), [1, 2], Wires(1, 1, 1, 1)).dtype == np.float32


@pytest.mark.parametrize("solver", [schur_pcg, dense_cg], ids=["schur_pcg", "dense_cg"])
def test_failure_shows_as_nan_with_its_reason(monkeypatch, solver):
    name = solver.__name__.rsplit(".", 1)[1]
    g = np.linspace(1e-5, 1e-4, 90).reshape(10, 9)
    monkeypatch.setattr(solver, "_iteration_limit", lambda *_: 2)
    found = crossbar.solve(g, np.ones(10), Wires(500, 500, 500, 500), solver=name)
    for field in found[:4]:
        assert np.isnan(field).all()
    assert 1e-6 < found.residual < 1
    assert found.iterations == 2
    broken = jax.jit(lambda g: crossbar.solve(g, V, Wires(1, 1, 1, 1), solver=name))(jnp.asarray(G).at[1, 1].set(jnp.nan))
    assert np.isnan(broken.currents).all()
    assert np.isnan(broken.residual)
