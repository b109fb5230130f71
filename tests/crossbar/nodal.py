"""Reference: the whole circuit as one sparse system of nodal equations, solved directly by SciPy."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg


def solve(
    g, v, wordline, bitline, driver, sense, driver_far=None, sense_far=None, *, bitline_v=None, floating=(False, False), meets=1
):
    """g (rows, cols), v (inputs, rows), resistances > 0 -> currents, wordline_v, bitline_v, source_currents.

    `bitline_v` (inputs, cols); `floating`: masks (rows,) and (cols,); `meets` neighbouring rows meet a bitline at one node.
    """
    to_driver_far, to_sense_far = (0.0 if ohms is None else 1 / ohms for ohms in (driver_far, sense_far))
    rows, cols = g.shape
    to_driver = np.where(floating[0], 0, np.full(rows, 1 / driver))
    to_sense = np.where(floating[1], 0, np.full(cols, 1 / sense))
    held = np.zeros((len(v), cols)) if bitline_v is None else bitline_v
    w_node = np.arange(rows * cols).reshape(rows, cols)
    b_node = np.arange(rows // meets * cols).reshape(-1, cols) + rows * cols
    b_of_cell = np.repeat(b_node, meets, 0)
    branches = [
        (w_node, b_of_cell, g),
        (w_node[:, :-1], w_node[:, 1:], np.full((rows, cols - 1), 1 / wordline)),
        (b_node[:-1], b_node[1:], np.full((len(b_node) - 1, cols), 1 / bitline)),
    ]
    one, other, value = (np.concatenate([np.ravel(branch[k]) for branch in branches]) for k in range(3))
    diagonal = np.zeros(w_node.size + b_node.size)
    for ends in (one, other):
        np.add.at(diagonal, ends, value)
    diagonal[w_node[:, 0]] += to_driver
    diagonal[b_node[-1]] += to_sense
    diagonal[w_node[:, -1]] += to_driver_far
    diagonal[b_node[0]] += to_sense_far
    nodes = np.arange(diagonal.size)
    entries = np.concatenate([diagonal, -value, -value])
    places = np.concatenate([nodes, one, other]), np.concatenate([nodes, other, one])
    matrix = scipy.sparse.csc_matrix((entries, places), shape=(nodes.size, nodes.size))
    known = np.zeros((nodes.size, len(v)))
    known[w_node[:, 0]] += (v * to_driver).T
    known[w_node[:, -1]] += v.T * to_driver_far
    known[b_node[-1]] += (held * to_sense).T
    known[b_node[0]] += held.T * to_sense_far
    factors = scipy.sparse.linalg.splu(matrix)
    x = factors.solve(known)
    x += factors.solve(known - matrix @ x)
    w, b = x[: w_node.size].T.reshape(-1, rows, cols), x[w_node.size :].T.reshape(-1, len(b_node), cols)
    # Differences of nearly equal node voltages would cost the currents their digits: add up the cells instead.
    cells = g * (w - np.repeat(b, meets, 1))
    return cells.sum(1), w, b, cells.sum(2)


def example(rows, cols, inputs, *, seed=0, contrast=100.0, signed=False):
    """Cells of 1e-4 S down to 1e-4/contrast, log-uniform; inputs up to 0.2 V."""
    rng = np.random.default_rng(seed)
    g = 1e-4 * np.exp(-np.log(contrast) * rng.random((rows, cols)))
    return g, rng.uniform(-0.2 if signed else 0.0, 0.2, (inputs, rows))


def off(value, reference):
    """Largest error of each row, relative to the row's largest entry."""
    value, reference = np.asarray(value, float), np.asarray(reference, float)
    return (np.abs(value - reference).max(-1) / np.abs(reference).max(-1)).max()
