"""C-2C ladders against dense charge conservation in NumPy and ngspice: weights, whole columns, mismatch, thermal noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.readout import C2c, ladder_weights

from . import circuit
from .derivative import check


KEY = jax.random.key(8)
G_MAX = 50e-6


def drawn(bits, sigma, shape):
    """The capacitors that KEY draws, in units of C: bits, links to the node above, ends."""
    deviates = np.asarray(jax.random.normal(KEY, (2 * bits + 1, *shape)), float)
    return 1 + sigma * deviates[:bits], 2 * (1 + sigma / np.sqrt(2) * deviates[bits:-1]), 1 + sigma * deviates[-1]


def nodal_weights(bits, links, end, parasitic):
    count = len(bits)
    held = {("", "bit", s): np.eye(count)[s] for s in range(count)}
    return circuit.solve(circuit.ladder(bits, links, end, parasitic), held)["", 0]


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
def test_an_ideal_ladder_halves_exactly(bits):
    np.testing.assert_array_equal(ladder_weights(bits), 0.5 ** np.arange(1, bits + 1))


@pytest.mark.parametrize("parasitic", [0.0, 0.15])
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_weights_match_the_dense_solution(parasitic, sigma):
    with jax.enable_x64(True):
        found = ladder_weights(6, parasitic, sigma, KEY, (3,))
        bits, links, ends = drawn(6, sigma, (3,))
        assert found.shape == (6, 3)
        for k in range(3):
            expected = nodal_weights(bits[:, k], links[:, k], ends[k], parasitic)
            np.testing.assert_allclose(found[:, k], expected, rtol=1e-12)


def test_parasitics_make_the_radix_larger_than_two():
    found = np.asarray(ladder_weights(8, 0.2), float)
    ratios = found[:-1] / found[1:]
    assert (ratios > 2).all()
    assert found[0] < 0.5
    np.testing.assert_allclose(found, nodal_weights(np.ones(8), np.full(8, 2.0), 1.0, 0.2), rtol=1e-5)


def test_mismatch_has_the_size_it_says():
    """One bit is a divider of two capacitors C: its weight spreads by sigma sqrt(2) / 4 to first order."""
    count, sigma = 40_000, 0.01
    found = np.asarray(ladder_weights(1, 0.0, sigma, KEY, (count,))[0], float)
    assert found.mean() == pytest.approx(0.5, abs=5 * sigma / np.sqrt(count))
    assert found.std() == pytest.approx(sigma * np.sqrt(2) / 4, rel=5 / np.sqrt(2 * count))
    np.testing.assert_array_equal(ladder_weights(4, 0.1, sigma, None, (2,))[:, 1], ladder_weights(4, 0.1))


def test_ngspice_agrees(tmp_path):
    volts, found = [0.3, 0.0, -0.2, 0.5], ladder_weights(4, 0.1)
    branches = [(a, b, 1e-15 * c) for a, b, c in circuit.ladder(np.ones(4), np.full(4, 2.0), 1.0, 0.1)]
    held = {("", "bit", s): volts[s] for s in range(4)}
    expected = circuit.ngspice(branches, held, [("", 0)], tmp_path, part="C")
    assert np.dot(volts, found) == pytest.approx(expected[0], rel=1e-5)


CODES = np.random.default_rng(4).integers(0, 8, (4, 3))
THREE = C2c(bits=3, g_max=G_MAX, c_unit=2e-15, parasitic=0.1, sigma=0.05, c_parasitic=5e-15)


def whole_column(readout, j, capacitors):
    """The capacitors of column j of CODES in units of C, its output node and the plates of ones."""
    bits, links, ends = capacitors
    branches = [("column", circuit.GROUND, readout.c_parasitic / readout.c_unit)]
    for i in range(len(CODES)):
        for one, other, value in circuit.ladder(bits[:, i, j], links[:, i, j], ends[i, j], readout.parasitic, i):
            ends_at = ("column" if node == (i, 0) else node for node in (one, other))
            branches.append((*ends_at, value))
    return branches


def test_columns_match_the_dense_solution_of_all_their_ladders():
    with jax.enable_x64(True):
        found = THREE.respond(jnp.asarray(CODES / 7 * G_MAX), None, "auto", KEY)
        capacitors = drawn(3, 0.05, CODES.shape)
        for j in range(3):
            plates = {(i, "bit", s): (CODES[i, j] >> (2 - s) & 1) * np.eye(4)[i] for i in range(4) for s in range(3)}
            expected = circuit.solve(whole_column(THREE, j, capacitors), plates)["column"]
            np.testing.assert_allclose(found[:, j], expected, rtol=1e-11, atol=1e-15)


def test_thermal_noise_is_that_of_the_whole_network():
    """Nodes that were all reset hold the charges of equipartition, whose voltages have the covariance k T C^-1."""
    nominal = np.ones((3, 4, 3)), np.full((3, 4, 3), 2.0), np.ones((4, 3))
    plates = {(i, "bit", s): 0.0 for i in range(4) for s in range(3)}
    free, inner, _ = circuit.matrix(whole_column(THREE, 0, nominal), plates)
    variance = 1.380649e-23 * 300 * np.linalg.inv(inner * THREE.c_unit)[free.index("column"), free.index("column")]
    found = THREE.noise_sigma(jnp.asarray(CODES / 7 * G_MAX))
    np.testing.assert_allclose(found, np.full(3, np.sqrt(variance)), rtol=1e-5)


def test_an_ideal_column_is_the_mean_of_codes_times_inputs():
    codes = np.arange(256).reshape(32, 8)
    readout = C2c(bits=8, g_max=G_MAX)
    g = jnp.asarray(codes / 255 * G_MAX, jnp.float32)
    np.testing.assert_allclose(readout.respond(g, None, "auto") * 32, codes / 256, rtol=1e-6)
    unit = readout.unit_per_siemens(g)
    assert unit.shape == (1, 8)
    np.testing.assert_allclose(readout.respond(g, None, "auto") / unit, g, rtol=2e-6)


def test_cells_are_read_as_the_nearest_code():
    level = G_MAX / 7
    g = jnp.asarray(CODES * level, jnp.float32)
    off = jnp.asarray(np.random.default_rng(5).uniform(-0.45, 0.45, CODES.shape) * level, jnp.float32)
    np.testing.assert_array_equal(THREE.respond(g + off, None, "auto", KEY), THREE.respond(g, None, "auto", KEY))


def loss(readout, g):
    found = readout.respond(g, None, "auto", KEY)
    weighted = jnp.sum(found * np.cos(np.arange(found.size)).reshape(found.shape))
    return weighted + 10 * jnp.sum(readout.noise_sigma(g)) + 1e-6 * jnp.sum(readout.unit_per_siemens(g))


@pytest.mark.slow
def test_gradients():
    g = CODES * (G_MAX / 7) + 1e-8
    with jax.enable_x64(True):
        check(loss, THREE, g, names=["c_unit", "parasitic", "sigma", "c_parasitic", "temperature_k"])
        weights = jax.jit(jax.grad(lambda p, s: jnp.sum(ladder_weights(5, p, s, KEY) * np.arange(5.0)), (0, 1)))
        assert all(np.isfinite(x) for x in weights(0.0, 0.0))


def test_rounding_passes_gradients_through_all_bits():
    """Of an ideal ladder the slope is that of the code itself, the range's ends included."""
    readout = C2c(bits=3, g_min=5e-6, g_max=G_MAX)
    g = jnp.asarray(5e-6 + CODES * ((G_MAX - 5e-6) / 7), jnp.float32)
    gradient = jax.jit(jax.grad(lambda readout, g: jnp.sum(readout.respond(g, None, "auto")), (0, 1)))
    to_leaves, to_g = gradient(readout, g)
    np.testing.assert_allclose(to_g, np.full(g.shape, 7 / 8 / (G_MAX - 5e-6) / 4), rtol=1e-5)
    # A range that widens makes less of the same conductance: -digit / range, shared as the bits are.
    assert to_leaves.g_max == pytest.approx(-CODES.sum() / 8 / (G_MAX - 5e-6) / 4, rel=1e-4)


def test_wrong_ladders_are_refused():
    for arguments, named in (((0,), "bits is 0"), ((2.5,), "bits is 2.5"), ((4, -0.1), "parasitic"), ((4, 0.0, -1.0), "sigma")):
        with pytest.raises(UserError, match=named):
            ladder_weights(*arguments)
