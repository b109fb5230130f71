"""Each component against numbers worked out by hand from its source."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.cost import Bits, adc, array, buffers, digital, drivers
from imcjax.technology import Technology


TECH = Technology()  # 28 nm, 0.9 V


@pytest.mark.parametrize(
    "bits, pj, um2", [(4, 0.324, 183), (5, 0.406, 336), (6, 0.489, 618), (8, 0.701, 2085), (10, 1.66, 7036)]
)
def test_adc_at_28_nm(bits, pj, um2):
    assert float(adc.energy_j(bits, TECH)) == pytest.approx(pj * 1e-12, rel=2e-3)
    assert float(adc.area_m2(bits, TECH)) == pytest.approx(um2 * 1e-12, rel=2e-3)


def test_adc_time_at_28_nm():
    # 8 bits on 128 rows: 8 x (0.00653 x 128 + 0.640) ns
    assert float(adc.conversion_time_s(8, 128, TECH)) == pytest.approx(11.807e-9, rel=1e-4)


@pytest.mark.parametrize("node, supply", [(28e-9, 0.9), (7e-9, 0.7), (180e-9, 1.8)])
def test_adc_rises_with_every_fraction_of_a_bit(node, supply):
    tech = Technology(node_m=node, supply_v=supply)
    bits = jnp.linspace(1, 14, 66)
    for cost in (adc.energy_j, adc.area_m2, lambda b, t: adc.conversion_time_s(b, 128, t)):
        assert (jax.vmap(jax.grad(lambda b, cost=cost: cost(b, tech)))(bits) > 0).all()


def test_adc_scales_multiply():
    scaled = Technology(adc_energy_scale=3.0, adc_area_scale=0.5)
    assert float(adc.energy_j(6, scaled)) == pytest.approx(3 * float(adc.energy_j(6, TECH)))
    assert float(adc.area_m2(6, scaled)) == pytest.approx(0.5 * float(adc.area_m2(6, TECH)))


def test_dac_takes_its_capacitance_and_one_bit_takes_nothing():
    assert float(drivers.dac_energy_j(4, TECH)) == pytest.approx(4 * 50e-15 * 0.81)
    assert float(drivers.dac_energy_j(1, TECH)) == 0.0
    at_32 = Technology(node_m=32e-9)
    assert float(drivers.area_m2(1, at_32)) == pytest.approx(0.166e-12)
    assert float(drivers.area_m2(4, at_32)) == pytest.approx(8 * 0.166e-12)


def test_wordline_takes_c_v_squared():
    # 128 cells of 0.35 fF at 0.2 V; half the node, half the capacitance
    assert float(drivers.wordline_energy_j(0.2**2, 128, TECH)) == pytest.approx(128 * 0.35e-15 * 0.04)
    assert float(drivers.wordline_energy_j(0.2**2, 128, Technology(node_m=14e-9))) == pytest.approx(64 * 0.35e-15 * 0.04)


def test_array_is_cells_of_f_squared_and_reads_dissipate():
    assert float(array.area_m2(128, 64, TECH)) == pytest.approx(128 * 64 * 30 * (28e-9) ** 2)
    volts, siemens = np.array([0.04, 0.01]), np.array([1e-4, 3e-4])
    assert float(array.energy_j(volts, siemens, TECH)) == pytest.approx(10e-9 * (0.04 * 1e-4 + 0.01 * 3e-4))


def test_gates_at_28_nm():
    gates = [digital.FULL_ADDER_J, digital.FLIP_FLOP_J, digital.FULL_ADDER_M2, digital.FLIP_FLOP_M2]
    np.testing.assert_allclose(gates, [3.402e-15, 1.701e-15, 4.7892e-12, 3.684e-12])


def test_shift_and_add_counted_by_hand():
    # 3 slices: 2 adders of 6 + 5 bits; accumulator of 6 + 5 + 4 + log2(2) = 16 adders and flip-flops
    bits = Bits(5, 4, 6)
    assert float(digital.energy_j(bits, 3, 2, TECH)) == pytest.approx((22 * 3.402 + 16 * (3.402 + 1.701)) * 1e-15)
    expected = (2 * (22 + 16) * 4.7892 + 12 * 16 * 3.684) * 1e-12  # two chains, twelve registers
    assert float(digital.area_m2(bits, 3, 2, 2.0, 12, TECH)) == pytest.approx(expected)
    # tree: log2(3) x two XOR2; chain: XOR2 + 2 NAND2, then 15 bits of two NAND2
    expected = (np.log2(3) * 2 * 2.4 + (2.4 + 2) + 15 * 2) * 47.8e-12
    assert float(digital.delay_s(bits, 3, 2, TECH)) == pytest.approx(expected)


def test_buffer_is_isaacs_at_32_nm():
    at_32 = Technology(node_m=32e-9)
    assert float(buffers.energy_j(at_32)) == pytest.approx(79.9e-15, rel=1e-3)
    assert float(buffers.area_m2(at_32)) * 64 * 1024 * 8 == pytest.approx(0.083e-6)
    assert float(buffers.time_s(512, at_32)) == pytest.approx(2e-9)
