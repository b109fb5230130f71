"""Keys are handed down by what is drawn, not by the order of drawing."""

import itertools

import jax
import numpy as np
import pytest

from imcjax.fast_random import fast_key
from imcjax.keys import fold_index, fold_name


@pytest.fixture(params=[jax.random.key, fast_key], ids=["threefry", "fast"])
def key(request):
    return request.param(3)


def same(a, b):
    return np.array_equal(jax.random.key_data(a), jax.random.key_data(b))


def test_no_key_stays_no_key():
    assert fold_name(None, "a") is None
    assert fold_index(None, 3) is None
    assert fold_name(fold_index(None, 3), "a") is None


def test_names_and_indices_give_distinct_keys(key):
    names = ["a", "b", "ab", "ba", "layers/0", "layers/1", "layers/10", "program", "read"]
    folded = [fold_name(key, name) for name in names] + [fold_index(key, k) for k in range(10)]
    for a, b in itertools.combinations(folded, 2):
        assert not same(a, b)


def test_a_name_gives_its_key_whatever_was_drawn_before(key):
    before = fold_name(key, "conv")
    fold_name(key, "other")
    jax.random.normal(key, (3,))
    assert same(fold_name(key, "conv"), before)


def test_the_hash_is_the_same_in_every_process_and_version():
    # CRC-32 of "conv1" is 0x5b3b2ef5 by definition of the polynomial; Python's own hash() differs between processes.
    assert same(fold_name(jax.random.key(0), "conv1"), jax.random.fold_in(jax.random.key(0), crc32(b"conv1")))


def crc32(data):
    """CRC-32 bit by bit, as ISO 3309 defines it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 * (value & 1))
    return value ^ 0xFFFFFFFF


def test_indices_may_be_traced(key):
    folded = jax.jit(jax.vmap(lambda k: jax.random.key_data(fold_index(key, k))))(np.arange(4, dtype=np.uint32))
    for k in range(4):
        np.testing.assert_array_equal(folded[k], jax.random.key_data(fold_index(key, k)))
