"""The energy of reads in every domain against loops over cells, gradients against differences, optional units by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from imcjax import Hardware, Settings, UserError, cost, devices, readout
from imcjax.converters import Adc, Dac
from imcjax.cost import activation, adder_tree, digital, domains, mux, reads
from imcjax.mapping import Complementary, Differential, Offset
from imcjax.pytree import replace
from imcjax.technology import Technology

from .example import HARDWARE, WORK, measured


G_MIN, G_MAX = 1e-6, 40e-6
TINY = Hardware(
    rows=4,
    cols=4,
    encoding=Offset(weight_bits=4, cell_bits=2),
    dac=Dac(input_bits=3, bits=3, v_read=0.7),  # one phase
    device=devices.Generic(g_min=G_MIN, g_max=G_MAX),
    adc=Adc(bits=6, share=2.0),
)
BITS = cost.Bits(4, 3, 6)
FLOATING = {
    "voltage": readout.Voltage(),
    "charge": readout.Charge(g_ref=G_MAX, c_unit=2e-15, c_parasitic=3e-15),
    "constant_total": readout.Charge(g_ref=G_MAX, c_unit=2e-15, c_parasitic=3e-15, constant_total=1),
    "c2c": readout.C2c(bits=2, g_min=G_MIN, g_max=G_MAX, c_unit=2e-15, parasitic=0.1, c_parasitic=3e-15),
}


SLOWER = ("voltage", "constant_total")  # gradients of the same form as those of charge


def column_j(kind: str, v: np.ndarray, g: np.ndarray, hardware: Hardware) -> float:
    """Joule of one column in one read, of the circuit itself."""
    if kind == "voltage":
        return float(domains.voltage_energy_j(jnp.asarray(v), jnp.asarray(g[:, None]), 10e-9, hardware.rows * 0.35e-15))
    if kind == "c2c":
        return ladders_j(v, np.rint((g - G_MIN) / (G_MAX - G_MIN) * 3).astype(int), 2)
    farads = 2e-15 * g / G_MAX
    grounded = 3e-15 + (2e-15 - farads).sum() * (kind == "constant_total")
    settled = (farads * v).sum() / (farads.sum() + grounded)
    return float((farads * v * (v - settled)).sum())  # charge times voltage, drawn from each driver


def ladders_j(v: np.ndarray, codes: np.ndarray, bits: int) -> float:
    """The same of C-2C ladders: all nodes of the column at once, the common one first."""
    c, count = 2e-15, len(v)
    size = 1 + count * (bits - 1)
    matrix, drive, plates = np.zeros((size, size)), np.zeros(size), []
    matrix[0, 0] = 3e-15
    for i in range(count):
        nodes = [0, *range(1 + i * (bits - 1), 1 + (i + 1) * (bits - 1))]
        for s, k in enumerate(nodes):
            x = v[i] * (codes[i] >> (bits - 1 - s) & 1)
            matrix[k, k] += 1.1 * c
            drive[k] += c * x
            plates.append((k, x))
        for k, below in itertools.pairwise(nodes):
            matrix[np.ix_([k, below], [k, below])] += 2 * c * np.array([[1, -1], [-1, 1]])
        matrix[nodes[-1], nodes[-1]] += c
    volts = np.linalg.solve(matrix, drive)
    return sum(c * x * (x - volts[k]) for k, x in plates)


@pytest.mark.parametrize("kind", FLOATING)
def test_columns_of_equal_cells_take_what_their_circuit_does(kind):
    """8 inputs on two tiles of four rows, 3 outputs of 2 slices; a column's cells are equal, inputs are not."""
    rng = np.random.default_rng(1)
    hardware = TINY.replace(readout=FLOATING[kind])
    work = cost.Work("fc", 8, 3, positions=5, input_signed=False)
    x, siemens = rng.integers(0, 8, (5, 8)), G_MAX if kind == "c2c" else 17e-6  # all bits one: nothing is left to the mean
    settings = Settings(input_signed=False, input_range=7.0)
    activity = jax.jit(lambda x: cost.measure(x, settings, hardware))(jnp.asarray(x, jnp.float32))
    rows = jnp.full(8, 6 * siemens, jnp.float32)
    found = jax.jit(lambda a: cost.layer_cost(work, BITS, a, rows, hardware, hard=True).energy["array"])(activity)
    expected = 0.0
    for sample in x * 0.1:
        for tile in (sample[:4], sample[4:]):
            expected += 6 * column_j(kind, tile, np.full(4, siemens), hardware)
    assert float(found) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("kind", FLOATING)
