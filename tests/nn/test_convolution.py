"""The quick convolution is `lax`'s, in value and in both derivatives."""

import jax
import numpy as np
import pytest
from jax import lax

from imcjax.nn.convolution import convolve, convolve_rows

from .example import data


@pytest.mark.parametrize(
    "channels, strides, padding, dilation",
    [(1, (1, 1), "VALID", (1, 1)), (3, (2, 1), ((1, 0), (2, 1)), (1, 2)), (6, (1, 1), "SAME", (1, 1))],
)
def test_it_is_the_convolution(channels, strides, padding, dilation):
    x, kernel, g = data(2, 8, 7, channels), data(3, 2, channels, 5, seed=2), data(2, 8, 7, channels, seed=3)
    geometry = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "rhs_dilation": dilation}

    def results(operator):
        def f(x, kernel):
            return operator(x, kernel, strides, padding, **geometry)

        @jax.jit
        def all_of(x, kernel, g):
            y, forward = jax.jvp(f, (x, kernel), (g, kernel))
            only = jax.grad(lambda kernel: (f(x, kernel) ** 2).sum())(kernel)
            return y, forward, jax.vjp(f, x, kernel)[1](y), only

        return all_of(x, kernel, g)

    for found, wanted in zip(
        jax.tree.leaves(results(convolve)), jax.tree.leaves(results(lax.conv_general_dilated)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("padding, strides, dilation", [("SAME", (1, 2), (1, 1)), (((2, 0), (1, 1)), (2, 1), (2, 1))])
def test_parts_of_the_kernel_sum_to_the_convolution(padding, strides, dilation):
    x, kernel = data(2, 9, 8, 3), data(3, 2, 3, 5, seed=2)
    geometry = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "rhs_dilation": dilation}
    w = kernel.reshape(-1, 5)
    for rows in (4, 6, 7, 18):
        parts = [
            convolve_rows(x, w[first : first + rows], first, (3, 2), strides, padding, **geometry)
            for first in range(0, 18, rows)
        ]
        wanted = lax.conv_general_dilated(x, kernel, strides, padding, **geometry)
        np.testing.assert_allclose(sum(parts), wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
