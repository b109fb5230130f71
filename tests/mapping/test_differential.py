"""Differential pairs: the conductances of each digit, worked out by hand, and a gradient that is the same for all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imcjax.mapping import Differential


G_MIN, G_MAX = 2e-6, 62e-6
PAIR = Differential(weight_bits=7, cell_bits=2)  # levels at 2, 22, 42 and 62 uS
ENCODE = jax.jit(PAIR.encode)


def test_conductances_of_each_digit():
    digits = jnp.array([[-3.0, -1.0, 0.0, 1.0, 2.0, 3.0]])
    found = PAIR.encode(digits, G_MIN, G_MAX)
    expected = 1e-6 * np.array([[[2, 2, 2, 22, 42, 62], [62, 22, 2, 2, 2, 2]]])
    assert found.shape == (1, 2, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_continuous_weights_use_the_whole_range():
    found = Differential().encode(jnp.array([[-1.0, -0.25, 0.5]]), G_MIN, G_MAX)
    np.testing.assert_allclose(found[0], 1e-6 * np.array([[2, 2, 32], [62, 17, 2]]), rtol=1e-6)


@given(
    digits=st.lists(st.floats(-3, 3, width=32, allow_subnormal=False), min_size=8, max_size=8),
    g_min=st.sampled_from([0.0, 1e-9, 1e-5]),
)
def test_one_cell_of_each_pair_is_at_the_lowest_and_none_below(digits, g_min):
    digits = np.asarray(digits, np.float32)
    positive, negative = np.asarray(ENCODE(digits[None], g_min, G_MAX))[0]
    low = np.float32(g_min)
    assert (np.minimum(positive, negative) == low).all()
    assert np.maximum(positive, negative).max() <= np.float32(G_MAX) * (1 + 1e-6)
    unit = (G_MAX - g_min) / 3
    np.testing.assert_allclose(positive - negative, digits * unit, atol=1e-6 * G_MAX)


def test_gradient_of_the_difference_is_the_same_for_every_digit():
    digits = jnp.array([-3.0, -1.0, -0.0, 0.0, 1.0, 3.0])

    def difference(digit):
        positive, negative = PAIR.encode(digit[None], G_MIN, G_MAX)[0]
        return positive - negative

    np.testing.assert_allclose(jax.vmap(jax.grad(difference))(digits), np.full(6, 20e-6), rtol=1e-6)


def test_gradients_to_the_ends_of_the_conductance_range():
    to_min, to_max = jax.grad(lambda a, b: PAIR.encode(jnp.array([[2.0]]), a, b)[0, 0, 0], (0, 1))(G_MIN, G_MAX)
    assert to_min == pytest.approx(1 / 3)
    assert to_max == pytest.approx(2 / 3)


@pytest.mark.parametrize("bits, cell_bits, expected", [(None, 2, 1), (2, 2, 1), (3, 1, 2), (8, 2, 4), (8, 7, 1), (8, 8, 1)])
def test_slices_hold_the_magnitude(bits, cell_bits, expected):
    assert Differential(weight_bits=bits, cell_bits=cell_bits).slices == expected
