"""The calibratable model: counts against loops, wires against the nodal solution, fits of known answers, wrong input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import mvm
from imcjax.crossbar import Wires


VOLTS, SIEMENS = np.array([0.0, 0.1, 0.2]), np.array([2e-6, 20e-6, 40e-6, 80e-6])
WIRES = Wires(wordline=2.0, bitline=2.0, driver=20.0, sense=10.0)


@pytest.fixture(scope="module")
def model():
    return mvm.calibrate(VOLTS, SIEMENS, WIRES, rows=16, cols=12, time_s=10e-9, samples=96, seed=1)


def pattern(seed: int = 0, samples: int = 1):
    levels, states = mvm.patterns(3, 4, 16, 12, samples, seed)
    return levels, states


def test_counts_are_those_of_a_loop():
    levels, states = (a[0] for a in pattern())
    expected = np.zeros((3, 4))
    for i in range(16):
        for j in range(12):
            expected[levels[i], states[i, j]] += 1
    found = mvm.counts(jnp.asarray(levels, float), jnp.asarray(states, float), (3, 4))
    np.testing.assert_array_equal(found, expected)
    half = jnp.asarray(levels, float).at[0].set(0.5)
    shared = mvm.counts(half, jnp.asarray(states, float), (3, 4))
    assert float(jnp.sum(shared)) == pytest.approx(16 * 12)


def test_counts_have_slopes():
    levels, states = (jnp.asarray(a[0], jnp.float32) for a in pattern())
    slope = jax.grad(lambda x: jnp.sum(mvm.counts(x + 0.25, states, (3, 4))[1]))(levels)
    # at 0.25, half of the way from 0 to 1 and from 1 to 2: a row moves its 12 cells in or out
    expected = np.where(np.asarray(levels) == 0, 12.0, np.where(np.asarray(levels) == 1, -12.0, 0.0))
    np.testing.assert_allclose(slope, expected)


def test_wire_squares_are_those_of_a_loop_and_their_mean_is_expected():
    levels, states = (a[0] for a in pattern())
    v, g = VOLTS[levels], SIEMENS[states]
    current = v[:, None] * g
    wordline = sum((current[i, j:].sum()) ** 2 for i in range(16) for j in range(1, 12))
    bitline = sum((current[: i + 1, j].sum()) ** 2 for i in range(15) for j in range(12))
    expected = [(current.sum(1) ** 2).sum(), wordline, bitline, (current.sum(0) ** 2).sum()]
    squares = jax.jit(mvm.wire_squares)
    np.testing.assert_allclose(squares(jnp.asarray(v), jnp.asarray(g)), expected, rtol=1e-5)
    rng = np.random.default_rng(0)
    p, q = np.array([0.5, 0.2, 0.3]), np.array([0.4, 0.3, 0.2, 0.1])
    many = squares(jnp.asarray(VOLTS[rng.choice(3, (4000, 16), p=p)]), jnp.asarray(SIEMENS[rng.choice(4, (4000, 16, 12), p=q)]))
    mean = mvm.expected_wire_squares(jnp.asarray(p), jnp.asarray(q), jnp.asarray(VOLTS), jnp.asarray(SIEMENS), 16, 12)
    np.testing.assert_allclose(mean, np.asarray(many).mean(0), rtol=0.03)


def test_held_out_error_against_the_nodal_solution(model):
    assert model.held_out < 0.01
    assert model.held_out_rms < model.held_out
    levels, states = pattern(seed=8, samples=16)
    v, g = jnp.asarray(VOLTS[levels], float), jnp.asarray(SIEMENS[states], float)
    theirs = np.asarray(mvm.driver_energy_j(g, v, WIRES, 10e-9))
    n = jax.vmap(lambda x, s: mvm.counts(x, s, (3, 4)))(jnp.asarray(levels, float), jnp.asarray(states, float))
    ours = np.asarray(model.energy_j(n, mvm.wire_squares(v, g)))
    np.testing.assert_allclose(ours, theirs, rtol=0.01)
    # what a resistor takes from the sources is, to first order, r I^2 T: the fitted numbers come near the resistances
    np.testing.assert_allclose(model.cell_j[2], 0.04 * 10e-9 * SIEMENS, rtol=0.05)


def test_histograms_give_the_mean(model):
    p, q = np.array([0.5, 0.2, 0.3]), np.array([0.4, 0.3, 0.2, 0.1])
    found = mvm.expected_counts(jnp.asarray(p), jnp.asarray(q * 7), 16, 12)
    np.testing.assert_allclose(found, 192 * p[:, None] * q, rtol=1e-6)
    slope = jax.grad(lambda p: model.energy_j(mvm.expected_counts(p, jnp.asarray(q), 16, 12)))(jnp.asarray(p))
    assert slope[2] > 0 > slope[0]  # more of the high inputs, less of the zeros: more energy


def test_a_known_model_is_found_again():
    rng = np.random.default_rng(2)
    cell, n = rng.uniform(1e-15, 2e-15, (2, 3)), rng.integers(0, 100, (40, 2, 3))
    energy = 5e-15 + (n * cell).sum((1, 2))
    found = mvm.fit(n, energy)
    np.testing.assert_allclose(found.cell_j, cell, rtol=1e-6)
    assert found.base_j == pytest.approx(5e-15, rel=1e-5)
    assert found.held_out < 1e-8
    noisy = mvm.fit(n, energy * (1 + 0.02 * rng.normal(size=40)))
    assert 0.01 < noisy.held_out < 0.1


def test_measurements_from_a_file(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("energy_j,n_0_0,n_0_1,n_1_0,n_1_1\n" + "1e-12,1,2,3,4\n2e-12,5,6,7,8\n")
    n, energy = mvm.load_csv(path)
    np.testing.assert_array_equal(n, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    np.testing.assert_array_equal(energy, [1e-12, 2e-12])
    for text, message in (
        ("energy_j,n_0_0,n_1_1\n1,2,3\n", "lack the column n_0_1"),
        ("joule,n_0_0\n1,2\n", "no column energy_j"),
        ("energy_j,n_0_0\n1,two\n", "not a number"),
        ("energy_j,n_0\n1,2\n", "not n_<level>_<state>"),
        ("energy_j\n1\n", "lack the column n_0_0"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            mvm.load_csv(path)
    with pytest.raises(UserError, match="cannot be read"):
        mvm.load_csv(tmp_path / "none.csv")


def test_wrong_calibrations_are_refused():
    rng = np.random.default_rng(3)
    n = rng.integers(0, 50, (40, 2, 2)).astype(float)
    energy = (n * np.array([[1.0, 2.0], [3.0, -1.0]])).sum((1, 2)) + 200
    with pytest.raises(UserError, match=r"negative energy, -1 J, to cells in state 1 at input level 1"):
        mvm.fit(n, energy)
    with pytest.raises(UserError, match="not positive"):
        mvm.fit(n, -energy)
    with pytest.raises(UserError, match=r"3 samples are fitted to 5 numbers"):
        mvm.fit(n[:4], energy[:4])
    with pytest.raises(UserError, match=r"counts has shape \(40, 2\)"):
        mvm.fit(n[..., 0], energy)
    with pytest.raises(UserError, match="negative or infinite"):
        mvm.fit(-n, energy)
    with pytest.raises(UserError, match="histogram of levels"):
        mvm.expected_counts(jnp.asarray([-1.0, 2.0]), jnp.ones(2), 4, 4)
