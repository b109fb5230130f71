"""The fast generator: pinned values, moments and distribution, no correlation within a stream or between streams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from imcjax.fast_random import fast_key, normal, rough_normal


N = 1 << 18
BITS = jax.jit(jax.random.bits, static_argnums=(1, 2))
NORMAL = jax.jit(normal, static_argnums=(1, 2))


def lowbias32(x):
    """C. Wellons' hash in Python integers."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
    x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
    return x ^ (x >> 16)


def reference_bits(key, n):
    first, second = (int(word) for word in jax.random.key_data(key))
    return [lowbias32((lowbias32(k ^ first) + second) % 2**32) for k in range(n)]


def test_bits_are_the_hash_of_the_counter():
    key = fast_key(42)
    np.testing.assert_array_equal(BITS(key, (3, 4), "uint32").ravel(), reference_bits(key, 12))
    np.testing.assert_array_equal(BITS(key, (12,), "uint8"), np.array(reference_bits(key, 12)) >> 24)
    np.testing.assert_array_equal(BITS(key, (12,), "uint16"), np.array(reference_bits(key, 12)) >> 16)


PINNED_BITS = [388445122, 2200462561, 3337968215, 3931097636]
PINNED_NORMAL = [-1.3380391597747803, 0.030924417078495026, 0.7627082467079163, 1.3740055561065674]


def test_values_are_pinned():
    # A change of these numbers changes every simulated chip.
    np.testing.assert_array_equal(jax.random.key_data(fast_key(42)), [0, 42])
    np.testing.assert_array_equal(BITS(fast_key(42), (4,), "uint32"), PINNED_BITS)
    np.testing.assert_allclose(NORMAL(fast_key(42), (4,)), PINNED_NORMAL, rtol=1e-5)


def test_normal_numbers_are_the_inverse_distribution_of_the_bits():
    key = fast_key(3)
    odd = 2 * (np.asarray(BITS(key, (N,), "uint32")).astype(np.int64) >> 8) - (2**24 - 1)
    np.testing.assert_allclose(NORMAL(key, (N,), np.float32), scipy.stats.norm.ppf(odd / 2**25 + 0.5), rtol=2e-6)
    ends = np.array([0, 1, 2**23 - 1, 2**23, 2**24 - 1])
    words = jnp.asarray(ends << 8, jnp.uint32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "bits", lambda *_: words)
        found = normal(key, (5,), np.float32)
    np.testing.assert_allclose(found, scipy.stats.norm.ppf((2 * ends - (2**24 - 1)) / 2**25 + 0.5), rtol=2e-6)


def test_other_keys_and_types_are_left_to_jax():
    np.testing.assert_array_equal(normal(jax.random.key(1), (3,)), jax.random.normal(jax.random.key(1), (3,)))
    with jax.enable_x64(True):
        found = normal(fast_key(1), (3,), np.float64)
        np.testing.assert_array_equal(found, jax.random.normal(fast_key(1), (3,), np.float64))


def test_normal_numbers_are_normal():
    x = np.asarray(NORMAL(fast_key(0), (N,)), float)
    assert x.mean() == pytest.approx(0, abs=4 / np.sqrt(N))
    assert x.var() == pytest.approx(1, abs=4 * np.sqrt(2 / N))
    assert (x**3).mean() == pytest.approx(0, abs=4 * np.sqrt(15 / N))
    assert (x**4).mean() == pytest.approx(3, abs=4 * np.sqrt(96 / N))
    assert scipy.stats.kstest(x, "norm").pvalue > 1e-3


