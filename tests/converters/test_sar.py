"""The SAR converter: CrossSim's decisions bit by bit, its levels in distribution, and the capacitors by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Sar
from imcjax.converters.capacitors import capacitor_levels, mismatched, nominal_capacitors
from imcjax.converters.levels import successive


V_REF = 6.0
RANGE = V_REF * 255 / 256  # theirs is the reference, ours the current of the largest code


@pytest.fixture(scope="module")
def reference(reference_dir):
    with np.load(reference_dir / "crosssim_04_sar_split_mismatch.npz", allow_pickle=False) as file:
        return dict(file)


def test_decisions_are_crosssims(reference):
    with jax.enable_x64(True):
        register, _ = successive(jnp.asarray(reference["vin"]), jnp.asarray(reference["dac_levels_5"])[:, None, :], 8.0)
    assert register.shape == (5, 1001)
    np.testing.assert_array_equal(2 * V_REF * np.asarray(register) / 256 - V_REF * 255 / 256, reference["dig_out_5"])


@pytest.mark.parametrize("split, prefix", [(True, ""), (False, "nonsplit_")])
def test_levels_are_distributed_as_crosssims(reference, split, prefix):
    draws, theirs = 20_000, int(reference["n_seeds"])
    with jax.enable_x64(True):
        make = jax.jit(
            lambda key: V_REF * capacitor_levels(mismatched(jax.random.normal(key, (draws, 9)), split, 0.05), split, 100.0)
        )
        levels = np.asarray(make(jax.random.key(0)))[:, 1:]  # nothing is compared with level 0
    mean, std = reference[f"{prefix}levels_mean"][1:], reference[f"{prefix}levels_std"][1:]
    assert np.abs(levels.mean(0) - mean).max() < 4.5 * std.max() / np.sqrt(theirs)
    # The standard error of their mean, level by level; levels share capacitors, so a common factor is what can go wrong.
    assert np.median(np.abs(levels.mean(0) - mean) / (std / np.sqrt(theirs) + 1e-9)) < 2
    moving = std > 1e-3 * std.max()
    ratio = levels.std(0)[moving] / std[moving]
    assert np.abs(ratio - 1).max() < 5 / np.sqrt(2 * theirs)
    assert abs(np.median(ratio) - 1) < 2.5 / np.sqrt(2 * theirs)


def test_outputs_are_distributed_as_crosssims(reference):
    theirs, draws = int(reference["n_seeds"]), 2000
    circuit = Sar(bits=8, capacitor_sigma=0.05, gain_db=100.0)
    vin = jnp.asarray(reference["vin"], jnp.float32)

    @jax.jit
    def outputs(key):
        state = circuit.draw((draws, 1), key)
        return circuit.convert(vin, 8.0, RANGE, state)

    found = np.asarray(outputs(jax.random.key(1)), float)
    error = np.abs(found.mean(0) - reference["out_mean"])
    lsb = 2 * V_REF / 256
    spread = np.maximum(reference["out_std"], 0.1 * lsb)
    assert (error / (spread / np.sqrt(theirs))).max() < 5.5
    assert np.median(found.std(0) / spread) == pytest.approx(np.median(reference["out_std"] / spread), rel=0.1)


def test_converting_is_deciding_in_units_of_the_reference(reference):
    # Away from thresholds the whole converter does what their loop does with the same levels.
    circuit = Sar(bits=8)
    found = np.asarray(circuit.convert(jnp.asarray(reference["vin"], jnp.float32), 8.0, RANGE), float)
    nominal = np.floor((reference["vin"] / V_REF + 1) * 128 - 1e-9).clip(0, 255)
    clear = np.abs((reference["vin"] / V_REF * 128) % 1 - 0.5) < 0.499
    np.testing.assert_allclose(found[clear], (12 * nominal / 256 - 6 * 255 / 256)[clear], atol=1e-5)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_levels_of_matched_capacitors_are_equally_spaced(bits, split):
    levels = capacitor_levels(jnp.asarray(nominal_capacitors(bits, split), jnp.float32), split)
    np.testing.assert_allclose(levels, -1 + 2 * np.arange(2**bits) / 2**bits, atol=1e-6)


def test_a_binary_array_by_hand():
    # 3 bits: 1, 2, 4 and the feedback capacitor 4; code 7 is +3: capacitors 1 and 2 over the largest, 4; code 2 is -2.
    capacitors = jnp.asarray([1.1, 1.9, 4.2, 3.9])
    levels = capacitor_levels(capacitors, False)
    np.testing.assert_allclose(levels[jnp.array([4, 5, 7, 2])], [0, 1.1 / 4.2, 3.0 / 4.2, -1.9 / 4.2], rtol=1e-6)
    # Finite gain A: an amplifier with feedback factor beta settles to 1 / (1 + 1 / (A beta)).
    gain = 10 ** (40 / 20)
    beta = 3.9 / (3.9 + 3.0)
    expected = (3.0 / 4.2 + 1 / 8) / (1 + 1 / (gain * beta)) - 1 / 8
    assert capacitor_levels(capacitors, False, 40.0)[7] == pytest.approx(expected, rel=1e-5)


def test_a_split_array_by_charge_conservation():
    # 4 bits: low side 1, 2 and its terminating unit, high side 1 (bit 2), bridge 4/3. When bottom plates go from 0 to 1 V the
    # floating nodes keep their charge: C_L v_L + Cb (v_L - v_H) = switched low, C_H v_H + Cb (v_H - v_L) = switched high.
    c0, c1, c2, unit, bridge = 1.05, 1.9, 0.97, 1.1, 1.4
    levels = capacitor_levels(jnp.asarray([c0, c1, c2, unit, bridge]), True)
    low_side, high_side = c0 + c1 + unit, c2
    node = np.array([[low_side + bridge, -bridge], [-bridge, high_side + bridge]])
    for code, low, high in ((15, c0 + c1, c2), (9, c0, 0), (13, c0, c2), (10, c1, 0)):
        assert levels[code] == pytest.approx(np.linalg.solve(node, [low, high])[1], rel=1e-5)
        assert levels[16 - code] == pytest.approx(-float(levels[code]), rel=1e-6)


def test_mismatch_grows_with_the_square_root_of_the_size():
    for split in (True, False):
        drawn = np.asarray(mismatched(jax.random.normal(jax.random.key(0), (20_000, 8)), split, 0.03), float)
        nominal = nominal_capacitors(7, split)
        np.testing.assert_allclose(drawn.mean(0), nominal, rtol=5e-3)
        np.testing.assert_allclose(drawn.std(0), 0.03 * np.sqrt(nominal), rtol=0.03)


def test_comparator_noise_spreads_the_codes_by_its_size():
    # At a threshold, noise of each decision flips the last one half of the time; far from all others it changes nothing else.
    circuit = Sar(bits=4, noise_sigma=0.01)
    lsb = 2 / 15
    found = jax.jit(lambda key: circuit.convert(jnp.full(20_000, 0.5 * lsb), 4.0, 1.0, None, key))(jax.random.key(0))
    np.testing.assert_allclose(np.unique(found), [0.5 * lsb], rtol=1e-5)  # the middle of a code, 6 sigmas from its thresholds
    at = 1 * lsb + 0.01 * 16 / 15  # one sigma above a threshold; the reference is 16/15 of the range
    found = jax.jit(lambda key: circuit.convert(jnp.full(20_000, at), 4.0, 1.0, None, key))(jax.random.key(0))
    above = float((found > lsb).mean())
    assert above == pytest.approx(0.8413, abs=4 * np.sqrt(0.84 * 0.16 / 20_000))


def test_an_offset_moves_every_threshold():
    circuit = Sar(bits=6, offset_sigma=1.0)
    state = circuit.draw((), None).replace(offset=jnp.asarray(0.05))
    x = jnp.linspace(-0.8, 0.8, 1001)
    moved = circuit.convert(x, 6.0, 1.0, state)
    same = np.isclose(moved, circuit.convert(x + 0.05 * 64 / 63, 6.0, 1.0), atol=1e-5)
    assert same.mean() > 0.99  # all but inputs that rounding puts on either side of a threshold
    assert (moved != circuit.convert(x, 6.0, 1.0)).mean() > 0.9
