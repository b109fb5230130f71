"""The uniform quantizer against NumPy's rounding, and its gradients against their formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imcjax.quantize import largest_code, quantize


CODES = jax.jit(quantize, static_argnames="signed")


@functools.partial(jax.jit, static_argnames="signed")
def gradients(x, value_range, bits, *, signed=True):
    """d value / d (x, range, bits) of each entry of x."""

    def value(x, value_range, bits):
        code, step = quantize(x, value_range, bits, signed=signed)
        return code * step

    return jax.vmap(jax.grad(value, (0, 1, 2)), (0, None, None))(x, value_range, bits)


def numpy_codes(x, value_range, bits, signed):
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    scaled = np.asarray(x, np.float64) * top / value_range
    return np.clip(np.round(scaled), -top if signed else 0, top)


@pytest.mark.parametrize("signed", [True, False])
@given(
    x=st.lists(st.floats(-4, 4, width=32, allow_subnormal=False), min_size=16, max_size=16),
    value_range=st.floats(0.25, 8, width=32, allow_subnormal=False),
    bits=st.integers(2, 12),
)
def test_codes_are_numpys(signed, x, value_range, bits):
    x = np.asarray(x, np.float32)
    codes, step = CODES(x, value_range, bits, signed=signed)
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    assert step == np.float32(value_range) / np.float32(top)
    exact = np.clip(x.astype(float), -value_range if signed else 0, value_range) * top / value_range
    far_from_a_tie = np.abs(exact - np.floor(exact) - 0.5) > 1e-3
    expected = numpy_codes(x, value_range, bits, signed)
    np.testing.assert_array_equal(np.asarray(codes)[far_from_a_tie], expected[far_from_a_tie])
    assert np.abs(codes - expected).max() <= 1


def test_halves_round_to_even():
    # A range of as many units as there are codes makes one unit one code, exactly.
    halves = np.arange(-7.5, 8, 1, dtype=np.float32)
    codes, step = CODES(halves, 127.0, 8)
    assert step == 1
    np.testing.assert_array_equal(codes, [-8, -6, -6, -4, -4, -2, -2, 0, 0, 2, 2, 4, 4, 6, 6, 8])
    np.testing.assert_array_equal(CODES(halves, 255.0, 8, signed=False)[0], np.maximum(codes, 0))


def test_signed_range_is_narrow_and_unsigned_starts_at_zero():
    ends = np.array([-100.0, 100.0], np.float32)
    np.testing.assert_array_equal(CODES(ends, 1.0, 4)[0], [-7, 7])
    np.testing.assert_array_equal(CODES(ends, 1.0, 4, signed=False)[0], [0, 15])
    np.testing.assert_array_equal(largest_code(jnp.arange(1, 6), signed=True), [0, 1, 3, 7, 15])
    np.testing.assert_array_equal(largest_code(jnp.arange(1, 6), signed=False), [1, 3, 7, 15, 31])


def test_range_broadcasts():
    x = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], np.float32)
    codes, step = CODES(x, np.array([[7.0], [3.5]], np.float32), 4)
    np.testing.assert_array_equal(codes, [[1, 2, 3], [2, 4, 6]])
    np.testing.assert_array_equal(step, [[1.0], [0.5]])


@pytest.mark.parametrize("signed", [True, False])
def test_range_of_zero_gives_zeros_and_finite_gradients(signed):
    x = np.array([-1.0, 0.0, 1e-20, 5.0], np.float32)
    codes, step = CODES(x, 0.0, 6, signed=signed)
    np.testing.assert_array_equal(codes, np.zeros(4))
    assert step == 0
    for found in gradients(x, 0.0, 6.0, signed=signed):
        np.testing.assert_array_equal(found, np.zeros(4))


def test_range_too_small_to_divide_by_gives_no_nan():
    x = np.array([0.0, 1e-37, 1.0], np.float32)
    for found in (*CODES(x, 1e-37, 16), *gradients(x, 1e-37, 16.0)):
        assert np.isfinite(found).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_answers_scale_with_the_input(scale):
    x = np.linspace(-3, 3, 41, dtype=np.float32)
    small, step = CODES(x, 2.5, 8)
    scaled, scaled_step = CODES(x * np.float32(scale), 2.5 * scale, 8)
    np.testing.assert_array_equal(scaled, small)
    assert scaled_step == pytest.approx(scale * float(step))


def test_real_bits_compute_as_whole_ones():
    x = np.linspace(-2, 2, 33, dtype=np.float32)
    for real, whole in ((3.6, 4), (4.4, 4), (4.5, 4), (5.5, 6), (5.49, 5)):
        for found, expected in zip(CODES(x, 1.5, real), CODES(x, 1.5, whole), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("signed, bits", [(True, 4.0), (True, 3.3), (False, 4.0), (False, 2.7)])
def test_gradients_are_their_formulas(signed, bits):
    limit = 1.5
    x = np.array([-9.0, -1.6, -1.5, -0.77, -0.1, 0.0, 0.11, 0.9, 1.49, 1.5, 1.51, 8.0], np.float32)
    top = 2 ** (round(bits) - 1) - 1 if signed else 2 ** round(bits) - 1
    code = numpy_codes(x, limit, round(bits), signed)
    above, below = x > limit, x < (-limit if signed else 0)
    inside = ~above & ~below
    to_x, to_range, to_bits = gradients(x, limit, bits, signed=signed)
    np.testing.assert_array_equal(to_x, inside.astype(float))  # straight through inside, ends included; blocked outside
    # LSQ, eq. 3: d value / d step = code - x / step inside, the end's code outside; step = range / top
    step = limit / top
    lsq = np.where(inside, code - x / step, np.where(above, top, -top if signed else 0))
    np.testing.assert_allclose(to_range, lsq / top, atol=2e-6)
    # d (code step) / d top = (x - value) / top inside, where the range stays; nothing outside. d top / d bits = ln 2 (top + 1).
    of_top = np.where(inside, (x - code * step) / top, 0)
    np.testing.assert_allclose(to_bits, of_top * np.log(2) * (top + 1), atol=2e-6)
    assert np.abs(to_bits).max() > 1e-3


def test_an_entry_at_the_very_end_of_the_range_is_inside():
    ends = np.random.default_rng(0).uniform(0.1, 10, 2000).astype(np.float32)
    slope = jax.jit(jax.vmap(jax.grad(lambda x, r: quantize(x, r, 8.0)[0] * r / 127)))
    np.testing.assert_allclose(slope(ends, ends), np.ones(2000), rtol=1e-5)
    np.testing.assert_array_equal(slope(np.nextafter(ends, np.float32(11)), ends), np.zeros(2000))
