"""Values that are stored: the numbers and the derivatives of what is computed, in every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from imcjax.fast_random import fast_key, rough_normal
from imcjax.nn.direct import with_noise
from imcjax.written import kept, written


def _scaled(x, numbers):
    return jnp.tanh(x) * numbers["gain"] + numbers["offset"]


X = jax.random.normal(jax.random.key(0), (5, 3))
NUMBERS = {"gain": jnp.float32(1.5), "offset": 0.25}


@pytest.mark.parametrize("cotangent", [False, True])
def test_values_and_derivatives_are_those_of_what_is_computed(cotangent):
    def stored(x, numbers):
        return written(_scaled, x, numbers, number=numbers["gain"], cotangent=cotangent)

    np.testing.assert_allclose(jax.jit(stored)(X, NUMBERS), _scaled(X, NUMBERS), rtol=1e-6)
    check_grads(stored, (X, NUMBERS), order=1, modes=("fwd", "rev"), rtol=2e-2)
    check_grads(lambda x: stored(x, NUMBERS), (X,), order=2, modes=("fwd", "rev"), rtol=2e-2)
    found, exact = (jax.vmap(jax.grad(lambda x, f=f: f(x, NUMBERS).sum()))(X) for f in (stored, _scaled))
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_what_is_no_number_is_seen():
    assert np.isnan(written(_scaled, X, NUMBERS, number=jnp.float32(jnp.nan))).all()


@pytest.mark.parametrize("sigma", [jnp.float32(0.5), jnp.asarray([[0.5, 1.0, 2.0]])])
def test_noise_is_the_generators_and_does_not_change_gradients(sigma):
    key = fast_key(1)
    draw = rough_normal(key, (X.size,)).reshape(X.shape)
    np.testing.assert_allclose(jax.jit(with_noise)(X, sigma, key), X + sigma * draw, rtol=1e-5, atol=1e-6)
    by_x, by_sigma = jax.grad(lambda x, sigma: with_noise(x, sigma, key).sum(), argnums=(0, 1))(X, sigma)
    np.testing.assert_array_equal(by_x, 1)
    exact = draw.sum() if sigma.ndim == 0 else draw.sum(0, keepdims=True)
    np.testing.assert_allclose(by_sigma, exact, rtol=1e-5)


def test_chips_draw_apart():
    keys = jax.random.split(fast_key(2), 4)
    together = jax.vmap(lambda key: with_noise(X, jnp.float32(1.0), key))(keys)
    for one, key in zip(together, keys, strict=True):
        np.testing.assert_allclose(one, with_noise(X, jnp.float32(1.0), key), rtol=1e-6)
    assert np.unique(np.asarray(together)).size == together.size


def test_kept_is_the_identity():
    def twice(x):
        return kept(2 * x, number=jnp.float32(1.0))

    np.testing.assert_array_equal(jax.jit(twice)(X), 2 * X)
    check_grads(twice, (X,), order=2, modes=("fwd", "rev"))
    assert np.isnan(kept(X, number=jnp.float32(jnp.nan))).all()
