"""What an estimate can be asked for besides: other ADC models, extrapolation, sweeps, elasticities, roofs, schedules."""

import jax
import numpy as np
import pytest
from flax import nnx

from imcjax import UserError, cost
from imcjax.cost import adc
from imcjax.technology import Technology

from .example import HARDWARE


@pytest.fixture(scope="module")
def found():
    x = np.random.default_rng(1).normal(size=(4, 40)).astype(np.float32)
    return cost.estimate(nnx.Linear(40, 20, rngs=nnx.Rngs(0)), x, hardware=HARDWARE)


def test_another_adc_model_changes_the_adc_alone(found):
    other = cost.again(found, lambda h, b: (h, b), converter=adc.Isaac())
    tech = HARDWARE.technology
    a, b = found.total, other.total
    assert float(b.energy["adc"] / a.energy["adc"]) == pytest.approx(
        float(adc.Isaac().energy_j(8, tech) / adc.energy_j(8, tech)), rel=1e-5
    )
    assert float(b.area["adc"] / a.area["adc"]) == pytest.approx(
        float(adc.Isaac().area_m2(8, tech) / adc.area_m2(8, tech)), rel=1e-5
    )
    assert all(float(a.energy[name]) == float(b.energy[name]) for name in a.energy if name != "adc")


def test_the_column_current_reaches_the_models_that_ask(found):
    other = cost.again(found, lambda h, b: (h, b), converter=adc.NeurosimSar())
    (layer,) = found.layers.values()
    # mean conductance of a driven column: sum V^2 G over v_read^2 and conversions
    volts = np.asarray(layer.measured.activity.volts_squared, float)[..., 7, :].ravel()
    dissipated = volts @ np.asarray(layer.measured.conductance, float).ravel()
    siemens = dissipated / 0.2**2 / float(cost.conversions(layer.work, layer.bits, HARDWARE))
    each = adc.NeurosimSar().energy_j(8, HARDWARE.technology, adc.Column(16, siemens, 0.2))
    conversions = float(cost.conversions(layer.work, layer.bits, HARDWARE))
    assert float(other.total.energy["adc"]) == pytest.approx(float(each) * conversions, rel=1e-4)


def test_extrapolation_is_asked_for_and_marked(found):
    def hot(h, b):
        return h.replace(technology=Technology(supply_v=1.6)), b

    with pytest.raises(UserError, match=r"supply_v at the node of 28 nm is 1\.6 V"):
        cost.again(found, hot)
    marked = cost.again(found, hot, extrapolate=True)
    (said,) = marked.extrapolated
    assert "supply_v" in said
    assert "supply_v" in str(marked)
    assert marked.energy_j > found.energy_j
    assert found.extrapolated == ()


def test_sweeps(found):
    name, values = cost.sweep.parse("adc_bits=4:10:2")
    assert (name, values) == ("adc_bits", [4, 6, 8, 10])
    assert cost.sweep.parse("supply_v=0.8,0.9") == ("supply_v", [0.8, 0.9])
    rows = cost.sweep.sweep(found, name, values)
    assert rows[2].energy_j == pytest.approx(found.energy_j, rel=1e-6)
    assert np.all(np.diff([row.energy_j for row in rows]) > 0)
    (nodes,) = cost.sweep.sweep(found, "node_nm", [28.0])
    assert nodes.area_m2 == pytest.approx(found.area_m2, rel=1e-5)
    for text, message in (
        ("adc_bit=4:10", r"'adc_bit' cannot be swept \(nearest: adc_bits"),
        ("adc_bits=4:x", "is not name=first:last"),
        ("adc_bits", "is not name=first:last"),
        ("adc_bits=9:4", "has no values"),
    ):
        with pytest.raises(UserError, match=message):
            cost.sweep.parse(text)
    with pytest.raises(UserError, match="bits is 9 bits, its range is 1 to 8 bits"):
        cost.sweep.sweep(found, "adc_bits", [9.0], converter=adc.NeurosimFlash())
    for values in ([20.0], [4.5]):
        with pytest.raises(UserError, match="adc_bits is"):
            cost.sweep.sweep(found, "adc_bits", values)
    with pytest.raises(UserError, match=r"input_bits is 9; give whole numbers in \[1, 8\]"):
        cost.sweep.sweep(found, "input_bits", [9.0])


def test_elasticities_are_those_of_differences(found):
    slopes = cost.of_energy(found)
    assert abs(next(iter(slopes.values()))) == max(abs(s) for s in slopes.values())
    scaled = cost.again(found, lambda h, b: (h.replace(technology=Technology(supply_v=0.9 * 1.001)), b))
    assert slopes["technology.supply_v"] == pytest.approx(1000 * (scaled.energy_j / found.energy_j - 1), rel=0.02)
    assert slopes["technology.adc_energy_scale"] == pytest.approx(float(found.total.energy["adc"]) / found.energy_j, rel=1e-3)
    assert slopes["conductance"] == pytest.approx(float(found.total.energy["array"]) / found.energy_j, rel=1e-3)
    both = float(found.total.energy["array"] + found.total.energy["wordline"])
    assert slopes["read_v"] == pytest.approx(2 * both / found.energy_j, rel=1e-3)
    assert "technology.node_m" in slopes
    with pytest.raises(UserError, match="of a positive one"):
        cost.elasticities(lambda p: -p * 1.0, 2.0)
    assert cost.elasticities(lambda p: p[0] ** 3 * p[1], (2.0, 5.0)) == pytest.approx({"[0]": 3.0, "[1]": 1.0})


def test_roofs_bound_what_is_reached(found):
    (layer,) = found.layers.values()
    roof = cost.roofline(layer)
    assert roof.reached < min(roof.compute, roof.memory, roof.adc)
    # the three times and the adder's add up to the layer's
    ops = 2 * 40 * 20
    parts = sum(ops / getattr(roof, name) for name in ("compute", "memory", "adc"))
    adding = float(cost.digital.delay_s(layer.bits, 4, 3, HARDWARE.technology))
    assert parts + adding == pytest.approx(float(layer.cost.latency_s), rel=1e-4)
    assert roof.bound == "adc"
    assert roof.intensity == pytest.approx(ops / (60 * 8))


def test_an_estimate_goes_on_an_architecture(found):
    made = cost.schedule(found.stages, cost.architecture("isaac"))
    assert float(made.energy_j) == pytest.approx(found.energy_j, rel=1e-6)
    assert float(made.latency_s) == pytest.approx(found.latency_s, rel=1e-6)
    (stage,) = found.stages
    assert stage.arrays == 3 * 2 * 4 * 2  # tiles, slices, plus and minus
    assert float(made.macs) == 800


def test_gradients_reach_the_adc_models_own_numbers(found):
    (layer,) = found.layers.values()

    def energy(model):
        m = layer.measured
        return cost.layer_cost(
            layer.work, layer.bits, m.activity, m.conductance, HARDWARE, hard=False, converter=model
        ).energy_j

    slope = jax.grad(energy)(adc.Survey())
    assert float(slope.energy_scale) > 0