def test_real_weights_take_little_else_than_the_estimate(kind):
    rng = np.random.default_rng(2)
    hardware = TINY.replace(readout=FLOATING[kind], rows=64, cols=64)
    work = cost.Work("fc", 48, 32, positions=20, input_signed=False)
    x, w = rng.integers(0, 8, (20, 48)), rng.normal(size=(48, 32)).astype(np.float32)
    settings = Settings(weight_bits=4, input_signed=False, input_range=7.0)

    def estimated(x, w):
        siemens = cost.row_conductance(w, hardware, settings)
        return cost.layer_cost(work, BITS, cost.measure(x, settings, hardware), siemens, hardware, hard=True).energy["array"]

    codes = np.clip(np.rint(w / np.abs(w).max() * 7), -7, 7) + 8
    cells = np.concatenate([codes % 4, codes // 4], 1) * (G_MAX - G_MIN) / 3 + G_MIN
    truth = sum(column_j(kind, v, cells[:, j], hardware) for v in x * 0.1 for j in range(64))
    found = float(jax.jit(estimated)(jnp.asarray(x, jnp.float32), w))
    assert found == pytest.approx(truth, rel=0.05)
    if kind == "voltage":
        assert found > truth * (1 - 1e-5)  # the mean of the tile is not where columns settle


def test_binary_products_have_the_law_of_transitions():
    """One-bit inputs and weights, all possible pairs once: products are one with probability 1/4."""
    hardware = TINY.replace(
        rows=4,
        encoding=Offset(weight_bits=2, cell_bits=2),
        dac=Dac(input_bits=1, bits=1, v_read=0.7),
        readout=readout.Charge(g_ref=1e-6, c_unit=2e-15, constant_total=1),
    )
    work = cost.Work("fc", 4, 1, positions=1, input_signed=False)
    activity = cost.measure(jnp.asarray([[1.0, 0.0, 1.0, 0.0]]), Settings(input_signed=False), hardware)
    rows = jnp.asarray([1e-6, 1e-6, 0.0, 0.0])
    found = cost.layer_cost(work, cost.Bits(2, 1, 6), activity, rows, hardware, hard=True).energy["array"]
    assert float(found) == pytest.approx(float(domains.charge_energy_j(0.25, 4, 2e-15, 0.7)), rel=1e-5)


@pytest.mark.parametrize(
    "encoding", [Differential(weight_bits=4, cell_bits=2, pairs="interleaved"), Complementary()], ids=["pairs", "complementary"]
)
def test_spread_is_counted_wordline_by_wordline(encoding):
    hardware = TINY.replace(rows=8, encoding=encoding, readout=readout.Voltage())
    x = np.random.default_rng(3).integers(-3, 4, (6, 7))
    activity = jax.jit(lambda x: cost.measure(x, Settings(input_range=3.0), hardware))(jnp.asarray(x, jnp.float32))
    volts, expected = 0.1 * x, np.zeros(7)
    tiles = [slice(0, 7)] if encoding.interleaved else [slice(0, 4), slice(4, 7)]
    for sample in volts:
        for tile in tiles:
            v = sample[tile, None]
            lines = np.concatenate([v, -v], 1) if encoding.interleaved else np.maximum(np.concatenate([v, -v], 1), 0)
            squared = ((lines - lines.mean()) ** 2).sum(1) / 6
            expected[tile] += squared / 2 if encoding.interleaved else squared  # one line of a pair stands for both cells
    assert activity.spread is not None
    np.testing.assert_allclose(activity.spread[2], expected, rtol=1e-5)


DIGITAL = TINY.replace(
    encoding=Differential(weight_bits=5, cell_bits=2),
    dac=Dac(input_bits=4, bits=1, v_read=0.5),
    readout=readout.Digital(g_min=G_MIN, g_max=G_MAX, levels=4.0),
    adc=Adc(bits=None),
)


def test_logic_counts_trees_instead_of_conversions():
    """8 inputs on two tiles of four rows; 2 slices, 4 phases of one bit, unsigned; pairs are added in one tree."""
    x = np.random.default_rng(4).integers(0, 16, (5, 8))
    work, bits, tech = cost.Work("fc", 8, 3, positions=5, input_signed=False), cost.Bits(5, 4), Technology()
    settings = Settings(input_signed=False, input_range=15.0)
    activity = cost.measure(jnp.asarray(x, jnp.float32), settings, DIGITAL)
    assert activity.spread is None
    found = cost.layer_cost(work, bits, activity, jnp.ones(8), DIGITAL, hard=True)
    ones = sum(bin(code).count("1") for code in x.ravel())
    fa, nand = digital.FULL_ADDER_J, 0.7e-15 * 0.81
    tree = 8 * (2 + 1) - (2 + 3 + 1)  # 8 products of 1 by 2 bits
    place = float(adder_tree.place_value_adders(1, 2))
    count = 5 * 2 * 2 * 4 * 3  # positions, tiles, slices, phases, outputs
    width = cost.Bits(5, 4, 2 + 3)
    assert float(found.energy["array"]) == pytest.approx(ones * 2 * 2 * 3 * 0.35e-15 * 0.81, rel=1e-5)
    assert float(found.energy["adder_tree"]) == pytest.approx(count * (8 * (2 * nand + place * fa) + tree * fa), rel=1e-5)
    assert float(found.energy["digital"]) == pytest.approx(count / 2 * float(digital.energy_j(width, 2, 2, tech)), rel=1e-5)
    trees = 2 * 2 * 4  # tiles, slices, columns
    assert float(found.area["adder_tree"]) == pytest.approx(
        trees * (8 * 2 * digital.NAND2_M2 + tree * digital.FULL_ADDER_M2), rel=1e-5
    )
    assert float(found.area["digital"]) == pytest.approx(2 * float(digital.area_m2(width, 2, 2, 4.0, 4, tech)), rel=1e-5)
    phase = 10e-9 + float(adder_tree.delay_s(8, 4, tech))
    moving = float(cost.buffers.time_s(8 * 4, tech) + cost.buffers.time_s(3 * 4, tech))
    assert float(found.latency_s) == pytest.approx(
        5 * (moving + 4 * phase + float(digital.delay_s(width, 2, 2, tech))), rel=1e-5
    )
    assert "adc" not in found.energy
    assert float(found.energy["dac"]) == 0.0


@pytest.mark.parametrize("kind", ["charge", "c2c", "digital", *(pytest.param(k, marks=pytest.mark.slow) for k in SLOWER)])
def test_gradients_against_differences(kind):
    """In real widths, the read's own numbers and the conductances."""
    hardware = DIGITAL if kind == "digital" else TINY.replace(readout=FLOATING[kind])
    work = cost.Work("fc", 8, 3, positions=5, input_signed=False)
    numbers = [n for n in ("c_unit", "c_parasitic", "parasitic") if hasattr(hardware.readout, n)]
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(5).integers(0, 8, (5, 8)), float)
        settings = Settings(input_signed=False, input_range=7.0)
        activity = jax.jit(lambda x: cost.measure(x, settings, hardware))(x)
        start = np.array([3.3, 2.4, 12e-9, 25e-9, 1.0, *(float(getattr(hardware.readout, n)) for n in numbers)])

        @jax.jit
        @jax.vmap
        def costs(v):
            named = replace(hardware.readout, **dict(zip(numbers, v[5:], strict=True)))
            changed = hardware.replace(technology=Technology(v[3], 0.9, v[2]), readout=named)
            bits = cost.Bits(v[0], v[1], None if kind == "digital" else 6.0)
            found = cost.layer_cost(work, bits, activity, v[4] * jnp.linspace(1, 2, 8) * 1e-4, changed, hard=False)
            whole = [found.energy_j, found.area_m2, found.latency_s] if kind == "digital" else []
            return jnp.log(jnp.stack([found.energy["array"], *whole]))

        slopes = np.asarray(jax.jit(jax.jacrev(lambda v: costs(v[None])[0]))(jnp.asarray(start))) * start
        steps = np.diag(1e-6 * start)
        differences = (np.asarray(costs(start + steps)) - np.asarray(costs(start - steps))).T / 2e-6
        np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-8)
        assert (slopes[0, [1, 4]] != 0).any()


