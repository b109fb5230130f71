"""The inverse at the joints of tiles, by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.crossbar import tiles


@pytest.mark.parametrize("n", [1, 2, 16, 32, 64, 128])
def test_inverse_is_numpys_and_keeps_float32s_digits(n):
    rng = np.random.default_rng(0)
    z = np.abs(rng.normal(size=(3, n, n))) / n
    a = (z @ np.swapaxes(z, 1, 2)).astype(np.float32)  # as at a joint: 1 + a is positive definite, its inverse below 1
    expected = np.linalg.inv(np.eye(n) + a.astype(float))
    np.testing.assert_allclose(tiles.LARGE.inverse(jnp.asarray(a)), expected, atol=1e-6)


def test_both_ways_to_invert_agree_in_float64():
    z = np.abs(np.random.default_rng(1).normal(size=(2, 2, 64, 64))) / 8
    with jax.enable_x64(True):
        a = jnp.asarray(z @ np.swapaxes(z, 2, 3))
        np.testing.assert_allclose(tiles._by_blocks(a), tiles._by_lines(a), atol=1e-13)
