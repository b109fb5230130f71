"""The digital readout: exact whole numbers whatever the cells' errors below half a level, and gradients that pass through."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.crossbar import Wires
from imcjax.mapping import Differential
from imcjax.readout import Digital


MEMORY = Digital(g_min=2e-6, g_max=80e-6, levels=4)
LEVEL = 78e-6 / 3


def test_products_are_exact():
    rng = np.random.default_rng(0)
    digits, x = rng.integers(0, 4, (2, 300, 7)), rng.integers(-127, 128, (5, 300))
    error = rng.uniform(-0.49, 0.49, digits.shape)
    g = jnp.asarray(2e-6 + (digits + error) * LEVEL, jnp.float32)
    found = MEMORY.digits(g)
    np.testing.assert_array_equal(found, digits)
    np.testing.assert_array_equal(x.astype(np.float32) @ (found[0] - found[1]), x @ (digits[0] - digits[1]))


def test_a_cell_is_its_nominal_conductance_above_digit_zero_again():
    signed = jnp.asarray(np.random.default_rng(1).integers(-3, 4, (2, 6, 5)), jnp.float32)
    targets = Differential(weight_bits=5, cell_bits=2).encode(signed, MEMORY.g_min, MEMORY.g_max)
    noise = 0.3 * LEVEL * jnp.sin(jnp.arange(targets.size, dtype=jnp.float32)).reshape(targets.shape)
    found = jax.jit(lambda m, g: m.respond(g, Wires(5.0, 5.0), "auto", jax.random.key(0)))(MEMORY, targets + noise)
    np.testing.assert_allclose(found, targets - MEMORY.g_min, rtol=3e-7, atol=1e-11)
    np.testing.assert_array_equal(MEMORY.respond(found, None, "auto"), MEMORY.respond(targets, None, "auto"))


def test_conductances_beyond_the_range_are_its_ends():
    np.testing.assert_array_equal(MEMORY.digits(jnp.array([[0.0, 1.0]])), [[0, 3]])
    np.testing.assert_array_equal(Digital(levels=2).digits(jnp.array([[49e-6, 51e-6]])), [[0, 1]])


def test_a_traced_number_of_levels_is_rounded():
    g = jnp.linspace(0, 80e-6, 9)[None]
    found = jax.vmap(lambda levels: MEMORY.replace(levels=levels).digits(g))(jnp.array([3.6, 4.4, 2.0]))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], MEMORY.digits(g))
    assert found[2].max() == 1


def test_gradients_are_those_of_rounding_errors_held_fixed():
    """Straight through: as if each cell's rounding error, in levels, were a constant."""
    g = np.array([[3e-6, 20e-6, 45e-6, 77e-6]])
    error = np.asarray(MEMORY.digits(jnp.asarray(g))) - (g - 2e-6) / LEVEL
    weights = np.array([1.0, -2.0, 0.5, 3.0])

    def smooth(g, g_min, g_max, levels):
        level = (g_max - g_min) / (levels - 1)
        return np.sum(weights * ((g - g_min) / level + error) * level)

    with jax.enable_x64(True):
        memory, to_g = jax.jit(jax.grad(lambda m, g: jnp.sum(weights * m.respond(g, None, "auto")), (0, 1)))(MEMORY, g)
    np.testing.assert_allclose(to_g[0], weights, rtol=1e-9)
    at = {"g_min": 2e-6, "g_max": 80e-6, "levels": 4.0}
    for name, value in at.items():
        step = 1e-4 * value
        difference = smooth(g, **at | {name: value + step}) - smooth(g, **at | {name: value - step})
        assert float(getattr(memory, name)) == pytest.approx(difference / (2 * step), rel=1e-6), name


def test_clipped_cells_have_no_gradient():
    to_g = jax.grad(lambda g: MEMORY.respond(g, None, "auto").sum())(jnp.array([[1e-6, 30e-6, 99e-6]]))
    np.testing.assert_allclose(to_g, [[0, 1, 0]], atol=1e-6)
