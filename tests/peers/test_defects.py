"""What was found wrong or missing in CrossSim 3.2.0 and IBM aihwkit 1.2.0, each as a test of what is right.

Other tests look closer at most of these; here each has one that goes by its name.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, Settings, crossbar, devices, mvm, program
from imcjax.converters import Adc, Cyclic, Dac, Flaws, Pipeline, Ramp, Sar
from imcjax.crossbar import Wires
from imcjax.devices import compensation
from imcjax.fast_random import fast_key
from imcjax.mapping import Differential, Offset
from imcjax.ranges import find_ranges


RNG = np.random.default_rng(0)
KEY = fast_key(0)
LINES = Wires(3.0, 2.0, 5.0, 7.0)


@functools.partial(jax.jit, static_argnames=("input_signed",))
def run(x, w, hardware, key=None, input_signed=True, **leaves):
    return mvm(x, w, hardware, Settings(input_signed=input_signed, **leaves), key=key)


# CrossSim


@pytest.mark.parametrize("solver", ["auto", "pade"])
def test_crosssim_0_weak_inputs_see_the_same_wires_as_strong_ones(solver):
    g, v = RNG.uniform(1e-6, 1e-4, (12, 9)).astype(np.float32), RNG.uniform(0, 0.2, (2, 12)).astype(np.float32)
    compute = jax.jit(lambda v: crossbar.currents(g, v, Wires(100.0, 100.0, 100.0, 100.0), solver=solver))
    strong = compute(v)
    assert (np.abs(strong / (v @ g) - 1) > 0.1).all()  # there is something to lose
    for factor in (2.0**-10, 2.0**-30):
        np.testing.assert_allclose(compute(factor * v) / factor, strong, rtol=1e-5)


@pytest.mark.parametrize("cell_bits", [2, 3, 4, 8])
def test_crosssim_1_offset_weights_have_no_gain_error(cell_bits):
    hardware = Hardware(
        encoding=Offset(weight_bits=cell_bits, cell_bits=cell_bits),
        dac=Dac(input_bits=4, bits=4),
        device=devices.Generic(g_min=1e-6, g_max=1e-4),
    )
    top = 2 ** (cell_bits - 1) - 1
    x, w = RNG.integers(-7, 8, (3, 20)).astype(float), RNG.integers(-top, top + 1, (20, 4)).astype(float)
    found = run(x, w, hardware, input_range=7.0, weight_range=float(top))
    np.testing.assert_allclose(found, x @ w, atol=2e-4 * np.abs(x @ w).max())


def test_crosssim_2_an_array_read_along_its_bitlines_is_the_transposed_one():
    """Reciprocity: what driver i sends to sense end j is what a driver at j sends to a sense end at i."""
    g = RNG.uniform(1e-6, 1e-4, (12, 9))
    turned = Wires(LINES.bitline, LINES.wordline, LINES.sense, LINES.driver)
    with jax.enable_x64(True):
        there = crossbar.transfer_matrix(g, LINES)
        back = crossbar.transfer_matrix(g[::-1, ::-1].T, turned)
        np.testing.assert_allclose(back[::-1, ::-1].T, there, rtol=1e-8)
        assert np.abs(crossbar.transfer_matrix(g[::-1, ::-1].T, LINES)[::-1, ::-1].T / there - 1).max() > 1e-3


def test_crosssim_3_weight_slices_between_wires_each_have_their_own():
    encoding = Differential(weight_bits=5, cell_bits=2)
    device = devices.Generic(g_min=1e-6, g_max=1e-4)
    chip = Hardware(rows=12, cols=9, encoding=encoding, dac=Dac(input_bits=4, bits=3), device=device, wires=LINES)
    x, w = RNG.integers(-7, 8, (3, 12)).astype(float), RNG.integers(-15, 16, (12, 9)).astype(float)
    expected = 0
    for s in range(2):
        digit = np.sign(w) * (np.abs(w).astype(int) >> (2 * s) & 3)
        pair = [1e-6 + np.maximum(sign * digit, 0) * 33e-6 for sign in (1, -1)]
        array = [np.asarray(crossbar.transfer_matrix(g, LINES), float) for g in pair]
        expected += 4**s * x @ (array[0] - array[1]) / 33e-6
    found = run(x, w, chip, input_range=7.0, weight_range=15.0)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - x @ w).max() > 0.1


@pytest.mark.parametrize("name", ["driver", "sense"])
def test_crosssim_4_a_resistance_at_the_end_is_in_every_line(name):
    """Alone it makes each line a divider of its own: nothing but the sum of its cells counts."""
    g, v = RNG.uniform(1e-6, 1e-4, (12, 9)), RNG.uniform(0, 0.2, 12)
    ohms = {"driver": 0.0, "sense": 0.0} | {name: 500.0}
    with jax.enable_x64(True):
        found = crossbar.currents(g, v, Wires(0.0, 0.0, **ohms))
    expected = (v / (1 + 500 * g.sum(1))) @ g if name == "driver" else v @ g / (1 + 500 * g.sum(0))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_crosssim_5_groups_of_columns_have_capacitors_of_their_own():
    hardware = Hardware(cols=8, adc=Sar(bits=4, capacitor_sigma=0.05, offset_sigma=0.01, share=4.0))
    adc = jax.jit(lambda w: program(w, hardware, key=KEY))(jnp.ones((2, 16))).adc  # two tiles of two groups of four columns
    groups = np.asarray(adc.capacitors)[0, 0, 0].reshape(4, 4, 5)
    np.testing.assert_array_equal(groups, groups[:, :1].repeat(4, axis=1))
    assert len(np.unique(groups[:, 0, 0])) == 4
    assert len(np.unique(np.asarray(adc.offset)[0, 0, 0])) == 4


@pytest.mark.parametrize("circuit", [Ramp(bits=5), Pipeline(bits=5), Cyclic(bits=5), Sar(bits=5)], ids=lambda c: c.kind)
def test_crosssim_6_circuits_convert_whatever_the_number_of_axes(circuit):
    currents = RNG.uniform(-1, 1, (2, 3, 4, 2, 8)).astype(np.float32)
    convert = jax.jit(lambda i: circuit.convert(i, 5.0, 1.0))
    np.testing.assert_array_equal(convert(currents), convert(currents.reshape(-1)).reshape(currents.shape))


def test_crosssim_6_a_unit_column_has_an_adc_too():
    hardware = Hardware(
        cols=5,
        encoding=Offset(weight_bits=3, cell_bits=3, reference="unit_column"),
        dac=Dac(input_bits=4, bits=3),
        device=devices.Generic(g_min=1e-6),
        adc=Sar(bits=12),
    )
    x, w = RNG.integers(-7, 8, (3, 10)).astype(float), RNG.integers(-3, 4, (10, 7)).astype(float)
    np.testing.assert_allclose(run(x, w, hardware, input_range=7.0, weight_range=3.0), x @ w, atol=2.5)


@pytest.mark.parametrize("circuit", [Pipeline(bits=8), Cyclic(bits=8)], ids=lambda c: c.kind)
def test_crosssim_7_inputs_at_the_thresholds_of_a_stage_belong_somewhere(circuit):
    reference = 4.0
    inputs = reference * np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
    lsb = 2 * reference / 256
    found = circuit.convert(jnp.asarray(inputs, jnp.float32), 8.0, reference - lsb / 2)
    np.testing.assert_array_less(np.abs(found - inputs), 0.501 * lsb)


def test_crosssim_8_inverse_noise_and_batches_cost_no_loops_and_no_copies_of_the_cells():
    device = devices.Generic(g_min=1e-6, program_sigma=0.05, read_sigma=0.05, program_law="inverse", read_law="inverse")
    hardware, w, x = Hardware(rows=64, cols=64, device=device), jnp.ones((64, 64)), jnp.ones((32, 64))
    traced = jax.make_jaxpr(lambda x, w: mvm(x, w, hardware, key=jax.random.key(0)))(x, w)
    sizes, names = [], set()

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            names.add(equation.primitive.name)
            sizes.extend(var.aval.size for var in equation.outvars)
            for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
                if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                    walk(getattr(inner, "jaxpr", inner))

    walk(traced.jaxpr)
    assert max(sizes) <= 4 * 2 * w.size  # both cells of a pair, and what random numbers are made from; not times 32
    assert not names & {"while", "scan"}


def test_crosssim_9_attention_is_on_the_hardware_or_listed_as_digital():
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.attention = nnx.MultiHeadAttention(num_heads=2, in_features=8, decode=False, rngs=rngs)
            self.linear = nnx.Linear(8, 8, rngs=rngs)

        def __call__(self, x):
            return self.linear(self.attention(x))

    block, x = Block(nnx.Rngs(0)), jnp.asarray(RNG.normal(size=(2, 3, 8)), jnp.float32)
    noisy = Hardware(device=devices.Generic(g_min=0.0, program_sigma=0.2))
    model = imcjax.convert(block, noisy, rngs=nnx.Rngs(imc=1))
    listed = imcjax.summary(model)
    named = [layer.path for layer in listed.layers] + listed.digital
    for part in ("attention/query", "attention/key", "attention/value", "attention/out", "linear"):
        assert sum(name.startswith(part) for name in named) == 1, part
    model.eval()  # where theirs falls back to the digital layer
    assert np.abs(nnx.jit(lambda m, x: m(x))(model, x) - block(x)).max() > 0.05


# aihwkit


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_aihwkit_1_the_size_of_the_output_noise_counts(sigma):
    circuit = Adc(bits=16, flaws=Flaws(noise_sigma=sigma))
    found = circuit.convert(jnp.zeros(40_000), 16.0, 2.0, None, KEY)
    assert float(found.std()) == pytest.approx(2 * sigma, rel=0.02)


def test_aihwkit_2_the_range_in_use_does_not_change_the_spread_of_a_cell():
    target = jnp.full(20_000, 10e-6)
    whole, part = (
        np.asarray((device := devices.ReramWan2022(g_max=g_max)).read(device.program(target, KEY), time=1.0), float)
        for g_max in (40e-6, 25e-6)
    )
    np.testing.assert_array_equal(whole, part)
    r = 10 / 40
    sigma = np.polyval([-16.815, 45.393, -43.853, 16.030, 0.348], r) * 1e-6
    assert whole.std() == pytest.approx(sigma, rel=0.03)


def test_aihwkit_3_drift_is_made_up_for_in_layers_that_are_not_square():
    hardware = Hardware(rows=16, device=devices.preset("pcm_nandakumar"))
    x, w = RNG.normal(size=(4, 30)), RNG.normal(size=(30, 7))

    @jax.jit
    def outputs_and_cells(x, w, time):
        chip = program(w, hardware, key=KEY)
        return imcjax.read(chip, x, hardware, time=time), imcjax.pipeline.conductances(chip, hardware, time=time)

    (exact, before), (aged, after) = (outputs_and_cells(x, w, time) for time in (0.0, 86400.0))
    assert compensation.column_scale(after, before, pair_axis=1).shape == (1, 1, 2, 1, 1, 7)
    scaled = aged * compensation.global_scale(after, before)
    assert np.linalg.norm(scaled - exact) < 0.5 * np.linalg.norm(aged - exact)


def test_aihwkit_4_inputs_of_zero_are_read_like_others():
    hardware = Hardware(
        rows=8,
        encoding=Differential(weight_bits=4),
        dac=Dac(input_bits=4, bits=2),
        device=devices.preset("pcm_nandakumar"),
        wires=LINES,
        solver="pade",
        adc=Adc(bits=6),
    )
    w = jnp.asarray(RNG.normal(size=(10, 4)), jnp.float32)
    compute = jax.jit(jax.value_and_grad(lambda x: jnp.sum(mvm(x, w, hardware, key=KEY)), 0))
    value, slope = compute(jnp.zeros((2, 10)))
    assert value == 0
    assert np.isfinite(slope).all()


def test_aihwkit_5_ranges_see_both_signs_of_what_they_must_hold():
    """The largest input, and the largest sum, may be negative ones."""
    x = np.array([[0.1, -1.0, 0.05], [0.2, 0.1, 0.1]])
    w = np.array([[0.5, -0.1], [1.0, 0.9], [0.1, 0.2]])
    hardware = Hardware(encoding=Differential(weight_bits=8, cell_bits=7), dac=Dac(input_bits=8, bits=7), adc=Adc(bits=12))
    np.testing.assert_allclose(run(x, w, hardware), x @ w, atol=0.02)
    limits = jax.jit(lambda w, x: find_ranges(w, x, hardware, Settings(), rule="max"))(
        jnp.array(w)[None], jnp.array(x)[:, None]
    )
    assert limits["input_range"] > 0.9
    assert float(limits["adc_range"].max()) == pytest.approx(0.945 * 0.2 * 100e-6, rel=0.03)  # 0.945: the sum at -0.945


@pytest.mark.parametrize("name", devices.presets())
def test_aihwkit_6_time_zero_is_as_programmed(name):
    device = devices.preset(name)
    target = jnp.asarray([float(device.g_min), float(device.g_max)])
    np.testing.assert_array_equal(device.read(device.program(target, None), None, 0.0), target)
    assert np.isfinite(device.read(device.program(target, KEY), KEY, 0.0)).all()


def test_aihwkit_the_gradient_stops_where_the_adc_clips_and_nowhere_else():
    """Their tile compares outputs that are scaled back with the ADC's own range, and so loses slopes that are there."""
    w = jnp.asarray([[1.0, 0.2]])
    hardware = Hardware(encoding=Differential(weight_bits=8, cell_bits=7), dac=Dac(input_bits=8, bits=7), adc=Adc(bits=8))
    unit = 0.2 * 1e-4  # ampere, of input and weight at their ends
    slope = jax.jit(
        jax.grad(lambda x: jnp.sum(mvm(x, w, hardware, Settings(input_range=100.0, weight_range=1.0, adc_range=0.5 * unit))))
    )
    # Outputs far above the number of the range, inside of it: every slope is there. At 80 the first column clips.
    np.testing.assert_allclose(slope(jnp.asarray([[40.0]])), [[1.2]], rtol=1e-2)
    np.testing.assert_allclose(slope(jnp.asarray([[80.0]])), [[0.2]], rtol=2e-2)


def test_aihwkit_programmed_cells_are_kept_over_time():
    """Their chips map the noisy weights onto new pairs of cells before ageing them: both cells of a pair are forgotten."""
    device = devices.preset("pcm_nandakumar")
    state = device.program(jnp.asarray([[0.0, 25e-6], [25e-6, 0.0]]), KEY)
    aged = device.read(state, time=1e4)
    np.testing.assert_allclose(aged, state.g * (1e4 / 20 + 1) ** -np.asarray(state.nu), rtol=1e-5)
