"""Gradients to converter ranges through the whole path are those of LSQ (Esser et al., ICLR 2020, eq. 3).

Of a converter with the range R, d Q(v) / d R is the rounding error (Q(v) - v) / R inside the range, and the sign of what clips
outside of it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, mvm
from imcjax.converters import Adc, Dac, Sar, Uniform, UniformDac
from imcjax.devices import Generic
from imcjax.mapping import Differential, Offset


RNG = np.random.default_rng(0)
X, W, C = RNG.normal(size=(7, 12)), RNG.normal(size=(12, 5)), RNG.normal(size=(7, 5))
UNIT = 0.2 * 2.0**-14  # ampere: the current of input one and weight one of a continuous weight
CELL = Generic(g_min=0.0, g_max=2.0**-14)


@functools.partial(jax.jit, static_argnames=("input_signed",))
def value_and_slopes(x, hardware, input_range, adc_range, input_signed=True):
    def loss(input_range, adc_range):
        settings = Settings(weight_range=4.0, input_range=input_range, adc_range=adc_range, input_signed=input_signed)
        y = mvm(x, W, hardware, settings)
        return jnp.sum(C * y), y

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(input_range, adc_range)


def lsq(values, converted, limit, low):
    """d converted / d limit."""
    inside = (values >= low) & (values <= limit)
    return np.where(inside, (converted - values) / limit, np.sign(values) * ((values > limit) | (low < 0)))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "dac",
    [Dac(input_bits=4, bits=3), Dac(input_bits=5, bits=1), UniformDac(input_bits=4)],
    ids=["one phase", "serial", "uniform"],
)
def test_input_ranges(dac, signed):
    hardware = Hardware(dac=dac, device=CELL)
    limit, top = 1.1, 2 ** (dac.input_bits - (signed and dac.kind != "uniform")) - 1
    low = -limit if signed else 0.0
    step = (limit - low) / top if dac.kind == "uniform" else limit / top
    start = low if dac.kind == "uniform" else 0.0
    sent = start + np.round((np.clip(X, low, limit) - start) / step) * step
    with jax.enable_x64(True):
        (_, y), (slope, _) = value_and_slopes(X, hardware, limit, 1.0, input_signed=signed)
        np.testing.assert_allclose(y, sent @ W, rtol=1e-9, atol=1e-9)
        expected = np.sum(C * (lsq(X, sent, limit, low) @ W))
        assert float(slope) == pytest.approx(expected, rel=1e-8)
    assert 0.1 < (np.abs(X) > limit).mean() < 0.5  # both cases


@pytest.mark.parametrize("circuit", [Adc(bits=5), Uniform(bits=5), Sar(bits=5)], ids=lambda c: c.kind)
@pytest.mark.parametrize("per", ["tensor", "column"])
def test_adc_ranges_of_signed_columns(circuit, per):
    hardware = Hardware(encoding=Differential(), dac=Dac(), device=CELL, adc=circuit)
    scale = 4.0 * np.abs(X).max()  # of the outputs, in units of UNIT
    limit = np.array([2.0, 2.5, 3.0, 3.5, 4.0]) if per == "column" else np.array(3.0)
    with jax.enable_x64(True):
        ranges = jnp.asarray(limit / scale * UNIT)
        (_, y), (_, slope) = value_and_slopes(X, hardware, np.abs(X).max(), ranges)
        expected = C * lsq(X @ W, np.asarray(y), limit, -limit)
        expected = expected.sum(0) if per == "column" else expected.sum()
        np.testing.assert_allclose(slope / scale * UNIT, expected, rtol=1e-6)
    assert 0.1 < (np.abs(X @ W) > limit).mean() < 0.9  # both cases


def test_adc_ranges_of_columns_that_are_never_negative():
    """They are converted around the middle of the range; the slope is the same."""
    hardware = Hardware(encoding=Offset(), dac=Dac(), device=CELL, adc=Adc(bits=6))
    x = np.abs(X)
    scale = 8.0 * x.max()  # raised weights are 0 to 8 beside a range of 4
    sums = x @ (W + 4)
    limit = np.quantile(sums, 0.7)
    with jax.enable_x64(True):
        (_, y), (_, slope) = value_and_slopes(x, hardware, x.max(), limit / scale * UNIT, input_signed=False)
        converted = np.asarray(y) + 4 * x.sum(1, keepdims=True)
        expected = np.sum(C * np.where(sums <= limit, (converted - sums) / limit, 1))
        assert float(slope) / scale * UNIT == pytest.approx(expected, rel=1e-6)


def test_a_range_that_follows_the_inputs_sends_its_gradient_to_the_largest_of_them():
    hardware = Hardware(dac=Dac(input_bits=4, bits=3), device=CELL)

    def loss(x, limit):
        return jnp.sum(C * mvm(x, W, hardware, Settings(weight_range=4.0, input_range=limit)))

    with jax.enable_x64(True):
        x = jnp.asarray(X)
        dynamic = jax.jit(jax.grad(lambda x: loss(x, None)))(x)
        to_x, to_limit = jax.jit(jax.grad(loss, (0, 1)))(x, jnp.max(jnp.abs(x)))
    largest = np.unravel_index(np.abs(X).argmax(), X.shape)
    expected = np.array(to_x)
    expected[largest] += np.sign(X[largest]) * float(to_limit)
    np.testing.assert_allclose(dynamic, expected, rtol=1e-9)
