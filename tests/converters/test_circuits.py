"""What every ADC circuit has in common: ideal without flaws, one gradient rule, any axes, chips of its own for each draw."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.converters import ADCS, Adc, Cyclic, Flash, Flaws, Ladder, Pipeline, Ramp, Sar, SenseAmplifier, Uniform


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


@functools.cache
def value_and_slopes(name):
    """Compiled once: (currents (n,), bits, range) -> value and its slopes to current, range and bits, each (n,)."""

    def one(current, bits, limit):
        return CIRCUITS[name].convert(current, bits, limit)

    @jax.jit
    @chex.assert_max_traces(1)
    def all_of_them(currents, bits, limit):
        value, slopes = jax.vmap(jax.value_and_grad(one, (0, 2, 1)), (0, None, None))(currents, bits, limit)
        return value, *slopes

    return all_of_them


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


@functools.cache
def flawed_chip(name):
    """Compiled: key, currents (2, 3, 40, 5) and a range -> what ADCs (2, 1, 1, 5) report; and what is as many single ADCs."""
    circuit = FLAWED[name]

    @jax.jit
    def chip(key, currents):
        state = circuit.draw((2, 5), key)
        broadcast = jax.tree.map(lambda leaf: leaf.reshape(2, 1, 1, *leaf.shape[1:]), state)
        together = circuit.convert(currents, float(WIDEST), 1.0, broadcast)
        one = jax.vmap(lambda own, c: circuit.convert(c, float(WIDEST), 1.0, own), (0, -1), -1)
        apart = jax.vmap(one)(state, currents)
        return together, apart, state

    return chip


CURRENTS = np.random.default_rng(1).uniform(-1.1, 1.1, (2, 3, 40, 5)).astype(np.float32)


@EVERY_FLAWED
def test_states_broadcast_by_their_leading_axes(name):
    together, apart, state = flawed_chip(name)(jax.random.key(0), CURRENTS)
    assert together.shape == CURRENTS.shape
    np.testing.assert_allclose(together, apart, atol=1e-6)
    assert all(leaf.shape[:2] == (2, 5) for leaf in jax.tree.leaves(state))


@EVERY_FLAWED
def test_each_adc_is_drawn_for_itself(name):
    state = flawed_chip(name)(jax.random.key(0), CURRENTS)[2]
    drawn = 0
    for leaf in jax.tree.leaves(state):
        rows = np.asarray(leaf, float).reshape(10, -1)
        drawn += len(np.unique(rows.round(9), axis=0)) == 10
    assert drawn >= 1
    other = flawed_chip(name)(jax.random.key(1), CURRENTS)
    again = flawed_chip(name)(jax.random.key(0), CURRENTS)
    assert not np.array_equal(again[0], other[0])
    chex.assert_trees_all_equal(again[2], state)


@EVERY_FLAWED
def test_chips_are_drawn_by_vmap(name):
    circuit = FLAWED[name]
    keys = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    def outputs(key):
        return circuit.convert(CURRENTS[0, 0], float(WIDEST), 1.0, circuit.draw((5,), key))

    many = jax.jit(jax.vmap(outputs))(keys)
    np.testing.assert_allclose(many, np.stack([outputs(key) for key in keys]), atol=1e-6)
    assert not np.array_equal(many[0], many[1])


@EVERY_FLAWED
def test_without_a_key_nothing_is_drawn(name):
    circuit = FLAWED[name]
    nominal = circuit.convert(CURRENTS[0, 0], 4.0, 1.0, circuit.draw((5,), None))
    np.testing.assert_array_equal(nominal, circuit.convert(CURRENTS[0, 0], 4.0, 1.0))


@pytest.mark.parametrize("name", ["uniform", "sar", "ramp", "flash", "sense_amplifier", "ladder"])
def test_noise_acts_only_with_a_key(name):
    noise = {"flaws": Flaws(noise_sigma=0.1)} if name == "uniform" else {"noise_sigma": 0.1}
    circuit = CIRCUITS[name].replace(**noise)
    run = jax.jit(lambda key: circuit.convert(CURRENTS[0, 0], 1.0 * WIDEST, 1.0, None, key))
    quiet = circuit.convert(CURRENTS[0, 0], 1.0 * WIDEST, 1.0)
    one, same, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, quiet)


def sigmas(circuit):
    """The drawn or systematic numbers of a circuit: its leaves but for `share` and the levels of a ladder."""
    holder = circuit.flaws if hasattr(circuit, "flaws") else circuit
    return {field: value for field, value in vars(holder).items() if isinstance(value, float) and field != "share"}


@EVERY_FLAWED
def test_slopes_to_the_flaws_are_those_of_the_mean_response(name):
    """The mean over many inputs inside the range is smooth in every flaw: its difference quotient is the mean slope."""
    circuit = FLAWED[name]
    fields = sigmas(circuit)
    with jax.enable_x64(True):
        # Inputs fill the bins evenly; weights make the mean one of everything, not of odd terms that cancel.
        x = jnp.linspace(-0.8, 0.8, 20001)
        weight = 1 + jnp.sin(5 * x)

        @jax.jit
        def mean(values):
            holder = circuit.flaws if hasattr(circuit, "flaws") else circuit
            changed = holder.replace(**values)
            changed = circuit.replace(flaws=changed) if hasattr(circuit, "flaws") else changed
            state = changed.draw((), jax.random.key(4), jnp.float64)
            return jnp.mean(weight * changed.convert(x, float(WIDEST), 1.0, state))

        slopes = jax.jit(jax.grad(mean))(fields)
        for field, value in fields.items():
            step = value * 0.1
            quotient = (mean(fields | {field: value + step}) - mean(fields | {field: value - step})) / (2 * step)
            assert np.isfinite(slopes[field])
            # A sense amplifier of one bit has thresholds far apart: only the mean of all inputs between them is smooth.
            if name == "sense_amplifier":
                continue
            scale = max(abs(float(quotient)), 2e-3 if field != "gain_db" else 1e-5)
            assert float(slopes[field]) == pytest.approx(float(quotient), abs=0.15 * scale), field


@EVERY_FLAWED
def test_slopes_are_finite_where_all_flaws_are_zero(name):
    circuit = FLAWED[name]
    fields = {field: 0.0 for field in sigmas(circuit) if field != "gain_db"}

    def mean(values):
        holder = circuit.flaws if hasattr(circuit, "flaws") else circuit
        changed = holder.replace(**values)
        changed = circuit.replace(flaws=changed) if hasattr(circuit, "flaws") else changed
        return jnp.mean(changed.convert(CURRENTS[0], 5.0, 1.0, changed.draw((5,), jax.random.key(0))) ** 2)

    slopes = jax.jit(jax.grad(mean))(fields)
    assert all(np.isfinite(slope) for slope in slopes.values())
    assert any(slope != 0 for slope in slopes.values())


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
            r"outputs of shape \(3,\) and thresholds \(3,\); give n outputs",
        ),
        (Ladder(thresholds=np.zeros(4), outputs=np.zeros(5), bits=2), r"with n from 2 to 2\^bits = 4"),
    ],
)
def test_structure_that_does_not_exist_is_refused(circuit, message):
    with pytest.raises(UserError, match=message):
        circuit.convert(CURRENTS, 4.0, 1.0, circuit.draw((5,), jax.random.key(0)))
