"""Threefry written out: the published numbers, and those of jax.random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.fast_random import fast_key
from imcjax.unrolled_threefry import MANY, UNROLLED, _words, unrolled


KEY = jax.random.fold_in(jax.random.key(3), 5)
DRAWS = {
    "bits": lambda key, n: jax.random.bits(key, (n,)),
    "bytes": lambda key, n: jax.random.bits(key, (n,), "uint8"),
    "normal": lambda key, n: jax.random.normal(key, (2, n)),
    "uniform": lambda key, n: jax.random.uniform(key, (n,)),
}


def test_the_first_known_answer_of_random123():
    # kat_vectors of D. E. Shaw Research's Random123: threefry2x32, 20 rounds, counter and key zero.
    found = _words(jnp.zeros(2, jnp.uint32), jnp.zeros(1, jnp.uint32))
    assert [int(word[0]) for word in found] == [0x6B200159, 0x99BA4EFE]


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [7, MANY + 3])
def test_numbers_are_those_of_jax_random(name, n):
    draw = jax.jit(lambda key: DRAWS[name](key, n))
    np.testing.assert_array_equal(draw(unrolled(KEY)), draw(KEY))


def test_double_precision_takes_both_words():
    with jax.enable_x64(True):
        draw = jax.jit(lambda key: jax.random.normal(key, (MANY,), jnp.float64))
        np.testing.assert_array_equal(draw(unrolled(KEY)), draw(KEY))


def test_keys_are_handed_down_as_they_are_by_jax():
    own = unrolled(KEY)
    for make in (lambda key: jax.random.fold_in(key, 9), lambda key: jax.random.split(key, 3)[1]):
        np.testing.assert_array_equal(jax.random.key_data(make(own)), jax.random.key_data(make(KEY)))
    many = jax.jit(jax.vmap(lambda key: jax.random.normal(key, (MANY,))))
    np.testing.assert_array_equal(many(jax.random.split(own, 2)), many(jax.random.split(KEY, 2)))
    np.testing.assert_array_equal(jax.random.key_data(jax.random.key(7, impl=UNROLLED)), jax.random.key_data(jax.random.key(7)))


def test_other_generators_stay_what_they_are():
    assert unrolled(None) is None
    for key in (fast_key(0), jax.random.key(0, impl="rbg")):
        assert unrolled(key) is key
