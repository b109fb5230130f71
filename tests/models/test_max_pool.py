import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from imcjax.models.pool import max_pool_2x2


def reference(x):
    return nnx.max_pool(x, (2, 2), (2, 2))


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (2, 7, 9, 3)])
@pytest.mark.parametrize("levels", [None, 2])
def test_value_and_gradient_of_nnx_max_pool(shape, levels):
    """Equal pixels, the rule after a coarse quantizer, pass the gradient to the same one."""
    x = jax.random.normal(jax.random.key(0), shape)
    if levels is not None:
        x = jnp.round(x * levels) / levels
    weight = jax.random.normal(jax.random.key(1), (shape[0], shape[1] // 2, shape[2] // 2, shape[3]))
    np.testing.assert_array_equal(max_pool_2x2(x), reference(x))
    got, expected = (jax.jit(jax.grad(lambda x, f=f: jnp.sum(f(x) * weight)))(x) for f in (max_pool_2x2, reference))
    np.testing.assert_array_equal(got, expected)


def test_transforms():
    random = np.random.default_rng(0)
    x, tangent = jnp.asarray(random.standard_normal((2, 2, 3, 4, 6, 5), np.float32))
    np.testing.assert_array_equal(max_pool_2x2(x), jax.vmap(reference)(x))
    forward = jax.jit(lambda x, tangent: jax.jvp(max_pool_2x2, (x,), (tangent,))[1])(x, tangent)
    weight = jnp.asarray(random.standard_normal(forward.shape, np.float32))
    backward = jax.jit(lambda x, weight: jax.vjp(max_pool_2x2, x)[1](weight)[0])(x, weight)
    np.testing.assert_allclose(jnp.sum(forward * weight), jnp.sum(tangent * backward), rtol=1e-4)


@pytest.mark.parametrize("position", range(4))
def test_nan_stays(position):
    x = jnp.arange(4.0).at[position].set(jnp.nan).reshape(1, 2, 2, 1)
    assert jnp.isnan(max_pool_2x2(x)).all()
