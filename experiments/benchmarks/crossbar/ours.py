"""imcjax's part: compiled functions of arrays that lie ready, as in a training loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.crossbar.case import INPUTS, WIRES, Case
from experiments.benchmarks.crossbar.jobs import FURTHER, MANY, ONE, Job
from imcjax import crossbar


def jobs(case: Case) -> list[Job]:
    """Each solver on each work that suits it."""
    g, v = jnp.asarray(case.g, jnp.float32), jnp.asarray(case.v, jnp.float32)
    return [
        Job("imcjax schur_pcg", ONE, partial(currents("schur_pcg"), g, v[0])),
        Job("imcjax schur_pcg", MANY, partial(currents("schur_pcg"), g, v)),
        Job("imcjax port_merge", MANY, partial(currents("port_merge"), g, v)),
        Job("imcjax matrix held", FURTHER, partial(held, v, transfer("port_merge")(g))),
        Job("imcjax schur_pcg f64", ONE, in_float64(currents("schur_pcg"), case.g, case.v[0])),
    ]


@jax.jit
def held(v, s):
    """A multiplication with the transfer matrix is all that a further input costs."""
    return jnp.matmul(v, s, precision=jax.lax.Precision.HIGHEST)


def currents(solver: str):
    """(g, v) -> currents, compiled."""
    return jax.jit(lambda g, v: crossbar.currents(g, v, WIRES, solver=solver))


def transfer(solver: str):
    """(g) -> S, compiled."""
    return jax.jit(lambda g: crossbar.transfer_matrix(g, WIRES, solver=solver))


def in_float64(function, *arguments):
    """The same call in float64, whatever the rest of the program uses."""

    def run():
        with jax.enable_x64(True):
            return function(*arguments)

    return run


def off(found: jax.Array, exact: jax.Array) -> float:
    """The largest error relative to the largest value."""
    return float(np.abs(np.asarray(found, float) - exact).max() / np.abs(exact).max())


def gradients(case: Case, dtype: type = np.float32) -> dict[str, tuple]:
    """(value, value and gradient) of a loss by name, for cells, inputs and all four wire resistances together."""
    g, v = jnp.asarray(case.g, dtype), jnp.asarray(case.v, dtype)
    gates = jnp.where(v > 0.1, jnp.asarray(0.2, dtype), 0)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(INPUTS, g.shape[1])), dtype)

    def loss(solver, topology="input_source"):
        def value(g, v, wires):
            found = crossbar.currents(g, v, wires, topology=topology, solver=solver)
            return jnp.sum(weights[: len(found)] * found)

        return value

    def pair(value, v):
        both = jax.jit(value), jax.jit(jax.value_and_grad(value, (0, 1, 2)))
        return tuple(partial(function, g, v, WIRES) for function in both)

    return {
        "schur_pcg, 1 input": pair(loss("schur_pcg"), v[:1]),
        "schur_pcg, 64 inputs": pair(loss("schur_pcg"), v),
        "port_merge, 64 inputs": pair(loss("port_merge"), v),
        "gate ladder, 64 inputs": pair(loss("auto", "gate_input"), gates),
    }


def nonlinear(case: Case) -> dict[str, tuple]:
    """(linear cells, sinh cells with v0 = 0.1 V) by name, for one or several inputs of an array, at the same tolerance."""
    g, v = jnp.asarray(case.g, jnp.float32), jnp.asarray(case.v, jnp.float32)

    def pair(inputs):
        both = (jax.jit(partial(solved, cell=cell)) for cell in (None, crossbar.cells.Sinh(0.1)))
        return tuple(partial(function, g, v[:inputs]) for function in both)

    return {"1 input": pair(1), "16 inputs": pair(16)}


def solved(g, v, cell):
    """Currents by `schur_pcg`, input by input also where a transfer matrix would pay."""
    return crossbar.solve(g, v, WIRES, solver="schur_pcg", cell=cell).currents
