"""The closed form of NeuroSim's layer and the published macros: numbers worked out by hand, ranges. (Figures: experiments.)"""

import dataclasses

import jax
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import neurosim
from imcjax.cost.macros import AnalogSram, C2c22, Jia65, Neurram130, Sinangil7
from imcjax.cost.neurosim import Layer, Neurosim
from imcjax.technology import Technology


LAYER = Layer(vectors=25, kernels=9, n_in=128, n_out=128)
costs = jax.jit(lambda design, layer: neurosim.energy_j(design, layer))  # compiled once for designs of one structure
slopes_of = jax.jit(jax.grad(lambda design: sum(neurosim.energy_j(design, LAYER).values()) * 1e9))


def test_a_layers_conversions_and_components_by_hand():
    design = Neurosim(converter="sar", level_j=0.0, line_f=1e-16, accumulate_j=2e-15, row_j=3e-15, move_j=5e-15)
    found = {name: float(value) for name, value in costs(design, LAYER).items()}
    conversions = 25 * 8 * 9 * 1024
    siemens = 0.18 * 128 * (0.5 / 125e3 + 0.5 / 1.725e6)
    watt = (0.538 * 5 + 4.3753) * 1e-6 + 0.072341 * siemens * 0.55 / 0.5
    assert found["adc"] == pytest.approx(conversions * watt * 6e-9, rel=2e-3)
    assert found["array"] == pytest.approx(conversions * 128 * 0.18 * 8 * 1e-16 * 1.21, rel=1e-5)
    assert found["accumulation"] == pytest.approx(conversions * (5 + np.log2(9) + 1) * 2e-15, rel=1e-5)
    assert found["rows"] == pytest.approx(conversions * 8 * 3e-15, rel=1e-5)
    assert found["interconnect"] == pytest.approx(conversions * 5e-15, rel=1e-5)


@pytest.mark.parametrize(
    ("design", "ones", "nj"),
    [({}, 0.18, 259.0), ({"adc_bits": 4}, 0.18, 185.0), ({}, 0.501, 349.4), ({"r_on": 6e3, "r_off": 102e3}, 0.18, 497.0)],
)
def test_the_calibrated_design_gives_what_neurosim_printed(design, ones, nj):
    layer = dataclasses.replace(LAYER, input_ones=ones)
    assert float(sum(costs(Neurosim(**design), layer).values())) == pytest.approx(nj * 1e-9, rel=0.05)


def test_weights_do_not_matter_to_sram_and_do_to_rram():
    def total(memory, ones):
        layer = dataclasses.replace(LAYER, weight_ones=ones)
        return float(sum(costs(Neurosim(memory=memory), layer).values()))

    assert total("sram", 0.1) == total("sram", 0.9)
    assert total("rram", 0.1) < total("rram", 0.9)


@pytest.mark.slow
def test_every_number_of_a_design_has_a_slope():
    slopes = slopes_of(Neurosim())
    assert all(np.isfinite(float(s)) for s in jax.tree.leaves(slopes))
    assert float(slopes.adc_bits) > 0
    assert float(slopes.r_on) < 0
    assert float(slopes.mux) > 0


def test_outside_its_nodes_neurosim_is_asked_for():
    seven = Neurosim(node_m=7e-9)
    with pytest.raises(UserError, match=r"neurosim: node_m is 7e-09 m, its range is 2\.2e-08 to 6\.5e-08 m"):
        neurosim.energy_j(seven, LAYER)
    assert float(sum(costs(seven, LAYER).values())) > 0  # traced numbers pass
    with pytest.raises(UserError, match=r"layer\.input_ones is 2"):
        neurosim.energy_j(Neurosim(), dataclasses.replace(LAYER, input_ones=2.0))
    with pytest.raises(UserError, match=r"neurosim\.memory is 'dram'"):
        neurosim.energy_j(Neurosim(memory="dram"), LAYER)


def test_operations_as_neurosim_counts_them():
    assert neurosim.counted_macs(32, 3, 3, 128) == 1024 * 27 * 128
    assert neurosim.simulated_macs(32, 3, 1, 3, 128) == 900 * 27 * 128


def test_analog_sram_is_smooth_and_scales():
    macro, tech = AnalogSram(dac_bits=2), Technology()
    assert float(macro.energy_j(tech)["adc"]) == pytest.approx(1024 * 865.536e-15 * 0.81, rel=1e-5)
    assert float(macro.clock_s(tech)["accumulator"]) == pytest.approx((4.4 + 14) * 47.8e-12, rel=1e-5)
    parallel = AnalogSram(dac_bits=8)  # the whole input in one cycle: nothing to accumulate over time
    assert float(parallel.clock_s(tech)["accumulator"]) == 0
    cost = jax.jit(jax.grad(lambda m: sum(m.energy_j(tech).values()) * 1e12 + sum(m.area_m2(tech).values()) * 1e6))
    slopes = cost(macro)
    assert all(np.isfinite(float(s)) for s in jax.tree.leaves(slopes))


def test_macros_follow_their_stated_laws():
    assert float(Sinangil7().energy_j(0.0)) == pytest.approx(Sinangil7().fixed_j)
    assert float(Sinangil7().energy_j(15.0)) == pytest.approx(Sinangil7().fixed_j + 15 * Sinangil7().level_j)
    assert np.isfinite(float(jax.grad(lambda m: Sinangil7().energy_j(m) * 1e12)(0.0)))
    assert float(Neurram130().phases(1)) == 1
    assert float(Neurram130().phases(8)) == 7
    assert float(sum(Jia65().energy_j(1.7).values())) == pytest.approx(4 * (1.79 + 9.7 + 8.3) * 1e-12)
    assert float(sum(C2c22().energy_j(1.0).values())) == pytest.approx(1e-12 / 16.376)
    assert float(C2c22().tops(1.0)) == pytest.approx(3.596 * 0.124)
    with pytest.raises(UserError, match=r"supply_v is 0\.5 V, its range is 0\.7 to 1\.1 V"):
        C2c22().energy_j(0.5)


def test_neurosims_clock_and_latency():
    # its runs with 5 bits, and the clock with 8
    five, eight = (Neurosim(converter="sar", adc_bits=bits) for bits in (5, 8))
    assert float(neurosim.clock_s(five)) == pytest.approx(8.52e-9, rel=1e-3)
    assert float(neurosim.clock_s(eight)) == pytest.approx(12.72e-9, rel=1e-3)
    assert float(neurosim.latency_s(five, LAYER, neurosim.clock_s(five))) == pytest.approx(13.3e-6, rel=0.05)
    slope = jax.grad(lambda b: neurosim.latency_s(five, LAYER, neurosim.clock_s(dataclasses.replace(five, adc_bits=b))))(5.0)
    assert float(slope) == pytest.approx(25 * 8 * 8 * 1.4e-9, rel=1e-5)
    with pytest.raises(UserError, match="clock with a flash converter is not modelled"):
        neurosim.clock_s(neurosim.RRAM_22)
