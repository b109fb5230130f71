"""The generic cell: its two errors have the sizes they say, gradients where nothing is random, and nothing without a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.devices import Generic


DRAWS = 20_000
CELL = Generic(g_min=1e-6, g_max=100e-6, program_sigma=0.03, read_sigma=0.02)
PROGRAM, READ = jax.random.split(jax.random.key(5))


@jax.jit
def programmed(cell, target, key):
    return cell.program(jnp.full(DRAWS, target), key)


def check_normal(values, mean, std):
    """Mean and standard deviation within four standard errors, and as much skew as a normal distribution."""
    values = np.asarray(values, float)
    assert values.mean() == pytest.approx(mean, abs=4 * std / np.sqrt(DRAWS))
    assert values.std() == pytest.approx(std, rel=4 / np.sqrt(2 * DRAWS))
    assert ((values - values.mean()) ** 3).mean() / std**3 == pytest.approx(0, abs=4 * np.sqrt(6 / DRAWS))


@pytest.mark.parametrize("target", [20e-6, 90e-6])
def test_programming_error_is_a_fraction_of_the_highest_conductance(target):
    check_normal(programmed(CELL, target, PROGRAM).g, target, 0.03 * 100e-6)


@pytest.mark.parametrize("target", [20e-6, 90e-6])
def test_read_noise_is_a_fraction_of_the_conductance(target):
    state = programmed(CELL, target, None)
    check_normal(jax.jit(CELL.read)(state, READ), target, 0.02 * target)


def test_without_a_key_nothing_is_random():
    target = jnp.linspace(1e-6, 100e-6, 7)
    state = CELL.program(target, None)
    np.testing.assert_array_equal(CELL.read(state), target)
    np.testing.assert_array_equal(CELL.read(state, None, 1e9), target)


def test_read_noise_acts_only_with_a_key_and_is_drawn_for_each():
    state = CELL.program(jnp.full(9, 50e-6), PROGRAM)
    np.testing.assert_array_equal(CELL.read(state, None), state.g)
    one, same, other = (CELL.read(state, key) for key in (READ, READ, PROGRAM))
    np.testing.assert_array_equal(one, same)
    assert (one != state.g).all()
    assert (one != other).all()


def test_conductance_never_falls_below_zero():
    wild = Generic(g_min=0.0, g_max=1e-4, program_sigma=1.0, read_sigma=1.0)
    state = programmed(wild, 1e-5, PROGRAM)
    read = jax.jit(wild.read)(state, READ)
    for g in (state.g, read):
        assert g.min() == 0
        assert (g == 0).mean() > 0.1
    assert (read[state.g == 0] == 0).all()


def test_gradients_where_both_sigmas_are_zero():
    target = jnp.array([0.0, 1e-5, 1e-4])  # a cell that is off, too
    noise = [jax.random.normal(key, (3,)) for key in (PROGRAM, READ)]

    def read(target, program_sigma, read_sigma):
        cell = Generic(g_min=0.0, g_max=1e-4, program_sigma=program_sigma, read_sigma=read_sigma)
        return cell.read(cell.program(target, PROGRAM), READ)

    np.testing.assert_array_equal(read(target, 0.0, 0.0), target)
    to_target, to_program, to_read = jax.jacobian(read, (0, 1, 2))(target, 0.0, 0.0)
    np.testing.assert_array_equal(to_target, np.eye(3))
    np.testing.assert_allclose(to_program, 1e-4 * noise[0], rtol=1e-6)
    np.testing.assert_allclose(to_read, target * noise[1], rtol=1e-6)
