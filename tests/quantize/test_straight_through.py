"""Rounding keeps its value to the last bit and takes the gradient of the identity; clipping sends it where it belongs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imcjax.quantize import ceil_through, clip_through, round_through, straight_through


FLOATS = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=8, max_size=8))
def test_value_is_exact_whatever_the_surrogate(pairs):
    value, surrogate = np.asarray(pairs, np.float32).T
    np.testing.assert_array_equal(jax.jit(straight_through)(value, surrogate), value)


def test_derivatives_are_the_surrogates_in_both_modes():
    def f(x):
        return straight_through(jnp.floor(7 * x), x**3)

    x = jnp.float32(1.25)
    assert f(x) == 8.0
    assert jax.grad(f)(x) == pytest.approx(3 * 1.25**2)
    assert jax.jvp(f, (x,), (jnp.float32(2.0),))[1] == pytest.approx(6 * 1.25**2)
    assert jax.grad(jax.grad(f))(x) == pytest.approx(6 * 1.25)


@pytest.mark.parametrize("ours, numpys", [(round_through, np.round), (ceil_through, np.ceil)])
def test_rounding_is_numpys_with_gradient_one(ours, numpys):
    x = np.array([-2.5, -1.5, -0.5, -0.2, 0.0, 0.5, 1.5, 2.5, 3.49, 1e7], np.float32)
    np.testing.assert_array_equal(ours(x), numpys(x))
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(ours(x)))(x), np.ones_like(x))


def test_clipping_gives_the_gradient_to_the_value_inside_and_to_the_end_outside():
    x = jnp.array([-3.0, -2.0, 0.0, 2.0, 3.0])
    np.testing.assert_array_equal(clip_through(x, -2.0, 2.0), [-2, -2, 0, 2, 2])
    of_x, of_low, of_high = jax.vmap(jax.grad(clip_through, (0, 1, 2)), (0, None, None))(x, -2.0, 2.0)
    np.testing.assert_array_equal(of_x, [0, 1, 1, 1, 0])  # the ends count as inside
    np.testing.assert_array_equal(of_low, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(of_high, [0, 0, 0, 0, 1])
