"""Values that are stored: the numbers and the derivatives of what is computed, in every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

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


def test_kept_is_the_identity():
    def twice(x):
        return kept(2 * x, number=jnp.float32(1.0))

    np.testing.assert_array_equal(jax.jit(twice)(X), 2 * X)
    check_grads(twice, (X,), order=2, modes=("fwd", "rev"))
    assert np.isnan(kept(X, number=jnp.float32(jnp.nan))).all()
