"""The calibrated model of a product against the exact nodal solution with wires, and what it says of two encodings."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.validation.cost.rows import Row
from imcjax.cost import mvm
from imcjax.crossbar import Wires


SOURCE = "nodal solution"
WIRES = Wires(wordline=1.0, bitline=1.0, driver=10.0, sense=10.0)
VOLTS, SIEMENS = np.array([0.0, 0.1, 0.2]), np.array([1e-6, 14e-6, 27e-6, 40e-6])
TIME_S, SIDE, BLOCK = 10e-9, 64, 20


def rows() -> list[Row]:
    """Held-out error, statistics mode, encodings, speed."""
    model = mvm.calibrate(VOLTS, SIEMENS, WIRES, rows=SIDE, cols=SIDE, time_s=TIME_S, samples=96, seed=0)
    found = [
        Row(SOURCE, "largest held-out error, 64 x 64 with wires", model.held_out, 0.01, 0.0, "", kind="at most"),
        Row(SOURCE, "rms held-out error", model.held_out_rms, 0.01, 0.0, "", kind="at most"),
    ]
    return [*found, _fresh(model), _statistics(model), *_encodings(model)]


def _reference(levels: np.ndarray, states: np.ndarray) -> np.ndarray:
    v, g = jnp.asarray(VOLTS[levels], float), jnp.asarray(SIEMENS[states], float)
    return np.asarray(mvm.driver_energy_j(g, v, WIRES, TIME_S))


def _ours(model: mvm.MvmEnergy, levels: np.ndarray, states: np.ndarray) -> np.ndarray:
    v, g = jnp.asarray(VOLTS[levels], float), jnp.asarray(SIEMENS[states], float)
    n = jax.vmap(lambda x, s: mvm.counts(x, s, (3, 4)))(jnp.asarray(levels, float), jnp.asarray(states, float))
    return np.asarray(model.energy_j(n, mvm.wire_squares(v, g)))


def _fresh(model: mvm.MvmEnergy) -> Row:
    levels, states = mvm.patterns(3, 4, SIDE, SIDE, 16, seed=99)
    error = np.abs(_ours(model, levels, states) / _reference(levels, states) - 1).max()
    return Row(SOURCE, "largest error on 16 other arrays", float(error), 0.01, 0.0, "", kind="at most")


def _statistics(model: mvm.MvmEnergy) -> Row:
    rng = np.random.default_rng(3)
    p, q = np.array([0.5, 0.2, 0.3]), np.array([0.4, 0.3, 0.2, 0.1])
    levels = rng.choice(3, (16, SIDE), p=p)
    states = rng.choice(4, (16, SIDE, SIDE), p=q)
    arguments = (jnp.asarray(p), jnp.asarray(q))
    squares = mvm.expected_wire_squares(*arguments, jnp.asarray(VOLTS), jnp.asarray(SIEMENS), SIDE, SIDE)
    ours = float(model.energy_j(mvm.expected_counts(*arguments, SIDE, SIDE), squares))
    return Row(SOURCE, "mean of 16 arrays from histograms", ours, float(_reference(levels, states).mean()), 0.05, "J")


def _encodings(model: mvm.MvmEnergy) -> list[Row]:
    """Energy of differential pairs over that of an offset column, for weights of falling spread and 7 levels."""
    rng, ratios = np.random.default_rng(5), []
    spreads = (1.0, 0.5, 0.25, 0.12, 0.06)
    levels = np.tile(rng.choice(3, SIDE), (2, 1))
    for spread in spreads:
        w = np.clip(rng.normal(0, spread, (SIDE, SIDE)), -1, 1)
        pair = np.rint(3 * np.stack([np.maximum(w, 0), np.maximum(-w, 0)])).astype(int)
        differential = _ours(model, levels, pair).sum()
        # one cell a weight from zero to full scale, and a column of reference cells at half of it beside
        shifted = np.rint(1.5 * (w + 1)).astype(int)[None]
        offset = _ours(model, levels[:1], shifted).sum() * (SIDE + 1) / SIDE
        ratios.append(differential / offset)
    return [
        Row(
            "Cubero-Cascante 2024",
            f"differential / offset energy falls from spread {a:g} to {b:g}: ratio",
            y,
            x,
            0.0,
            "",
            kind="at most",
        )
        for (a, x), (b, y) in zip(zip(spreads, ratios), zip(spreads[1:], ratios[1:]))
    ]


def speed(batch: int = 1000, solved: int = 20) -> dict[str, float]:
    """Seconds for a batch of arrays with an input each, and of inputs to one array; ours and SciPy's direct nodal solution.

    SciPy solves `solved` of the arrays, in proportion; the one array is factorised once and solved for all inputs together.
    Putting its matrices together is not timed.
    """
    import scipy.sparse
    import scipy.sparse.linalg

    levels, states = mvm.patterns(3, 4, SIDE, SIDE, batch, seed=7)
    v, g = jnp.asarray(VOLTS[levels], jnp.float32), jnp.asarray(SIEMENS[states], jnp.float32)
    model = mvm.calibrate(VOLTS, SIEMENS, WIRES, rows=SIDE, cols=SIDE, time_s=TIME_S)
    model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), model)

    def energy(m: mvm.MvmEnergy, x: jax.Array, s: jax.Array, v: jax.Array, g: jax.Array) -> jax.Array:
        return m.energy_j(mvm.counts(x, s, (3, 4)), mvm.wire_squares(v, g))

    @jax.jit
    def in_blocks(m: mvm.MvmEnergy, *arrays: jax.Array) -> jax.Array:
        """A few arrays at a time: what is between the products stays in the caches."""
        return jax.lax.map(lambda one: energy(m, *one), arrays, batch_size=BLOCK)

    x, s = jnp.asarray(levels, jnp.float32), jnp.asarray(states, jnp.float32)
    systems = [nodal(SIEMENS[states[k]], VOLTS[levels[k]]) for k in range(solved)]
    start = time.perf_counter()
    for matrix, known in systems:
        scipy.sparse.linalg.splu(matrix).solve(known)
    each = (time.perf_counter() - start) / solved
    sides = np.zeros((systems[0][1].size, batch))
    sides[np.arange(SIDE) * SIDE] = VOLTS[levels].T / WIRES.driver
    start = time.perf_counter()
    scipy.sparse.linalg.splu(systems[0][0]).solve(sides)
    shared = time.perf_counter() - start
    arrays, inputs = _least(in_blocks, model, x, s, v, g), _least(jax.jit(energy), model, x, s[0], v, g[0])
    return {
        "arrays_s": arrays,
        "arrays_scipy_s": each * batch,
        "arrays_ratio": each * batch / arrays,
        "inputs_s": inputs,
        "inputs_scipy_s": shared,
        "inputs_ratio": shared / inputs,
    }


def _least(run, *arguments) -> float:
    run(*arguments).block_until_ready()
    least = np.inf
    for _ in range(10):
        start = time.perf_counter()
        run(*arguments).block_until_ready()
        least = min(least, time.perf_counter() - start)
    return least


def nodal(g: np.ndarray, v: np.ndarray):
    """The sparse nodal equations of one array, and their right side."""
    import scipy.sparse

    rows, cols = g.shape
    w = np.arange(rows * cols).reshape(rows, cols)
    b = w + rows * cols
    branches = [
        (w, b, g),
        (w[:, :-1], w[:, 1:], np.full((rows, cols - 1), 1 / WIRES.wordline)),
        (b[:-1], b[1:], np.full((rows - 1, cols), 1 / WIRES.bitline)),
    ]
    one, other, value = (np.concatenate([np.ravel(branch[k]) for branch in branches]) for k in range(3))
    diagonal = np.zeros(2 * rows * cols)
    for ends in (one, other):
        np.add.at(diagonal, ends, value)
    diagonal[w[:, 0]] += 1 / WIRES.driver
    diagonal[b[-1]] += 1 / WIRES.sense
    nodes = np.arange(diagonal.size)
    entries = np.concatenate([diagonal, -value, -value])
    places = np.concatenate([nodes, one, other]), np.concatenate([nodes, other, one])
    known = np.zeros(nodes.size)
    known[w[:, 0]] = v / WIRES.driver
    return scipy.sparse.csc_matrix((entries, places), shape=(nodes.size, nodes.size)), known
