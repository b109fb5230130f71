"""Noise that is drawn once: the generator's numbers, their derivatives, chips side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.fast_random import fast_key, normal, rough_normal
from imcjax.noise import parts_with_noise, with_noise


X = jax.random.normal(jax.random.key(0), (5, 3))


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("draws", [normal, rough_normal])
@pytest.mark.parametrize("sigma", [jnp.float32(0.5), jnp.full((1, 1), 0.5), jnp.asarray([[0.5, 1.0, 2.0]])])
def test_noise_is_the_generators_and_does_not_change_gradients(sigma, draws, numbered):
    def noisy(x, sigma, key):
        return with_noise(x, sigma, key, draw=draws, number=sigma if numbered else None)

    key = fast_key(1)
    draw = draws(key, (X.size,)).reshape(X.shape)
    np.testing.assert_allclose(jax.jit(noisy)(X, sigma, key), X + sigma * draw, rtol=1e-5, atol=1e-6)
    by_x, by_sigma = jax.grad(lambda x, sigma: noisy(x, sigma, key).sum(), argnums=(0, 1))(X, sigma)
    np.testing.assert_array_equal(by_x, 1)
    exact = draw.sum().reshape(sigma.shape) if sigma.size == 1 else draw.sum(0, keepdims=True)
    np.testing.assert_allclose(by_sigma, exact, rtol=1e-5)


def test_chips_draw_apart():
    keys = jax.random.split(fast_key(2), 4)
    together = jax.vmap(lambda key: with_noise(X, jnp.float32(1.0), key))(keys)
    for one, key in zip(together, keys, strict=True):
        np.testing.assert_allclose(one, with_noise(X, jnp.float32(1.0), key), rtol=1e-6)
    assert np.unique(np.asarray(together)).size == together.size


def test_every_number_of_a_wider_sigma_has_noise_of_its_own():
    found = with_noise(jnp.zeros((1, 3)), jnp.ones((4, 1)), fast_key(0))
    assert found.shape == (4, 3)
    assert np.unique(np.asarray(found)).size == 12


def test_noise_of_a_known_size_is_stored_all_the_same():
    # Otherwise a consumer that reads it in another order takes XLA several times as long.
    text = jax.jit(lambda x, key: with_noise(x, 0.5, key).T * 2).lower(X, fast_key(0)).compile().as_text()
    assert "conditional(" in text


def test_a_number_with_axes_is_a_number():
    found = jax.grad(lambda x: with_noise(x, jnp.ones((1, 1, 1)), fast_key(0)).sum())(X)  # x: fewer axes than sigma
    np.testing.assert_array_equal(found, 1)


@pytest.mark.parametrize("data", [0, 1, 2**31, 2**32 - 1])
def test_no_key_makes_noise_that_is_no_number(data):
    key = jax.random.wrap_key_data(jnp.full(2, data, jnp.uint32), impl=jax.random.key_impl(fast_key(0)))
    assert np.isfinite(with_noise(X, jnp.float32(1.0), key)).all()


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_parts_are_those_of_the_whole(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)  # others are left to their compilers
    key, sigma = fast_key(3), jnp.float32(0.5)

    def loss(x, sigma, split):
        parts = parts_with_noise(x, sigma, key, (2, 3), number=sigma) if split else jnp.split(with_noise(x, sigma, key), [2])
        return jnp.sum(jnp.sin(parts[0])) + 2 * jnp.sum(jnp.cos(parts[1])), [part.shape for part in parts]

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (one, shapes), grads = run(X, sigma, True)
    (two, same), whole = run(X, sigma, False)
    assert shapes == same == [(2, 3), (3, 3)]
    np.testing.assert_allclose(one, two, rtol=1e-6)
    for found, expected in zip(grads, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with jax.enable_x64(True):
        (first, _) = parts_with_noise(X, jnp.float64(0.5), key, (2, 3))
        assert first.dtype == jnp.float32
