"""What every ADC circuit has in common: ideal without flaws, one gradient rule, any axes, chips of its own for each draw."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.converters import ADCS, Adc, Cyclic, Flash, Flaws, Ladder, Pipeline, Ramp, Sar, SenseAmplifier, Uniform
from imcjax.fast_random import fast_key


WIDEST = 6
LIMIT = 3e-5


def equal_ladder(bits, **fields):
    return Ladder.from_levels(np.linspace(-1, 1, 2**bits), **fields)


CIRCUITS = {
    "sign_magnitude": Adc(bits=WIDEST, flaws=Flaws()),
    "uniform": Uniform(bits=WIDEST, flaws=Flaws(dnl_sigma=0.0, noise_sigma=0.0)),
    "uniform, unsigned": Uniform(bits=WIDEST, polarity="unsigned"),
    "sar": Sar(bits=WIDEST, noise_sigma=0.0),
    "sar, unsigned": Sar(bits=WIDEST, polarity="unsigned"),
    "sar, binary": Sar(bits=WIDEST, array="binary"),
    "ramp": Ramp(bits=WIDEST, noise_sigma=0.0),
    "flash": Flash(bits=WIDEST, noise_sigma=0.0),
    "sense_amplifier": SenseAmplifier(noise_sigma=0.0),
    "ladder": equal_ladder(WIDEST, noise_sigma=0.0),
    "pipeline": Pipeline(bits=WIDEST),
    "cyclic": Cyclic(bits=WIDEST, polarity="unsigned"),
}
FLAWED = {
    "sign_magnitude": Adc(bits=WIDEST, flaws=Flaws(gain_sigma=0.02, offset_sigma=0.02, inl=0.7, dnl_sigma=0.3)),
    "uniform": Uniform(bits=WIDEST, flaws=Flaws(gain_sigma=0.02, offset_sigma=0.02, inl=0.7, dnl_sigma=0.3)),
    "sar": Sar(bits=WIDEST, capacitor_sigma=0.05, offset_sigma=0.01, gain_db=50.0),
    "sar, binary": Sar(bits=WIDEST, array="binary", capacitor_sigma=0.05, offset_sigma=0.01, gain_db=50.0),
    "ramp": Ramp(
        bits=WIDEST, ramp="own", capacitor_sigma=0.02, slope_sigma=0.02, bow_sigma=0.02, offset_sigma=0.01, gain_db=50.0
    ),
    "flash": Flash(bits=WIDEST, resistor_sigma=0.1, offset_sigma=0.005),
    "sense_amplifier": SenseAmplifier(offset_sigma=0.1),
    "ladder": equal_ladder(WIDEST, threshold_sigma=0.01),
    "pipeline": Pipeline(bits=WIDEST, c1_sigma=0.02, c2_sigma=0.02, parasitic_sigma=0.02, offset_sigma=0.02, gain_db=50.0),
    "cyclic": Cyclic(bits=WIDEST, c1_sigma=0.02, c2_sigma=0.02, parasitic_sigma=0.02, offset_sigma=0.02, gain_db=50.0),
}
EVERY = pytest.mark.parametrize("name", CIRCUITS)
EVERY_FLAWED = pytest.mark.parametrize("name", FLAWED)


def test_every_family_is_here():
    assert {type(circuit) for circuit in CIRCUITS.values()} == set(ADCS.classes().values())
    assert {type(circuit) for circuit in FLAWED.values()} == set(ADCS.classes().values())


TRACES = []


@functools.cache
def value_and_slopes(name):
    """Compiled once: (currents (n,), bits, range) -> value and its slopes to current, range and bits, each (n,)."""

    def one(current, bits, limit):
        TRACES.append(name)
        return CIRCUITS[name].convert(current, bits, limit)

    def all_of_them(currents, bits, limit):
        value, (to_x, to_bits, to_range) = jax.vmap(jax.value_and_grad(one, (0, 1, 2)), (0, None, None))(currents, bits, limit)
        return value, to_x, to_range, to_bits

    return jax.jit(all_of_them)


def ideal_levels(name, bits):
    if name == "sense_amplifier":
        bits = 1
    if name == "sign_magnitude":
        return np.linspace(-1, 1, 2**bits - 1)
    # A narrower ladder merges the codes of the widest one: means of equally spaced levels.
    if name == "ladder":
        return np.linspace(-1, 1, 2**WIDEST).reshape(2**bits, -1).mean(1)
    return np.linspace(0 if isunsigned(name) else -1, 1, 2**bits)


def isunsigned(name):
    return getattr(CIRCUITS[name], "polarity", "signed") == "unsigned"


SAMPLES = np.random.default_rng(0).uniform(-1.4, 1.4, 2048)


@EVERY
@pytest.mark.parametrize("bits", [WIDEST, 4, 2])
def test_without_flaws_it_is_the_ideal_quantizer(name, bits):
    levels = ideal_levels(name, bits)
    samples = SAMPLES.copy()
    samples[: len(levels)] = levels
    value, to_x, to_range, to_bits = (
        np.asarray(a, float) for a in value_and_slopes(name)((samples * LIMIT).astype(np.float32), float(bits), LIMIT)
    )
    value /= LIMIT
    clipped = np.clip(samples, levels[0], levels[-1])
    distance = np.abs(clipped[:, None] - levels)
    nearest = levels[distance.argmin(1)]
    near = np.sort(distance, 1)
    clear = near[:, 1] - near[:, 0] > 1e-3 * (levels[1] - levels[0])
    np.testing.assert_allclose(value[clear], nearest[clear], atol=3e-6)
    np.testing.assert_allclose(value[: len(levels)], levels, atol=3e-6)  # idempotent: every code reports itself
    assert len(np.unique(value.round(5))) == len(levels)  # every code, and no other
    order = samples.argsort()
    assert (np.diff(value[order]) > -1e-6).all()

    # One gradient rule: through inside the range; where it clips, to the range. Inside, LSQ: (value - x) / range.
    low, high = (-1 if levels[0] < 0 else 0), 1
    if name == "ladder":
        low, high = -1, 1
    inside = (samples > low + 1e-4) & (samples < high - 1e-4)
    outside = (samples < low - 1e-4) | (samples > high + 1e-4)
    np.testing.assert_allclose(to_x[inside], 1, rtol=1e-5)
    np.testing.assert_array_equal(to_x[outside], 0)
    np.testing.assert_allclose(to_range[inside], (value - samples)[inside], atol=2e-5)
    np.testing.assert_allclose(to_range[outside], value[outside], atol=2e-5)
    assert np.isfinite(to_bits).all()
    assert TRACES.count(name) == 1  # another width compiles nothing


@EVERY
def test_more_bits_than_it_has_change_nothing(name):
    if name == "sign_magnitude":
        pytest.skip("it takes whatever bits it is given")
    run, samples = value_and_slopes(name), (SAMPLES * LIMIT).astype(np.float32)
    np.testing.assert_array_equal(run(samples, WIDEST + 2.0, LIMIT)[0], run(samples, float(WIDEST), LIMIT)[0])


@EVERY
def test_it_is_odd_where_signed(name):
    if isunsigned(name):
        pytest.skip("an unsigned range has no negative half")
    run = value_and_slopes(name)
    samples = (SAMPLES * LIMIT).astype(np.float32)
    value, mirrored = (np.asarray(run(s, float(WIDEST), LIMIT)[0]) for s in (samples, -samples))
    np.testing.assert_allclose(value, -mirrored, atol=2e-6 * LIMIT)


@EVERY
@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_it_scales_with_the_currents(name, scale):
    run = value_and_slopes(name)
    value = run((SAMPLES * LIMIT).astype(np.float32), 5.0, LIMIT)[0]
    other = run((SAMPLES * LIMIT * scale).astype(np.float32), 5.0, LIMIT * scale)[0]
    same = np.isclose(np.asarray(other, float) / scale, np.asarray(value, float), rtol=1e-5)
    assert same.mean() > 0.999


@EVERY
def test_a_range_of_zero_reports_zero_with_finite_slopes(name):
    for found in value_and_slopes(name)((SAMPLES * LIMIT).astype(np.float32), 4.0, 0.0):
        assert np.isfinite(found).all()
    assert not np.any(value_and_slopes(name)((SAMPLES * LIMIT).astype(np.float32), 4.0, 0.0)[0])


CURRENTS = np.random.default_rng(1).uniform(-1.1, 1.1, (2, 3, 40, 5)).astype(np.float32)


@functools.cache
def two_chips(name, first=0, second=1):
    """Two chips by vmap: what ADCs (2, 1, 1, 5) report of `CURRENTS`, what as many single ones do, and their states."""

    def chip(key):
        state = FLAWED[name].draw((2, 5), key)
        broadcast = jax.tree.map(lambda leaf: leaf.reshape(2, 1, 1, *leaf.shape[1:]), state)
        together = FLAWED[name].convert(CURRENTS, float(WIDEST), 1.0, broadcast)
        each = jax.vmap(jax.vmap(lambda own, c: FLAWED[name].convert(c, float(WIDEST), 1.0, own), (0, -1), -1))
        return together, each(state, CURRENTS), state

    chips = jax.jit(jax.vmap(chip))
    return chips(jax.vmap(fast_key)(jnp.array([0, 1]))), chips(jax.vmap(fast_key)(jnp.array([2, 0])))


@pytest.mark.slow
@EVERY_FLAWED
def test_states_broadcast_by_their_leading_axes(name):
    together, apart, state = two_chips(name)[0]
    assert together.shape == (2, *CURRENTS.shape)
    np.testing.assert_allclose(together, apart, atol=1e-6)
    assert all(leaf.shape[:3] == (2, 2, 5) for leaf in jax.tree.leaves(state))


@EVERY_FLAWED
def test_each_adc_of_each_chip_is_drawn_for_itself(name):
    (together, _, state), (again, _, same) = two_chips(name)
    own = [len(np.unique(np.asarray(leaf, float).reshape(20, -1).round(9), axis=0)) for leaf in jax.tree.leaves(state)]
    assert max(own) == 20
    assert not np.array_equal(together[0], together[1])
    np.testing.assert_array_equal(together[0], again[1])  # a chip is its key's, wherever it stands
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(one[0], other[1])


@EVERY_FLAWED
def test_without_a_key_nothing_is_drawn(name):
    circuit = FLAWED[name]
    found = jax.jit(lambda c: (circuit.convert(c, 4.0, 1.0, circuit.draw((5,), None)), circuit.convert(c, 4.0, 1.0)))
    np.testing.assert_array_equal(*found(CURRENTS[0, 0]))


@pytest.mark.parametrize("name", ["uniform", "sar", "ramp", "flash", "sense_amplifier", "ladder"])
def test_noise_acts_only_with_a_key(name):
    noise = {"flaws": Flaws(noise_sigma=0.1)} if name == "uniform" else {"noise_sigma": 0.1}
    circuit = CIRCUITS[name].replace(**noise)
    run = jax.jit(lambda key, currents: circuit.convert(currents, 1.0 * WIDEST, 1.0, None, key))
    currents = CURRENTS[0, 0]
    quiet = value_and_slopes(name)(np.resize(currents, 2048), 1.0 * WIDEST, 1.0)[0][: currents.size].reshape(currents.shape)
    one, same, other = (run(fast_key(seed), currents) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.allclose(one, quiet)


@EVERY
def test_none_bits_convert_nothing(name):
    if name == "sign_magnitude":
        pytest.skip("it takes whatever bits it is given")
    np.testing.assert_array_equal(CIRCUITS[name].replace(bits=None).convert(CURRENTS, 4.0, 0.3), CURRENTS)


@pytest.mark.parametrize(
    "circuit, message",
    [
        (Sar(bits=4, array="splitt"), r"array is 'splitt' \(nearest: split\)"),
        (Ramp(bits=4, ramp="shared"), r"ramp is 'shared'"),
        (Uniform(bits=4, polarity="unsgined"), r"polarity is 'unsgined' \(nearest: unsigned"),
        (Adc(bits=4, flaws=Flaws(rounding="random")), r"flaws.rounding is 'random'"),
        (Adc(bits=14, flaws=Flaws(dnl_sigma=0.1)), r"flaws.dnl_sigma needs a table .* 16383 codes; give it bits, at most 12"),
        (
            Ladder(thresholds=np.zeros(3), outputs=np.zeros(3), bits=2),
            r"outputs of shape \(3,\) and thresholds \(3,\)",
        ),
        (Ladder(thresholds=np.zeros(4), outputs=np.zeros(5), bits=2), r"with n from 2 to 2\^bits = 4"),
    ],
)
def test_structure_that_does_not_exist_is_refused(circuit, message):
    with pytest.raises(UserError, match=message):
        circuit.convert(CURRENTS, 4.0, 1.0, circuit.draw((5,), fast_key(0)))
