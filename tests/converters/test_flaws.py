"""Data-sheet flaws: sizes of what is drawn, and what each does to the codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Adc, Flaws, Ramp, Uniform
from imcjax.fast_random import fast_key


def test_sizes_of_what_is_drawn():
    flaws = Flaws(gain_sigma=0.03, offset_sigma=0.02, inl=2.0, dnl_sigma=0.2)
    state = jax.jit(lambda key: flaws.draw((20_000,), 32, key, jnp.float32))(fast_key(0))
    for leaf, sigma in ((state.gain, 0.03), (state.offset, 0.02)):
        assert leaf.mean() == pytest.approx(0, abs=4 * sigma / np.sqrt(20_000))
        assert leaf.std() == pytest.approx(sigma, rel=0.03)
    assert set(np.unique(state.bow)) == {-1, 1}
    assert state.bow.mean() == pytest.approx(0, abs=4 / np.sqrt(20_000))
    # Thresholds 1 to 31; the outermost stay, so the 30 widths between sum to 30 steps: a random walk tied down at both ends.
    moved = np.asarray(state.thresholds, float)
    np.testing.assert_allclose(moved[:, [0, 1, 31]], 0, atol=1e-5)
    widths = np.diff(moved[:, 1:], axis=1)
    np.testing.assert_allclose(widths.mean(0), 0, atol=4 * 0.2 / np.sqrt(20_000))
    np.testing.assert_allclose(widths.std(0), 0.2 * np.sqrt(1 - 1 / 30), rtol=0.03)
    middle = np.arange(1, 31)[14]
    np.testing.assert_allclose(moved[:, 1 + middle].std(), 0.2 * np.sqrt(middle * (30 - middle) / 30), rtol=0.04)


@pytest.mark.parametrize("kind, levels", [(Adc, 31), (Uniform, 32)])
def test_codes_change_at_the_displaced_thresholds(kind, levels):
    circuit = kind(bits=5, flaws=Flaws(dnl_sigma=0.4))
    with jax.enable_x64(True):
        state = circuit.draw((3, 1), fast_key(1), jnp.float64)
        x = np.linspace(-1.1, 1.1, 20_001)
        found = np.asarray(jax.jit(lambda x: circuit.convert(x, 5.0, 1.0, state))(jnp.asarray(x)))
        step = 2 / (levels - 1)
        for row, moved in zip(found, np.asarray(state.thresholds)[:, 0], strict=True):
            thresholds = -1 + (np.arange(1, levels) - 0.5 + moved[1:]) * step
            codes = np.searchsorted(thresholds, x)
            np.testing.assert_allclose(row, -1 + codes * step, atol=1e-12)
    assert np.abs(state.thresholds).max() > 0.5


def test_a_code_can_be_missing_and_none_is_out_of_order():
    circuit = Uniform(bits=4, flaws=Flaws(dnl_sigma=2.0))
    state = circuit.draw((50, 1), fast_key(2))
    moved = np.asarray(state.thresholds)[:, 0, 1:]
    assert (np.diff(moved) >= -1 - 1e-5).all()
    assert np.isclose(np.diff(moved), -1, atol=1e-5).mean() > 0.2
    found = jax.jit(lambda x: circuit.convert(x, 4.0, 1.0, state))(jnp.linspace(-1, 1, 2001))
    assert (np.diff(found, axis=1) >= 0).all()


def test_gain_offset_and_bow_at_the_input():
    circuit = Adc(bits=12, flaws=Flaws(gain_sigma=1.0, offset_sigma=1.0, inl=30.0))
    state = circuit.draw((), None).replace(gain=jnp.asarray(0.03), offset=jnp.asarray(-0.02), bow=jnp.asarray(-1.0))
    x = np.linspace(-0.9, 0.9, 301)
    expected = 1.03 * x - 0.02 - 30 / 2047 * (1 - x**2)
    np.testing.assert_allclose(circuit.convert(jnp.asarray(x, jnp.float32), 12.0, 1.0, state), expected, atol=0.51 / 2047)
    unsigned = Uniform(bits=12, polarity="unsigned", flaws=circuit.flaws)
    x = np.linspace(0.1, 0.9, 301)
    expected = 1.03 * x - 0.02 - 30 / 4095 * 4 * x * (1 - x)
    np.testing.assert_allclose(unsigned.convert(jnp.asarray(x, jnp.float32), 12.0, 1.0, state), expected, atol=0.51 / 4095)


def test_a_step_is_that_of_the_widest_resolution():
    # The circuit bends as it bends, however many of its bits are used.
    circuit = Adc(bits=10, flaws=Flaws(inl=40.0))
    state = circuit.draw((), None).replace(bow=jnp.asarray(1.0))
    assert circuit.convert(jnp.float32(0.0), 10.0, 1.0, state) == pytest.approx(40 / 511, abs=1 / 511)
    assert circuit.convert(jnp.float32(0.0), 6.0, 1.0, state) == pytest.approx(40 / 511, abs=1 / 31)


def test_thermal_noise_has_its_size():
    circuit = Adc(bits=12, flaws=Flaws(noise_sigma=0.05))
    found = jax.jit(lambda key: circuit.convert(jnp.full(20_000, 0.2), 12.0, 2.0, None, key))(fast_key(0))
    assert found.mean() == pytest.approx(0.2, abs=4 * 0.1 / np.sqrt(20_000))
    assert found.std() == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize("circuit", [Adc(bits=4), Uniform(bits=4)])
def test_stochastic_rounding_is_right_on_average(circuit):
    circuit = circuit.replace(flaws=Flaws(rounding="stochastic"))
    x = jnp.asarray([-1.0, -0.43, 0.1, 0.555, 1.0, 1.2])
    run = jax.jit(lambda x, key: circuit.convert(x, 4.0, 1.0, None, key))
    found = np.asarray(run(jnp.broadcast_to(x, (20_000, 6)), fast_key(0)))
    step = 2 / 14
    np.testing.assert_allclose(found.mean(0), jnp.clip(x, -1, 1), atol=4 * 0.5 * step / np.sqrt(20_000))
    assert all(len(np.unique(column)) <= 2 for column in found.T)
    assert len(np.unique(found[:, 2])) == 2
    np.testing.assert_array_equal(circuit.convert(x, 4.0, 1.0), circuit.replace(flaws=None).convert(x, 4.0, 1.0))  # no key


def test_a_common_ramp_is_one_for_all_columns_of_an_array():
    circuit = Ramp(bits=5, capacitor_sigma=0.1, slope_sigma=0.1, bow_sigma=0.1, offset_sigma=0.1)
    state = circuit.draw((3, 4), fast_key(0))
    for leaf in (state.capacitors, state.slope, state.bow):
        assert all(np.unique(row, axis=0).shape[0] == 1 for row in np.asarray(leaf))
        assert len(np.unique(np.asarray(leaf)[:, 0], axis=0)) == 3
    assert len(np.unique(state.offset)) == 12
    own = circuit.replace(ramp="own").draw((3, 4), fast_key(0))
    assert len(np.unique(own.slope)) == 12


def test_a_ramp_stops_at_its_first_passage():
    # Slope and bow by hand: the counter stops where ramp (1 + slope) + bow (1 - ramp^2) passes the input.
    circuit = Ramp(bits=6)
    state = circuit.draw((), None).replace(slope=jnp.asarray(0.05), bow=jnp.asarray(-0.1), offset=jnp.asarray(0.02))
    level = -1 + 2 * np.arange(1, 64) / 64
    bent = np.maximum.accumulate(1.05 * level - 0.1 * (1 - level**2))
    x = np.random.default_rng(0).uniform(-1, 1, 1000)
    codes = (x[:, None] * 63 / 64 + 0.02 > bent).sum(1)
    found = jax.jit(lambda x: circuit.convert(x, 6.0, 1.0, state))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, -1 + codes * 2 / 63, atol=1e-5)


def test_a_mismatched_capacitor_makes_a_ramp_fall_but_no_code():
    circuit = Ramp(bits=4)
    capacitors = circuit.draw((), None).capacitors.at[2].set(2.0)  # 4 -> 2: the ramp falls from 3 to 2 units
    x = jnp.linspace(-1, 1, 1001)
    found = circuit.convert(x, 4.0, 1.0, circuit.draw((), None).replace(capacitors=capacitors))
    assert (np.diff(found) >= 0).all()
    assert len(np.unique(found)) < 16
