"""Patches times a flattened kernel are XLA's convolution, in one, two and three dimensions."""

import jax
import numpy as np
import pytest
from jax import lax

from imcjax.mapping import patches


CASES = [
    # space, window, strides, padding, dilation
    ((9,), (3,), (2,), ((1, 0),), (1,)),
    ((6, 7), (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((6, 7), (3, 2), (2, 3), ((1, 1), (0, 2)), (1, 1)),
    ((8, 9), (2, 3), (1, 2), ((2, 1), (0, 1)), (3, 2)),
    ((4, 3, 5), (2, 1, 3), (1, 1, 2), ((0, 1), (0, 0), (1, 1)), (1, 1, 2)),
    ((4, 4), (4, 4), (4, 4), ((0, 0), (0, 0)), (1, 1)),
]


@pytest.mark.parametrize("space, window, strides, padding, dilation", CASES)
def test_product_with_the_kernel_is_the_convolution(space, window, strides, padding, dilation):
    rng = np.random.default_rng(1)
    x = rng.integers(-4, 5, (2, *space, 3)).astype(np.float32)
    kernel = rng.integers(-4, 5, (*window, 3, 4)).astype(np.float32)
    letters = "DHW"[-len(space) :]
    expected = lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )
    found = jax.jit(lambda x: patches(x, window, strides, padding, dilation))(x)
    assert found.shape == (*expected.shape[:-1], kernel[..., 0].size)
    np.testing.assert_array_equal(found @ kernel.reshape(-1, 4), expected)


def test_a_patch_is_the_window_with_its_channels_last():
    x = np.arange(2 * 4 * 5 * 3.0).reshape(2, 4, 5, 3)
    found = patches(x, (2, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    np.testing.assert_array_equal(found[1, 2, 1], x[1, 2:4, 1:4].ravel())
