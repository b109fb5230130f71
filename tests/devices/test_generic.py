"""The generic cell: its two errors have the sizes they say, gradients where nothing is random, and nothing without a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
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


def test_the_defaults_are_the_plain_normal_errors_to_the_last_bit():
    target = jnp.linspace(1e-6, 100e-6, 50)
    g = target + 0.03 * 100e-6 * jax.random.normal(PROGRAM, (50,))
    state = CELL.program(target, PROGRAM)
    np.testing.assert_array_equal(state.g, jnp.where(g < 0, 0, g))
    expected = state.g * jnp.maximum(1 + 0.02 * jax.random.normal(READ, (50,)), 0)
    np.testing.assert_array_equal(CELL.read(state, READ), expected)


SIZES = {"independent": lambda g: 100e-6, "proportional": lambda g: g, "inverse": lambda g: (100e-6) ** 2 / g}


@pytest.mark.parametrize("distribution", ["normal", "uniform", "lognormal"])
@pytest.mark.parametrize("law", SIZES)
def test_laws_and_distributions(law, distribution):
    kind = {f"{step}_{part}": name for step in ("program", "read") for part, name in
            (("law", law), ("distribution", distribution))}  # fmt: skip
    cell = Generic(g_min=1e-6, g_max=100e-6, program_sigma=0.01, read_sigma=0.01, **kind)
    for target in (30e-6, 90e-6):
        size = 0.01 * SIZES[law](target)
        for g in (programmed(cell, target, PROGRAM).g, jax.jit(cell.read)(programmed(cell, target, None), READ)):
            g = np.asarray(g, float)
            assert g.mean() == pytest.approx(target, abs=4 * size / np.sqrt(DRAWS))
            if distribution == "lognormal":
                assert np.log(g).std() == pytest.approx(size / target, rel=0.02)
                assert size < 0.1 * target or ((g - g.mean()) ** 3).mean() > size**3 * 0.1
            else:
                assert g.std() == pytest.approx(size, rel=0.02)
            if distribution == "uniform":  # CrossSim's magnitude, the full width, is sqrt(12) sigma
                assert g.max() - g.min() == pytest.approx(np.sqrt(12) * size, rel=1e-3)


@pytest.mark.parametrize("law", SIZES)
@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_gradients_of_every_law_where_a_cell_is_off_and_where_nothing_is_random(law, distribution):
    target = jnp.array([0.0, 1e-5, 1e-4])

    def run(target, sigma):
        return (
            Generic(g_min=0.0, program_sigma=sigma, program_law=law, program_distribution=distribution)
            .program(target, PROGRAM)
            .g
        )

    np.testing.assert_array_equal(run(target, 0.0), target)
    to_target, to_sigma = jax.jacobian(run, (0, 1))(target, 0.0)
    np.testing.assert_array_equal(to_target, np.eye(3))
    assert np.isfinite(to_sigma).all()
    assert (to_sigma[1:] != 0).all()
    if law != "independent" or distribution == "lognormal":
        assert run(target, 0.1)[0] == 0  # a cell that is off stays off


def test_an_unknown_law_is_told_the_known_ones():
    with pytest.raises(UserError, match=r"device.program_law is 'proportionate' \(nearest: proportional"):
        Generic(program_law="proportionate").program(jnp.full(1, 1e-5), PROGRAM)
    with pytest.raises(UserError, match=r"no spread 'cauchy' \(known: lognormal, normal, uniform"):
        Generic(read_distribution="cauchy").read(Generic().program(jnp.full(1, 1e-5), None), READ)


def test_levels_are_evenly_spaced_and_gradients_pass_through():
    cell = Generic(g_min=10e-6, g_max=40e-6, levels=4)
    target = jnp.array([10e-6, 14e-6, 16e-6, 29e-6, 36e-6, 40e-6])
    state = cell.program(target, None)
    np.testing.assert_allclose(state.g, np.array([10, 10, 20, 30, 40, 40]) * 1e-6, rtol=1e-6)
    np.testing.assert_allclose(jax.jacobian(lambda g: cell.program(g, None).g)(target), np.eye(6), rtol=1e-5, atol=1e-7)
    # A target that moves with the range takes its level along, as a level between the ends does.
    moved = jax.grad(lambda high: cell.replace(g_max=high).program(10e-6 + (high - 10e-6) * jnp.float32(0.34), None).g)(40e-6)
    assert moved == pytest.approx(1 / 3, rel=1e-5)
    assert jax.tree.structure(cell) != jax.tree.structure(Generic())
