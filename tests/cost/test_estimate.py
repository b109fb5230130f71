"""estimate of a model is the sum of layer costs counted from what the layers see."""

import subprocess
import sys
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, Rule, Settings, UserError, cost
from imcjax.technology import Technology

from .example import HARDWARE


class Net(nnx.Module):
    """A grouped convolution, a layer on its average, a head that may stay digital."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(2, 4, (2, 2), padding="VALID", feature_group_count=2, rngs=rngs)
        self.fc = nnx.Linear(4, 20, rngs=rngs)
        self.head = nnx.Linear(20, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.conv(x)).mean(axis=(1, 2))
        return self.head(nnx.relu(self.fc(x)))


RULES = [
    Rule("conv", HARDWARE, weight_bits=5, input_bits=4.4, adc_bits=6),
    Rule("fc", HARDWARE.replace(name="serial", dac=imcjax.converters.Dac(input_bits=6, bits=1))),
    Rule("head", digital=True),
]


@pytest.fixture(scope="module")
def sample():
    return np.random.default_rng(2).normal(size=(5, 3, 4, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def estimated(sample):
    return cost.estimate(imcjax.convert(Net(), RULES), sample)


def test_layers_are_costed_from_their_own_widths_shapes_and_inputs(sample, estimated):
    assert list(estimated.layers) == ["conv", "fc"]
    model = Net()
    conv, fc = estimated.layers.values()
    assert conv.work == cost.Work("conv", 4, 2, groups=2, positions=2 * 3)
    assert fc.work == cost.Work("fc", 4, 20)
    assert [conv.bits.weight, conv.bits.input, conv.bits.adc] == [5, 4, 6]
    assert [fc.bits.weight, fc.bits.input, fc.bits.adc] == [8, 6, 8]
    assert (conv.hardware, fc.hardware) == ("ideal", "serial")
    hardware = RULES[1].hardware
    assert hardware is not None
    seen = nnx.relu(model.conv(jnp.asarray(sample))).mean(axis=(1, 2))
    activity = cost.measure(seen, Settings(), hardware)
    conductance = cost.row_conductance(model.fc.kernel.get_value(), hardware, Settings())
    wanted = cost.layer_cost(fc.work, fc.bits, activity, conductance, hardware, hard=True)
    for name, value in wanted.energy.items():
        assert float(fc.cost.energy[name]) == pytest.approx(float(value), rel=1e-4), name
    assert float(fc.cost.latency_s) == pytest.approx(float(wanted.latency_s), rel=1e-5)


def test_the_array_energy_of_groups_is_the_sum_over_every_cell(sample, estimated):
    kernel = np.asarray(Net().conv.kernel.get_value())  # (2, 2, 1, 4); group g has outputs 2 g and 2 g + 1
    expected = 0.0
    for g in range(2):
        x, w = sample[..., g], kernel[:, :, 0, 2 * g : 2 * g + 2].reshape(4, 2)
        windows = np.stack([x[:, i : i + 2, j : j + 3] for i in (0, 1) for j in (0, 1)], axis=-1).reshape(-1, 4)
        code_x = np.rint(windows / np.abs(windows).max() * 7).astype(int)  # 4 bits: 3 of magnitude, one phase
        code_w = np.rint(w / np.abs(w).max() * 15).astype(int)
        for s in range(2):
            digit = np.sign(code_w) * (np.abs(code_w) >> 2 * s & 3)
            siemens = (2e-6 + np.abs(digit) * 13e-6).sum(axis=1)  # both polarities
            expected += 10e-9 * ((0.2 / 7 * code_x) ** 2 @ siemens).sum() / len(sample)
    assert float(estimated.layers["conv"].cost.energy["array"]) == pytest.approx(expected, rel=1e-4)


def test_totals_are_the_sums_of_the_layers(estimated):
    parts = [layer.cost for layer in estimated.layers.values()]
    assert estimated.energy_j == pytest.approx(sum(float(part.energy_j) for part in parts), rel=1e-6)
    assert estimated.area_m2 == pytest.approx(sum(float(part.area_m2) for part in parts), rel=1e-6)
    assert estimated.latency_s == pytest.approx(sum(float(part.latency_s) for part in parts), rel=1e-6)
    assert estimated.energy_j == pytest.approx(sum(float(v) for v in estimated.total.energy.values()), rel=1e-6)


def test_the_text_shows_layers_components_and_units(estimated):
    text = str(estimated)
    (row,) = (line for line in text.splitlines() if "conv" in line)
    for part in ("4 x 2 x 2", "6", "5/4/6", f"{float(estimated.layers['conv'].cost.energy_j):.3g}"):
        assert part in row, part
    (adc,) = (line for line in text.splitlines() if line.startswith("│ adc"))
    assert f"{float(estimated.total.energy['adc']) / estimated.energy_j:.1%}" in adc
    assert f"{estimated.energy_j:.3g}" in text
    assert all(unit in text for unit in ("energy, J", "latency, s", "area, m^2"))
    assert max(len(line) for line in text.splitlines()) <= 110


def test_a_plain_model_is_put_on_the_hardware_given_and_left_plain(sample):
    model = Net()
    found = cost.estimate(model, sample, hardware=HARDWARE)
    assert list(found.layers) == ["conv", "fc", "head"]
    assert imcjax.nn.operators(model) == {}
    again = cost.estimate(imcjax.convert(model, HARDWARE), sample)
    assert found.energy_j == again.energy_j
    with pytest.raises(UserError, match="has layers on hardware already"):
        cost.estimate(imcjax.convert(model, HARDWARE), sample, hardware=HARDWARE)


def test_calibrated_settings_count():
    model = imcjax.convert(nnx.Linear(6, 4, rngs=nnx.Rngs(0)), HARDWARE)
    x = np.abs(np.random.default_rng(0).normal(size=(32, 6))).astype(np.float32)
    before = cost.estimate(model, x)
    (operator,) = imcjax.nn.operators(model).values()
    operator.input_signed = False  # 8 bits of magnitude in 3 phases, as 7 bits are: the phases' voltages differ
    operator.set_range("input_range", 100 * x.max())
    after = cost.estimate(model, x)
    assert float(after.layers[""].cost.energy["array"]) < 0.1 * float(before.layers[""].cost.energy["array"])
    assert float(after.layers[""].cost.energy["adc"]) == float(before.layers[""].cost.energy["adc"])
    assert "(the model)" in str(after)


def test_every_layer_leaks_while_any_of_them_runs(sample, estimated):
    leaking = Technology(leakage_w_m2=15.0)
    leaky = [r if r.hardware is None else replace(r, hardware=r.hardware.replace(technology=leaking)) for r in RULES]
    found = cost.estimate(imcjax.convert(Net(), leaky), sample)
    for path, layer in found.layers.items():
        lost = 15.0 * float(estimated.layers[path].cost.area_m2) * estimated.latency_s
        assert float(layer.cost.energy["leakage"]) == pytest.approx(lost, rel=1e-5)
    assert found.energy_j == pytest.approx(estimated.energy_j + 15.0 * estimated.area_m2 * estimated.latency_s, rel=1e-5)
    assert "leakage" not in estimated.total.energy
    assert [s.energy_j for s in found.stages] == pytest.approx([s.energy_j for s in estimated.stages], rel=1e-5)
    assert "leakage" in str(found)


def test_writing_is_the_energy_of_every_cell(estimated):
    pulses = cost.programming.Pulses(volts=2.0, width_s=1e-7, count=5.0, read_s=1e-8, endurance=1e6)
    found = estimated.writing(pulses)
    kernel = np.asarray(Net().conv.kernel.get_value())
    siemens = 0.0
    for g in range(2):
        w = kernel[:, :, 0, 2 * g : 2 * g + 2].reshape(4, 2)
        code = np.abs(np.rint(w / np.abs(w).max() * 15).astype(int))
        siemens += sum((2e-6 + (code >> 2 * s & 3) * 13e-6).sum() for s in range(2))
    assert found.energy["conv"] == pytest.approx(4.0 * siemens * 5e-7, rel=1e-4)
    assert found.time["conv"] == pytest.approx(4 * 5 * 1.1e-7)  # four rows
    assert found.energy_j == pytest.approx(sum(found.energy.values()))
    assert found.rewrites == pytest.approx(2e5)
    assert found.inferences(estimated.energy_j) == pytest.approx(found.energy_j / estimated.energy_j)
    with pytest.raises(UserError, match=r"pulses\.volts is -1"):
        estimated.writing(replace(pulses, volts=-1.0))


class Blocks(nnx.Module):
    """Three equal layers under scan."""

    def __init__(self):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=0, out_axes=0)
        def make(rngs):
            return nnx.Linear(6, 6, rngs=rngs)

        self.blocks = make(nnx.Rngs(0))

    def __call__(self, x):
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def forward(x, block):
            return nnx.relu(block(x))

        return forward(x, self.blocks)


def test_every_layer_of_a_stack_counts():
    model, x = Blocks(), np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    found = cost.estimate(imcjax.convert(model, HARDWARE), x)
    assert list(found.layers) == ["blocks[0]", "blocks[1]", "blocks[2]"]
    seen = jnp.asarray(x)
    for k, layer in enumerate(found.layers.values()):
        kernel = model.blocks.kernel.get_value()[k]
        conductance = cost.row_conductance(kernel, HARDWARE, Settings())
        wanted = cost.layer_cost(
            layer.work, layer.bits, cost.measure(seen, Settings(), HARDWARE), conductance, HARDWARE, hard=True
        )
        assert float(layer.cost.energy_j) == pytest.approx(float(wanted.energy_j), rel=1e-4)
        seen = nnx.relu(seen @ kernel + np.asarray(model.blocks.bias)[k])
    assert found.area_m2 == pytest.approx(3 * float(found.layers["blocks[1]"].cost.area_m2), rel=1e-6)


def test_replicas_take_area_and_arrays_and_give_time():
    model, x = nnx.Conv(2, 4, (2, 2), padding="VALID", rngs=nnx.Rngs(0)), np.ones((2, 4, 4, 2), np.float32)
    one, three = (
        cost.estimate(imcjax.convert(model, [Rule(module_path=".*", hardware=HARDWARE, replicas=n)]), x) for n in (1, 3)
    )
    assert (one.layers[""].work.replicas, three.layers[""].work.replicas) == (1, 3)
    assert three.latency_s == pytest.approx(one.latency_s / 3, rel=1e-6)  # nine positions
    assert three.energy_j == pytest.approx(one.energy_j, rel=1e-6)
    assert float(three.total.area["array"]) == pytest.approx(3 * float(one.total.area["array"]), rel=1e-6)
    (alone,), (stage,) = one.stages, three.stages
    assert (stage.arrays, stage.positions, alone.positions) == (3 * alone.arrays, 3, 9)
    assert stage.positions * stage.position_s == pytest.approx(three.latency_s, rel=1e-6)
    pulses = cost.programming.Pulses(2.0, 1e-7, 1.0)
    assert three.writing(pulses).energy_j == pytest.approx(3 * one.writing(pulses).energy_j, rel=1e-6)


def test_what_cannot_be_costed_is_refused(sample):
    with pytest.raises(UserError, match=r"no layer on hardware; convert it first with imcjax\.convert, or give"):
        cost.estimate(Net(), sample)
    with pytest.raises(UserError, match=r"no nnx\.Linear or nnx\.Conv"):
        cost.estimate(nnx.Dropout(0.5), sample, hardware=HARDWARE)
    layer, x = nnx.Linear(6, 4, rngs=nnx.Rngs(0)), np.ones((2, 6), np.float32)
    for hardware, name in (
        (Hardware.ideal(), "dac.input_bits"),
        (HARDWARE.replace(adc=imcjax.converters.Adc(bits=None)), "adc.bits"),
        (HARDWARE.replace(encoding=imcjax.mapping.Differential()), "encoding.weight_bits"),
    ):
        with pytest.raises(UserError, match=f"hardware.{name} is absent"):
            cost.estimate(layer, x, hardware=hardware)
    with pytest.raises(UserError, match="NaN"):
        cost.estimate(layer, np.nan * x, hardware=HARDWARE)
    with pytest.raises(UserError, match="model is a function"):
        cost.estimate(lambda x: x, x)
    grouped = imcjax.convert(layer, [Rule(".*", HARDWARE, adc_bits=5)])
    grouped.dot_general.adc_bits.set_value(jnp.array([4.0, 6.0]))
    with pytest.raises(UserError, match="ADC widths of its own for each of 2 groups"):
        cost.estimate(grouped, x)


def test_the_cost_model_is_reached_without_flax():
    code = "import sys, imcjax; imcjax.cost.estimate, imcjax.cost.layer_cost; sys.exit('flax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
