"""Ranges found from samples: the least squared error among the candidates, and the layer-wide search built on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imcjax
from imcjax import Hardware, Settings, UserError, devices, pipeline
from imcjax.converters import Adc, Dac, best_range
from imcjax.converters.calibration import CANDIDATES
from imcjax.mapping import Differential
from imcjax.ranges import RULES, find_ranges
from imcjax.settings import complete


def squared_error(values, limit, bits, signed, weights=None):
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    clipped = np.clip(values, -limit if signed else 0, limit)
    return np.average((np.round(clipped * top / limit) * limit / top - values) ** 2, weights=weights)


VALUES = np.random.default_rng(3).standard_t(3, 4000).astype(np.float32)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_candidate_is_better(bits, signed):
    values = (VALUES if signed else np.abs(VALUES)).astype(float)
    found = float(best_range(jnp.asarray(values, jnp.float32), bits, signed=signed))
    candidates = np.geomspace(1 / 16, 1, CANDIDATES) * np.abs(values).max()
    assert np.abs(candidates / found - 1).min() < 1e-5  # it is one of them
    errors = [squared_error(values, limit, bits, signed) for limit in candidates]
    assert squared_error(values, found, bits, signed) <= min(errors) * (1 + 1e-4)
    assert min(errors) < 0.5 * max(errors)


def test_few_bits_clip_the_tail_and_many_keep_it():
    limits = [float(best_range(VALUES, bits)) for bits in (2, 4, 6, 14)]
    assert limits == sorted(limits)
    assert limits[0] < 0.5 * np.abs(VALUES).max()
    assert limits[-1] == pytest.approx(np.abs(VALUES).max(), rel=1e-6)


def test_weights_decide_whose_error_counts():
    values = jnp.concatenate([jnp.linspace(-1, 1, 101), jnp.full(101, 10.0)])
    small, large = (jnp.concatenate([jnp.full(101, a), jnp.full(101, b)]) for a, b in ((1.0, 1e-9), (1e-9, 1.0)))
    assert best_range(values, 4, weights=small) < 1.5
    assert best_range(values, 4, weights=large) == pytest.approx(10)


def test_nothing_but_zeros_takes_the_fallback_and_no_gradient_comes_out():
    assert best_range(jnp.zeros(5), 4, fallback=0.25) == 0.25
    np.testing.assert_array_equal(jax.grad(lambda v: best_range(v, 4))(jnp.arange(5.0)), np.zeros(5))


HARDWARE = Hardware(
    rows=8,
    cols=16,
    encoding=Differential(weight_bits=5, cell_bits=2),
    dac=Dac(input_bits=4, bits=2),
    device=devices.Generic(g_min=1e-6, g_max=10e-6),
    adc=Adc(bits=5),
)
RNG = np.random.default_rng(4)
W, X = RNG.normal(size=(1, 20, 6)).astype(np.float32), RNG.normal(size=(64, 1, 20)).astype(np.float32)


def error_with(adc_range):
    settings = Settings(weight_range=jnp.abs(W).max(), input_range=jnp.abs(X).max(), adc_range=adc_range)
    found = jax.jit(lambda w, x: pipeline.mvm(x, w, HARDWARE, settings))(W[0], X[:, 0])
    return float(jnp.mean((found - X[:, 0] @ W[0]) ** 2))


def test_ranges_of_a_layer_beat_full_scale():
    ranges = jax.jit(lambda w, x: find_ranges(w, x, HARDWARE, Settings()))(W, X)
    assert ranges["weight_range"] == pytest.approx(float(best_range(jnp.asarray(W.ravel()), 5)))
    assert ranges["input_range"] == pytest.approx(float(best_range(jnp.asarray(X.ravel()), 4)))
    assert ranges["adc_range"].shape == (2, 1)  # one a slice
    assert error_with(ranges["adc_range"]) < 0.5 * error_with(None)


def test_what_is_not_quantized_has_its_full_range():
    continuous = Hardware(rows=8, device=devices.Generic(g_min=1e-6))
    ranges = find_ranges(jnp.asarray(W), jnp.asarray(X), continuous, Settings())
    assert ranges["weight_range"] == np.abs(W).max()
    assert ranges["input_range"] == np.abs(X).max()
    assert ranges["adc_range"] is None


def test_settings_are_filled_in_from_the_hardware():
    filled = complete(None, HARDWARE)
    assert (filled.weight_bits, filled.input_bits, filled.adc_bits) == (5.0, 4.0, 5.0)
    assert (filled.slices, filled.phases) == (2, 2)
    filled = complete(Settings(weight_bits=3, slices=1), HARDWARE)
    assert (filled.weight_bits, filled.slices) == (3.0, 1)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"weight_bits": 6}, r"settings.weight_bits is 6 bits; give finite numbers in \[2, 5\] bits"),
        ({"weight_bits": 1}, r"settings.weight_bits is 1 bits; give .*\[2, 5\]"),
        ({"input_bits": 1}, r"settings.input_bits is 1 bits; give .*\[2, 4\]"),
        ({"input_bits": 0.5, "input_signed": False}, r"settings.input_bits is 0.5 bits; give .*\[1, 4\]"),
        ({"adc_bits": float("nan")}, r"settings.adc_bits is nan bits"),
        ({"weight_range": -1.0}, r"settings.weight_range is -1; give"),
        ({"adc_range": np.array([1e-6, -2e-6])}, r"settings.adc_range is -2e-06 A; give"),
        ({"input_range": float("inf")}, r"settings.input_range is inf; give"),
        ({"slices": 0}, r"settings.slices is 0; give whole numbers in \[1, 2\]"),
        ({"phases": 3}, r"settings.phases is 3; give whole numbers in \[1, 2\]"),
        ({"slices": 1}, r"settings.slices is 1, but 5.0 weight_bits take 2; give at least 2"),
        ({"phases": 1, "input_signed": False}, r"settings.phases is 1, but 4.0 input_bits take 2"),
    ],
)
def test_settings_out_of_range_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        complete(Settings(**given), HARDWARE)


@pytest.mark.parametrize(
    "name, stage", [("weight_bits", "encoding.weight_bits"), ("input_bits", "dac.input_bits"), ("adc_bits", "adc.bits")]
)
def test_a_width_for_an_absent_stage_is_refused(name, stage):
    with pytest.raises(UserError, match=rf"settings.{name} is 4.0, but hardware.{stage} is absent"):
        complete(Settings(**{name: 4}), Hardware.ideal())


product = jax.jit(imcjax.mvm)
ranges_of = jax.jit(find_ranges, static_argnames=("rule", "per"))


@pytest.mark.parametrize("per, shape", [("tensor", (1, 1)), ("slice", (2, 1)), ("column", (2, 7)), ("tile", (3, 1, 1, 2, 1))])
def test_what_has_an_adc_range_of_its_own(per, shape):
    hardware = Hardware(rows=8, cols=8, encoding=Differential(weight_bits=5), dac=Dac(input_bits=4, bits=2), adc=Adc(bits=5))
    rng = np.random.default_rng(0)
    w, x = jnp.asarray(rng.normal(size=(20, 7)), jnp.float32), jnp.asarray(rng.uniform(size=(30, 20)), jnp.float32)
    largest = imcjax.calibrated_settings(w, x, hardware, rule="max", per=per)
    assert largest.adc_range.shape == shape
    found = {rule: imcjax.calibrated_settings(w, x, hardware, rule=rule, per=per).adc_range for rule in ("mse", "percentile")}
    for limit in found.values():
        assert limit.shape == shape
        assert (limit <= largest.adc_range * (1 + 1e-6)).all()
    exact = x @ w
    errors = [
        jnp.std(product(x, w, hardware, largest.replace(adc_range=limit)) - exact)
        for limit in (found["mse"], largest.adc_range)
    ]
    assert errors[0] < errors[1]


def test_ranges_by_compute_snr_are_near_those_of_least_error():
    w, x = jax.random.normal(jax.random.key(0), (20, 7)), jax.random.uniform(jax.random.key(1), (30, 20))
    hardware = Hardware(rows=32, cols=8, encoding=Differential(weight_bits=3), dac=Dac(input_bits=4, bits=4), adc=Adc(bits=5))
    by_error, by_snr = (imcjax.calibrated_settings(w, x, hardware, rule=rule).adc_range for rule in ("mse", "csnr"))
    np.testing.assert_allclose(by_snr, by_error, rtol=0.3)


@pytest.mark.parametrize("rule", RULES)
def test_phases_and_slices_that_are_not_in_use_do_not_count(rule):
    hardware = Hardware(rows=8, cols=8, encoding=Differential(weight_bits=5), dac=Dac(input_bits=4, bits=1), adc=Adc(bits=4))
    used = Settings(weight_bits=3, input_bits=2)  # one slice of two, one phase of three
    found = [
        ranges_of(jnp.asarray(W), jnp.asarray(X), hardware, settings, rule=rule, per="tensor")["adc_range"]
        for settings in (used, used.replace(slices=1, phases=1))
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_an_unknown_rule_is_refused():
    with pytest.raises(UserError, match="rule is 'msee' \\(nearest: mse"):
        imcjax.calibrated_settings(jnp.eye(3), jnp.eye(3), Hardware(), rule="msee")
    with pytest.raises(UserError, match="per is 'row'"):
        imcjax.calibrated_settings(jnp.eye(3), jnp.eye(3), Hardware(), per="row")