def test_a_model_is_estimated_with_every_readout():
    layer, x = nnx.Linear(8, 3, rngs=nnx.Rngs(0)), np.random.default_rng(6).normal(size=(5, 8)).astype(np.float32)
    assert reads.READS.keys() == readout.READOUTS.classes().keys()
    found = cost.estimate(layer, x, hardware=DIGITAL.replace(name="logic"))
    (made,) = found.layers.values()
    assert (str(made.bits), "adder_tree" in str(found)) == ("5/4/-", True)
    roof = cost.roofline(made)
    assert sum(2 * 8 * 3 / getattr(roof, name) for name in ("compute", "memory", "adc")) < found.latency_s
    slopes = cost.of_energy(found)
    assert slopes["read_v"] == pytest.approx(2 * float(found.total.energy["wordline"]) / found.energy_j, rel=1e-3)
    assert not {"bits.adc", "adc_share"} & slopes.keys()
    with pytest.raises(UserError, match=r"'digital', which converts nothing; sweep another number"):
        cost.sweep.sweep(found, "adc_bits", [4.0])
    floating = cost.estimate(layer, x, hardware=TINY.replace(readout=FLOATING["c2c"]))
    assert float(floating.total.energy["array"]) > 0
    slopes = cost.of_energy(floating)
    both = float(floating.total.energy["array"] + floating.total.energy["wordline"])
    assert slopes["read_v"] == pytest.approx(2 * both / floating.energy_j, rel=1e-3)


