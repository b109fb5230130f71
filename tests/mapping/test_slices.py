"""Digits: whole-number arithmetic forwards, shared gradients backwards, nothing above the width in use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imcjax.mapping import slices


SPLIT = jax.jit(slices.split, static_argnums=(1, 2))
WEIGHTS = jax.jit(slices.weights, static_argnums=(0, 1, 3))


def numpy_digits(codes, digits, k):
    return np.stack([np.sign(codes) * ((np.abs(codes) >> (k * s)) & (2**k - 1)) for s in range(digits)])


@pytest.mark.parametrize("k, digits", [(1, 7), (2, 4), (3, 3), (4, 2), (7, 1), (8, 2)])
@given(codes=st.lists(st.integers(-(2**15), 2**15), min_size=12, max_size=12))
def test_digits_are_those_of_the_integers_and_reassemble(k, digits, codes):
    codes = np.sign(codes) * (np.abs(codes) % 2 ** (k * digits))
    found = SPLIT(codes.astype(np.float32), digits, k, jnp.float32(digits))
    np.testing.assert_array_equal(found, numpy_digits(codes, digits, k))
    place = WEIGHTS(digits, k, jnp.float32(digits), jnp.float32)
    np.testing.assert_array_equal(jnp.tensordot(place, found, 1), codes)


@pytest.mark.parametrize("k, digits", [(1, 7), (2, 4), (3, 3), (7, 1)])
@pytest.mark.parametrize("used", [1, 2, 3, 7])
def test_gradient_of_a_code_is_shared_between_the_digits_in_use(k, digits, used):
    used = min(used, digits)
    code = float(2 ** (k * used) - 2)
    share = jax.jacobian(lambda c: SPLIT(c, digits, k, jnp.float32(used)))(code)
    place = WEIGHTS(digits, k, jnp.float32(used), jnp.float32)
    np.testing.assert_allclose(share[:used], [2.0 ** (-k * s) / used for s in range(used)], rtol=1e-6)
    assert jnp.dot(place, share) == pytest.approx(1)


def test_digits_above_the_count_in_use_are_gated():
    place = WEIGHTS(4, 2, jnp.float32(2), jnp.float32)
    np.testing.assert_array_equal(place, [1, 4, 0, 0])
    digits = SPLIT(jnp.array([15.0, -9.0, 0.0]), 4, 2, jnp.float32(2))
    np.testing.assert_array_equal(digits, [[3, -1, 0], [3, -2, 0], [0, 0, 0], [0, 0, 0]])


@given(bits=st.integers(1, 15), k=st.integers(1, 8))
def test_count_is_the_least_that_holds_the_bits(bits, k):
    n = slices.count(bits, k)
    assert n >= 1
    assert n * k >= bits > (n - 1) * k


def test_in_use_counts_whole_bits_without_gradient():
    for k in (1, 2, 3):
        for bits in (0.0, 1.0, 3.4, 3.6, 7.0):
            assert slices.in_use(bits, k) == slices.count(round(bits), k)
    assert jax.grad(lambda b: slices.in_use(b, 2))(5.0) == 0
