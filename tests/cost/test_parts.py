"""The smaller components against numbers worked out by hand from their sources."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import (
    activation,
    adder_tree,
    dac,
    digital,
    domains,
    interconnect,
    leakage,
    memories,
    mux,
    programming,
)
from imcjax.technology import Technology


TECH, AT_32, AT_40 = Technology(), Technology(node_m=32e-9), Technology(node_m=40e-9)


def test_dacs():
    assert float(dac.charge_energy_j(4, TECH)) == pytest.approx(4 * 50e-15 * 0.81)
    assert float(dac.charge_energy_j(1, TECH)) == 0.0
    assert float(dac.charge_energy_j(2, TECH)) == pytest.approx(100e-15 * 0.81)
    assert float(dac.resistive_energy_j(3, AT_32)) == pytest.approx(4 * 0.417e-12)
    assert float(dac.resistive_area_m2(3, AT_32)) == pytest.approx(4 * 0.166e-12)
    assert float(dac.pulse_width_energy_j(2e-15, 0.5)) == pytest.approx(0.5e-15)
    assert float(dac.pulse_width_time_s(4, 1e-9)) == pytest.approx(15e-9)
    assert float(dac.serial_cycles(8, 2)) == 4


def test_floating_bitlines_dissipate_what_their_resistors_do():
    rng = np.random.default_rng(0)
    v, g = rng.uniform(0, 0.5, 6), rng.uniform(1e-6, 1e-4, (6, 3))
    expected = 0.0
    for j in range(3):
        settled = (g[:, j] * v).sum() / g[:, j].sum()
        expected += 1e-7 * (g[:, j] * (v - settled) ** 2).sum() + 1e-14 * settled**2
    found = jax.jit(domains.voltage_energy_j)(jnp.asarray(v), jnp.asarray(g), 1e-7, 1e-14)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_charge_and_sram_bitlines():
    # half ones: one of four reads charges a cell
    assert float(domains.charge_energy_j(0.5, 1000, 1e-15, 0.8)) == pytest.approx(0.25 * 1000 * 1e-15 * 0.64)
    assert float(domains.charge_energy_j(1.0, 1000, 1e-15, 0.8)) == 0.0
    assert float(domains.sram_energy_j(0.3, 128, TECH)) == pytest.approx(0.3 * 128 * 0.35e-15 * 0.81)


def test_writing():
    pulses = programming.Pulses(volts=2.0, width_s=100e-9, count=5.0, read_s=10e-9)
    assert float(programming.energy_j(1e-4, pulses)) == pytest.approx(1e-4 * 4 * 500e-9)
    assert float(programming.time_s(128, pulses)) == pytest.approx(128 * 5 * 110e-9)
    assert float(programming.lifetime_s(1e6, pulses, 60.0)) == pytest.approx(1e6 * 60 / 5)
    still = programming.Pulses(volts=2.0, width_s=100e-9, count=0.0)
    assert float(programming.lifetime_s(1e6, still, 60.0)) == np.inf
    with pytest.raises(UserError, match=r"pulses\.volts is -1 V"):
        programming.energy_j(1e-4, programming.Pulses(volts=-1.0, width_s=1e-7, count=1.0))


def test_multiplexer():
    assert float(mux.energy_j(1, TECH)) == 0.0
    assert float(mux.area_m2(1, TECH)) == 0.0
    # eight columns: two gates of 0.35 fF and half of three address bits on eight gates of 0.35 fF
    assert float(mux.energy_j(8, TECH)) == pytest.approx((0.7 + 0.5 * 3 * 8 * 0.35) * 1e-15 * 0.81)
    assert float(mux.area_m2(8, TECH)) == pytest.approx((4 + 8 * 2) * 0.614e-12)


def test_adder_trees_counted_gate_by_gate():
    # ripple carry: level k of the tree has n / 2^k sums of b + k - 1 bits, and each sum has as many full adders
    for n, b in ((2, 8), (8, 4), (64, 6)):
        levels = range(1, int(np.log2(n)) + 1)
        assert float(adder_tree.plain_adders(n, b)) == sum(n // 2**k * (b + k - 1) for k in levels)
    assert float(adder_tree.place_value_adders(8, 8)) == 76
    assert float(adder_tree.place_value_adders(1, 8)) == 0
    assert float(adder_tree.energy_j(76, TECH)) == pytest.approx(76 * digital.FULL_ADDER_J)
    assert float(adder_tree.area_m2(76, TECH)) == pytest.approx(76 * digital.FULL_ADDER_M2)
    assert float(adder_tree.delay_s(8, 7, TECH)) == pytest.approx((2 * 4.8 + 4.4 + 7 * 2) * 47.8e-12)


def test_interconnect():
    # 1000 bits, half of them rising, over 2 mm: 0.4 fF/um with repeaters
    assert float(interconnect.wire_energy_j(1000, 2e-3, TECH)) == pytest.approx(500 * 0.8e-12 * 0.81)
    assert float(interconnect.bus_length_m(4e-6)) == pytest.approx(1e-3)
    assert float(interconnect.h_tree_length_m(4e-6, 16)) == pytest.approx(2e-3 * (1 / 2 + 1 / 4))
    assert float(interconnect.h_tree_length_m(4e-6, 1)) == 0
    assert float(interconnect.router_energy_j(256, AT_32)) == pytest.approx(20.74e-12)
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 16, (2, 2, 100_000))
    assert float(interconnect.mesh_hops(256)) == pytest.approx(np.abs(ends[0] - ends[1]).sum(0).mean(), rel=0.01)
    hop = 20.74e-12 / 256 * 8 + 4 * 0.4e-9 * 1e-3 * 0.81
    assert float(interconnect.mesh_energy_j(8, 3, 1e-6, AT_32)) == pytest.approx(3 * hop)
    assert float(interconnect.link_energy_j(128)) == pytest.approx(26e-12)
    assert float(interconnect.edram_bus_energy_j(10, AT_32)) == pytest.approx(0.54e-12)


def test_memories():
    bank = 256 * 1024 * 8
    assert float(memories.sram_energy_j(bank, 512, TECH)) == pytest.approx(416e-12)
    assert float(memories.sram_energy_j(bank, 512, TECH, write=True)) == pytest.approx(378e-12)
    assert float(memories.sram_energy_j(bank / 4, 256, TECH)) == pytest.approx(208e-12 * 0.5**0.78)
    assert float(memories.register_energy_j(32, AT_40)) == pytest.approx(32 * 9e-15)
    assert float(memories.register_area_m2(32, AT_40)) == pytest.approx(32 * 5.98e-12)
    assert float(memories.dram_energy_j(64)) == pytest.approx(700e-12)
    assert float(memories.dram_energy_j(64, write=True)) == pytest.approx(750e-12)
    assert float(memories.dram_time_s(1e9, 1e11)) == pytest.approx(0.01)


def test_activation_and_leakage():
    assert float(activation.sigmoid_energy_j(AT_32)) == pytest.approx(0.26e-3 / 1.2e9)
    assert float(activation.max_pool_energy_j(AT_32)) == pytest.approx(0.4e-3 / 1.2e9)
    assert float(activation.relu_energy_j(32, AT_40)) == pytest.approx(29.5e-15)
    assert float(activation.scale_and_shift_energy_j(16, AT_40)) == pytest.approx(12.68e-12 / 4 + 0.105e-12)
    assert float(activation.scale_and_shift_area_m2(16, AT_40)) == pytest.approx((6350 / 4 + 139) * 1e-12)
    assert float(leakage.energy_j(17.9, 45.55e-6, 1.456e-3)) == pytest.approx(1.19e-6, rel=5e-3)
    with pytest.raises(UserError, match="watt_per_m2 is -1"):
        leakage.energy_j(-1.0, 1e-6, 1e-3)


def test_slopes_are_finite_at_the_ends():
    functions = [
        lambda x: dac.charge_energy_j(x, TECH),
        lambda x: mux.energy_j(x, TECH) + mux.area_m2(x, TECH),
        lambda x: adder_tree.place_value_adders(x, 8.0),
        lambda x: interconnect.h_tree_length_m(1e-6, x),
    ]
    for f in functions:
        slopes = jax.jit(jax.vmap(jax.grad(f)))(jnp.asarray([1.0, 1.5, 2.0, 7.3]))
        assert np.isfinite(np.asarray(slopes)).all()