def test_what_is_lacking_is_said():
    hardware = TINY.replace(readout=FLOATING["voltage"])
    work, activity = cost.Work("fc", 8, 3), cost.Activity(jnp.ones((3, 8)))
    with pytest.raises(UserError, match=r"activity of fc has no spread, which columns that float need"):
        cost.layer_cost(work, BITS, activity, jnp.ones(8), hardware, hard=True)
    with pytest.raises(UserError, match=r"bits of fc\.adc is None, but a voltage readout is converted"):
        cost.layer_cost(work, cost.Bits(4, 3), activity, jnp.ones(8), hardware, hard=True)


def test_optional_units_are_added_and_nothing_else_changes():
    bits, usual = cost.Bits(7, 5, 6), HARDWARE.technology
    every = replace(usual, column_mux="transmission_gates", activation="relu", normalisation="scale_and_shift")
    activity, siemens = measured(bits)

    def costed(tech):
        return cost.layer_cost(WORK, bits, activity, siemens, HARDWARE.replace(technology=tech), hard=True)

    plain, found = costed(usual), costed(every)
    energy = {
        "mux": 1080 * mux.energy_j(4, usual),  # a conversion each, of four columns
        "normalisation": 3 * 20 * activation.scale_and_shift_energy_j(5, usual),
        "activation": 3 * 20 * activation.relu_energy_j(5, usual),
    }
    area = {
        "mux": 3 * 6 * 3 * mux.area_m2(4, usual),  # slices, tiles, ADCs
        "normalisation": 2 * 3 * activation.scale_and_shift_area_m2(5, usual),  # column tiles, chains of adders
        "activation": 2 * 3 * activation.relu_area_m2(5, usual),
    }
    for was, now, added in ((plain.energy, found.energy, energy), (plain.area, found.area, area)):
        assert now.keys() - was.keys() == added.keys()
        for name, value in added.items():
            assert float(now[name]) == pytest.approx(float(value), rel=1e-5), name
        assert all(float(now[name]) == float(value) for name, value in was.items())
    assert float(found.latency_s) == float(plain.latency_s)
    sigmoid = costed(replace(usual, activation="sigmoid"))
    assert float(sigmoid.energy["activation"]) == pytest.approx(60 * float(activation.sigmoid_energy_j(usual)), rel=1e-5)
    assert float(sigmoid.area["activation"]) == pytest.approx(6 * float(activation.sigmoid_area_m2(usual)), rel=1e-5)
    copies = cost.layer_cost(
        cost.Work("fc", 40, 20, positions=3, replicas=2), bits, activity, siemens, HARDWARE.replace(technology=every), hard=True
    )
    for name in area:
        assert float(copies.area[name]) == pytest.approx(2 * float(found.area[name]), rel=1e-6)


def test_optional_units_live_in_the_hardware_file(tmp_path):
    from imcjax import hardware

    tech = Technology(column_mux="transmission_gates", activation="sigmoid")
    hardware.save(HARDWARE.replace(technology=tech), tmp_path / "chip.toml")
    read = hardware.load(tmp_path / "chip.toml").technology
    assert (read.column_mux, read.activation, read.normalisation) == ("transmission_gates", "sigmoid", None)
    with pytest.raises(UserError, match=r"hardware\.technology\.activation is 'gelu'"):
        hardware.check(HARDWARE.replace(technology=Technology(activation="gelu")))
