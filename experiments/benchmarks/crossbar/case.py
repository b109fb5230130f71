"""The work that every solver gets, and its answer in float64.

Cells uniform in 1..100 uS, 2 ohm in every wire segment, driver and sense ends included, inputs uniform in 0..0.2 V.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from imcjax.crossbar import Wires


OHM, INPUTS = 2.0, 64
WIRES = Wires(OHM, OHM, OHM, OHM)


class Case(NamedTuple):
    """One array with its inputs."""

    g: np.ndarray  # (size, size) S, float64, of which every value is a float32 too
    v: np.ndarray  # (INPUTS, size) V, likewise
    expected: np.ndarray  # (INPUTS, size) A, float64


def case(size: int, seed: int = 0) -> Case:
    """The array of this size; the answer has one step of iterative refinement."""
    rng = np.random.default_rng(seed)
    g = rng.uniform(1e-6, 1e-4, (size, size)).astype(np.float32).astype(float)
    v = rng.uniform(0, 0.2, (INPUTS, size)).astype(np.float32).astype(float)
    matrix, known = nodal_matrix(g), nodal_inputs(v)
    solve = factorise(matrix)
    x = solve(known)
    return Case(g, v, sensed(x + solve(known - matrix @ x), size))


def nodal_matrix(g: np.ndarray) -> scipy.sparse.csc_matrix:
    """Kirchhoff's equations of the 2 N^2 nodes: wordline nodes first, then bitline nodes, both row by row."""
    rows, cols = g.shape
    w = np.arange(rows * cols).reshape(rows, cols)
    b = w + rows * cols
    wire = 1 / OHM
    one = np.concatenate([w.ravel(), w[:, :-1].ravel(), b[:-1].ravel()])
    other = np.concatenate([b.ravel(), w[:, 1:].ravel(), b[1:].ravel()])
    value = np.concatenate([g.ravel(), np.full(one.size - g.size, wire)])
    diagonal = np.bincount(one, value, 2 * g.size) + np.bincount(other, value, 2 * g.size)
    diagonal[w[:, 0]] += wire
    diagonal[b[-1]] += wire
    nodes = np.arange(diagonal.size)
    entries = np.concatenate([diagonal, -value, -value])
    places = np.concatenate([nodes, one, other]), np.concatenate([nodes, other, one])
    return scipy.sparse.csc_matrix((entries, places), shape=(nodes.size, nodes.size))


def nodal_inputs(v: np.ndarray) -> np.ndarray:
    """The right-hand sides, (nodes, inputs)."""
    inputs, size = v.shape
    known = np.zeros((2 * size * size, inputs))
    known[np.arange(size) * size] = v.T / OHM
    return known


def sensed(x: np.ndarray, size: int) -> np.ndarray:
    """Bitline currents (inputs, cols) of node voltages (nodes, inputs)."""
    return x[-size:].T / OHM


def factorise(matrix: scipy.sparse.csc_matrix):
    """SciPy's sparse LU, set for a symmetric positive definite matrix; returns its `solve`."""
    options = {"SymmetricMode": True}
    return scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest error of an input's currents, relative to the largest of these currents; the worst input."""
    found, expected = np.atleast_2d(np.asarray(found, float)), np.atleast_2d(expected)
    return float((np.abs(found - expected).max(1) / np.abs(expected).max(1)).max())
