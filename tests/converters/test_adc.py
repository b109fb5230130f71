"""The ADC against NumPy: its levels are those of a sign-magnitude converter, and its full scale converts whole sums exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Adc, full_scale


CONVERT = jax.jit(Adc(bits=24).convert)


def uniform_levels(v, low, high, levels):
    """The Q() of the reference README: `levels` equally spaced values from `low` to `high`, the nearest to each v."""
    return low + np.rint((np.clip(v, low, high) - low) * (levels - 1) / (high - low)) * (high - low) / (levels - 1)


@pytest.mark.parametrize("bits", [2, 3, 6, 8, 12])
@pytest.mark.parametrize("limit", [6.0, 1.0, 3.7e-5])
def test_levels_are_those_of_a_sign_magnitude_converter(bits, limit):
    v = np.random.default_rng(bits).uniform(-1.3 * limit, 1.3 * limit, 3001)
    v[0] = 0.0
    found = np.asarray(CONVERT(v.astype(np.float32), bits, limit), float)
    lsb = 2 * limit / (2**bits - 2)
    far_from_a_tie = np.abs(np.abs(v / lsb) % 1 - 0.5) > 1e-3
    expected = uniform_levels(v, -limit, limit, 2**bits - 1)
    np.testing.assert_allclose(found[far_from_a_tie], expected[far_from_a_tie], atol=1e-5 * limit)
    assert found[0] == 0
    assert len(np.unique(np.round(found / lsb))) == min(2**bits - 1, len(np.unique(expected)))


def test_an_8_bit_adc_over_6_has_255_levels():
    # as in crosssim_01 of the reference README
    levels = np.unique(CONVERT(np.linspace(-7, 7, 20_001, dtype=np.float32), 8, 6.0))
    assert len(levels) == 255
    np.testing.assert_allclose(np.diff(levels), np.full(254, 12 / 254), rtol=1e-4)


def test_range_broadcasts_over_columns():
    v = np.array([[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]], np.float32)
    found = CONVERT(v, 3, np.array([3.0, 6.0, 1.5], np.float32))  # LSB 1, 2 and 0.5
    np.testing.assert_array_equal(found, [[1.0, 0.0, 1.0], [3.0, 6.0, 1.5]])


def test_gradient_passes_inside_and_goes_to_the_range_where_it_clips():
    v = jnp.array([-9.0, -1.0, 0.3, 0.99, 9.0])
    to_v, to_range = jax.vmap(jax.grad(lambda v, r: Adc().convert(v, 4.0, r), (0, 1)), (0, None))(v, 1.0)
    np.testing.assert_array_equal(to_v, [0, 1, 1, 1, 0])
    value = np.asarray(CONVERT(v, 4, 1.0))
    # inside: (value - v) / range; outside: the sign
    np.testing.assert_allclose(to_range, [-1, 0, value[2] - 0.3, value[3] - 0.99, 1], atol=1e-6)


@pytest.mark.parametrize("largest", [1, 3, 7, 9, 64 * 9, 128 * 3 * 15, 1023])
@pytest.mark.parametrize("bits", [2, 4, 8, 11, 16])
def test_full_scale_spans_the_largest_sum_by_a_power_of_two(bits, largest):
    top = 2 ** (bits - 1) - 1
    limit = float(full_scale(bits, float(largest)))
    exponent = np.log2(limit / top)
    assert exponent == pytest.approx(round(exponent), abs=1e-5)
    assert round(exponent) >= 0
    assert limit >= largest * (1 - 1e-6)
    if round(exponent) > 0:  # half the LSB would not do
        assert limit / 2 < largest * (1 - 1e-6)


def test_full_scale_with_enough_bits_converts_every_whole_sum_exactly():
    sums = np.arange(-576, 577)
    for bits, exact in ((11, True), (10, False)):  # 2^10 - 1 >= 576 > 2^9 - 1
        found = CONVERT(sums.astype(np.float32), bits, full_scale(bits, 576.0))
        assert np.array_equal(np.asarray(found), sums) == exact


def test_full_scale_hardly_moves_with_a_fraction_of_a_bit():
    # As a range spans the same sum at every width, its smooth stand-in has no slope where a coarser LSB makes up for bits.
    assert jax.grad(lambda b: full_scale(b, 5760.0))(6.0) == pytest.approx(0, abs=1e-2)