def test_uniform_numbers_fill_the_interval():
    x = np.asarray(jax.jit(jax.random.uniform, static_argnums=1)(fast_key(1), (N,)), float)
    assert scipy.stats.kstest(x, "uniform").pvalue > 1e-3
    counts = np.histogram(x, 1024, (0, 1))[0]
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_every_bit_is_fair_and_independent_of_the_others(seed):
    bits = np.asarray(BITS(fast_key(seed), (N,), "uint32"))
    signs = 1 - 2 * ((bits[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(np.float32)
    bound = 5 / np.sqrt(N)  # 32 * 31 / 2 pairs of bits: one in 3,400 exceeds it by chance
    assert np.abs(signs.mean(0)).max() < bound
    products = signs.T @ signs / N
    assert np.abs(products - np.eye(32)).max() < bound


def correlation(a, b):
    return np.corrcoef(np.asarray(a, float), np.asarray(b, float))[0, 1]


def test_numbers_of_a_stream_are_not_correlated_with_later_ones():
    x = NORMAL(fast_key(7), (N,))
    for lag in (1, 2, 3, 16, 128, 4096):
        assert abs(correlation(x[:-lag], x[lag:])) < 4.5 / np.sqrt(N)
        assert abs(correlation(x[:-lag] ** 2, x[lag:] ** 2)) < 4.5 / np.sqrt(N)


def test_streams_of_neighbouring_keys_are_not_correlated():
    base = fast_key(7)
    others = {"seed": fast_key(8), "fold": jax.random.fold_in(base, 1), "split": jax.random.split(base)[0]}
    # The weakest keys there can be: one bit of one word apart.
    words = jax.random.key_data(base)
    for word in (0, 1):
        for bit in (0, 31):
            data = words.at[word].set(words[word] ^ np.uint32(1 << bit))
            others[f"word {word} bit {bit}"] = jax.random.wrap_key_data(data, impl=base.dtype._impl)
    x = NORMAL(base, (N,))
    for name, other in others.items():
        y = NORMAL(other, (N,))
        assert abs(correlation(x, y)) < 4.5 / np.sqrt(N), name
        assert abs(correlation(x**2, y**2)) < 4.5 / np.sqrt(N), name
        assert (x == y).mean() < 1e-4, name


def test_keys_folded_and_split_are_distinct():
    base = fast_key(0)
    folded = jax.vmap(lambda k: jax.random.fold_in(base, k))(jnp.arange(500, 1000))  # JAX's split(k)[i] is fold_in(k, i)
    keys = jnp.concatenate([base[None], jax.random.split(base, 500), folded])
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == 1001
    assert jax.random.split(base, (2, 3)).shape == (2, 3)


def test_vmap_over_keys_is_a_loop():
    keys = jax.random.split(fast_key(3), 5)
    together = jax.jit(jax.vmap(lambda k: normal(k, (2, 3))))(keys)
    for k in range(5):  # logarithms of vectors and of what is left over may differ in the last digit
        np.testing.assert_allclose(together[k], NORMAL(keys[k], (2, 3)), rtol=2e-6)


def test_leading_rows_do_not_depend_on_how_many_are_drawn():
    # Leaving weight slices out changes no noise of the others.
    np.testing.assert_array_equal(NORMAL(fast_key(3), (2, 5)), NORMAL(fast_key(3), (4, 5))[:2])


def test_64_bit_numbers():
    with jax.enable_x64(True):
        key = fast_key(9)
        words = reference_bits(key, 12)
        expected = [(high << 32) | low for high, low in zip(words[:6], words[6:], strict=True)]
        np.testing.assert_array_equal(jax.random.bits(key, (2, 3), "uint64").ravel(), np.array(expected, np.uint64))
        x = jax.random.normal(key, (1 << 16,), "float64")
        assert x.dtype == np.float64
        assert scipy.stats.kstest(x, "norm").pvalue > 1e-3


def test_empty_and_scalar_draws():
    assert NORMAL(fast_key(0), (0, 3)).shape == (0, 3)
    assert NORMAL(fast_key(0), ()).shape == ()


def test_rough_numbers_are_near_the_normal_ones():
    rough = jax.jit(rough_normal, static_argnums=(1, 2))
    exact, near = (np.asarray(f(fast_key(3), (N,), np.float32), float) for f in (NORMAL, rough))
    assert np.abs(near / exact - 1).max() < 4e-4
    ends = jnp.asarray(np.array([0, 1, 2**23 - 1, 2**23, 2**24 - 1]) << 8, jnp.uint32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "bits", lambda *_: ends)
        exact, near = (np.asarray(f(fast_key(3), (5,), np.float32), float) for f in (normal, rough_normal))
    np.testing.assert_allclose(near, exact, rtol=4e-4)
    other = jax.random.key(1)
    np.testing.assert_array_equal(rough_normal(other, (1 << 14,)), jax.random.normal(other, (1 << 14,)))


@pytest.mark.parametrize("shape", [(), (12,), (3, 4), (2, 1, 6)])
def test_numbers_do_not_depend_on_how_they_are_arranged(shape):
    n = int(np.prod(shape))
    for bits in ("uint32", "uint64"):
        with jax.enable_x64(True):
            flat = BITS(fast_key(5), (n,), bits)
            np.testing.assert_array_equal(np.ravel(BITS(fast_key(5), shape, bits)), flat)
