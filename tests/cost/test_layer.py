import dataclasses
import time
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, UserError, cost
from imcjax.cost import Bits, adc, buffers, digital, drivers
from imcjax.cost.layer import _digits
from imcjax.pytree import replace
from imcjax.technology import Technology

from .example import HARDWARE, WORK, data, measured


def leaves(c: cost.Cost) -> np.ndarray:
    return np.array([float(leaf) for leaf in jax.tree.leaves(c)])


def test_conversions_and_every_component_counted_by_hand():
    # 7-bit weights: 6 bits of magnitude in 2-bit cells, 3 slices; 5-bit inputs: 4 bits of magnitude by a 3-bit DAC, 2 phases.
    # 40 x 20 on 16 x 12 arrays: 3 x 2 tiles of 14 x 10; 36 arrays; 12 / 4 ADCs a tile and slice; 3 positions.
    bits = Bits(7, 5, 6)
    activity, siemens = measured(bits)
    found = cost.layer_cost(WORK, bits, activity, siemens, HARDWARE, hard=True)
    tech = HARDWARE.technology
    assert float(cost.conversions(WORK, bits, HARDWARE)) == 3 * 2 * 3 * 3 * 20
    volts = np.asarray(activity.volts_squared[4], float)
    energy = {
        "adc": 1080 * adc.energy_j(6, tech),
        "array": 3 * 10e-9 * volts @ np.asarray(siemens, float),
        "wordline": 3 * volts.sum() * 0.35e-15 * (3 * 2 * 2 * 12),
        "dac": 3 * 2 * 40 * (3 * 2 * 2) * drivers.dac_energy_j(3, tech),
        "digital": 3 * 2 * 3 * 20 * digital.energy_j(bits, 3, 3, tech),
        "buffer": 3 * (40 + 20) * 5 * buffers.energy_j(tech),
    }
    area = {
        "adc": 3 * 6 * 3 * adc.area_m2(6, tech),
        "array": 36 * 16 * 12 * 30 * (28e-9) ** 2,
        "dac": 36 * 16 * drivers.area_m2(3, tech),
        "digital": 6 * digital.area_m2(bits, 3, 3, 3.0, 12, tech),
        "buffer": (40 * 5 + 3 * 20 * 5) * buffers.area_m2(tech),
    }
    phase = 10e-9 + 4 * adc.conversion_time_s(6, 16, tech)
    latency = 3 * (buffers.time_s(200, tech) + 2 * phase + digital.delay_s(bits, 3, 3, tech) + buffers.time_s(100, tech))
    assert found.energy.keys() == energy.keys()
    assert found.area.keys() == area.keys()
    for name, value in energy.items():
        assert float(found.energy[name]) == pytest.approx(float(value), rel=1e-5), name
    for name, value in area.items():
        assert float(found.area[name]) == pytest.approx(float(value), rel=1e-5), name
    assert float(found.latency_s) == pytest.approx(float(latency), rel=1e-5)
    assert float(found.energy_j) == pytest.approx(float(sum(energy.values())), rel=1e-5)
    assert float(found.area_m2) == pytest.approx(float(sum(area.values())), rel=1e-5)


def test_array_energy_is_the_sum_over_every_cell_vector_and_phase():
    x, w = data()
    bits = Bits(6, 7, 8)
    activity, siemens = measured(bits)
    found = cost.layer_cost(replace_positions(7), bits, activity, siemens, HARDWARE, hard=True).energy["array"]
    code_w = np.rint(w / np.abs(w).max() * 31).astype(int)
    code_x = np.rint(x / np.abs(x).max() * 63).astype(int)
    expected = 0.0
    for v in range(7):
        for p in range(2):
            volts = 0.2 / 7 * np.sign(code_x[v]) * (np.abs(code_x[v]) >> 3 * p & 7)
            for s in range(3):
                digit = np.sign(code_w) * (np.abs(code_w) >> 2 * s & 3)
                for polarity in (1, -1):
                    g = 1e-6 + np.maximum(polarity * digit, 0) * 13e-6
                    expected += 10e-9 * (volts[:, None] ** 2 * g).sum()
    assert float(found) == pytest.approx(expected, rel=1e-5)


def replace_positions(positions: int) -> cost.Work:
    return cost.Work("fc", n_in=40, n_out=20, positions=positions)


def test_groups_are_layers_side_by_side():
    bits = Bits(7, 5, 6)
    one = cost.layer_cost(WORK, bits, *measured(bits), HARDWARE, hard=True)
    activity, siemens = measured(bits)
    grouped = cost.Activity(jnp.stack([activity.volts_squared, 2 * activity.volts_squared]))
    work = cost.Work("conv", n_in=40, n_out=20, groups=2, positions=3)
    two = cost.layer_cost(work, bits, grouped, jnp.stack([siemens, 3 * siemens]), HARDWARE, hard=True)
    for name in ("adc", "dac", "digital", "buffer"):
        assert float(two.energy[name]) == pytest.approx(2 * float(one.energy[name]), rel=1e-5)
        assert float(two.area[name]) == pytest.approx(2 * float(one.area[name]), rel=1e-5)
    assert float(two.energy["array"]) == pytest.approx(7 * float(one.energy["array"]), rel=1e-5)
    assert float(two.energy["wordline"]) == pytest.approx(3 * float(one.energy["wordline"]), rel=1e-5)


def test_copies_take_their_area_and_share_the_positions():
    bits = Bits(6.0, 5.0, 7.0)
    one, two = (
        cost.layer_cost(dataclasses.replace(WORK, replicas=copies), bits, *measured(bits), HARDWARE, hard=True)
        for copies in (1, 2)
    )
    assert two.energy_j == one.energy_j
    for part in ("adc", "array", "dac", "digital"):
        assert two.area[part] == pytest.approx(2 * one.area[part])
    assert two.area["buffer"] == one.area["buffer"]
    assert two.latency_s == pytest.approx(one.latency_s * 2 / 3)  # three positions: the first copy computes two


def test_soft_and_hard_agree_exactly_at_whole_bits():
    activity, siemens = measured(Bits(8, 8, 8))
    both = jax.jit(lambda b: [cost.layer_cost(WORK, b, activity, siemens, HARDWARE, hard=hard) for hard in (True, False)])
    for b in ((2, 2, 2), (4, 3, 5), (5, 8, 8), (8, 4, 3), (8, 8, 8)):
        hard, soft = both(Bits(*b))
        np.testing.assert_array_equal(leaves(hard), leaves(soft))


def test_counts_are_whole_at_whole_bits_and_linear_between():
    def count(w, x):
        return tuple(float(n) for n in cost.counts(WORK, Bits(w, x, 8), HARDWARE))

    assert [count(b, b) for b in (2, 3, 4, 5, 8)] == [(1, 1), (1, 1), (2, 1), (2, 2), (4, 3)]
    assert count(3.25, 7.5) == (1.25, 2.5)
    slope = jax.grad(lambda b: cost.counts(WORK, Bits(b, 8.0, 8.0), HARDWARE)[0])
    assert [float(slope(b)) for b in (3.0, 3.5, 4.0, 4.5)] == [0.5, 1.0, 0.5, 0.0]
    unsigned = cost.Work("fc", 40, 20, input_signed=False)
    assert float(cost.counts(unsigned, Bits(8, 7, 8), HARDWARE)[1]) == 3


@pytest.mark.parametrize("digit_bits", [1, 2, 3, 4])
def test_digits_and_their_slopes_are_those_of_the_broken_line(digit_bits):
    at = np.arange(0, 17)
    line = np.maximum(np.ceil(at / digit_bits), 1)  # at whole magnitudes
    between = np.arange(1, 16, 0.25)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda m: _digits(m, digit_bits))))(jnp.asarray(between))
    np.testing.assert_allclose(values, np.interp(between, at, line), rtol=1e-6)
    sides = [(np.interp(between + s * 0.125, at, line) - np.interp(between, at, line)) / (s * 0.125) for s in (-1, 1)]
    np.testing.assert_allclose(slopes, np.mean(sides, 0), atol=1e-6)


def test_many_designs_at_once_are_each_on_its_own():
    known = cost.facts(WORK, *measured(Bits(7, 5, 6)), HARDWARE)
    designs = Bits(*jnp.asarray([[3.5, 7.0], [4.0, 5.25], [6.0, 7.5]]))
    together = cost.cost_of(known, designs, HARDWARE, hard=False)
    for k in range(2):
        alone = cost.cost_of(known, jax.tree.map(lambda b, k=k: b[k], designs), HARDWARE, hard=False)
        for one, both in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(np.broadcast_to(both, 2)[k], one, rtol=1e-6)


def test_hard_rounds_and_keeps_the_gradient():
    activity, siemens = measured(Bits(8, 8, 8))

    def energy(b, hard):
        return cost.layer_cost(WORK, Bits(6.0, 5.0, b), activity, siemens, HARDWARE, hard=hard).energy_j

    assert float(energy(6.4, True)) == float(energy(6.0, False))
    assert float(jax.grad(energy)(6.4, True)) == pytest.approx(float(jax.grad(energy)(6.0, False)), rel=1e-6)


@pytest.mark.slow
def test_gradients_against_finite_differences():
    with jax.enable_x64(True):
        activity, siemens = measured(Bits(8, 8, 8))
        names = [
            "weight",
            "input",
            "adc",
            "share",
            "node_m",
            "supply_v",
            "read_time_s",
            "cell_area_f2",
            "energy",
            "area",
            "siemens",
        ]
        start = np.array([5.3, 4.6, 6.2, 3.5, 25e-9, 0.8, 8e-9, 25.0, 1.2, 0.8, 1.0])

        @jax.jit
        @jax.vmap
        def log_cost(v):
            tech = Technology(v[4], v[5], v[6], v[7], v[8], v[9])
            hardware = HARDWARE.replace(technology=tech, adc=replace(HARDWARE.adc, share=v[3]))
            c = cost.layer_cost(WORK, Bits(v[0], v[1], v[2]), activity, v[10] * siemens, hardware, hard=False)
            return jnp.log(jnp.stack([c.energy_j, c.area_m2, c.latency_s]))

        points = np.stack(
            [start, np.where(np.arange(11) < 3, [6, 5, 7, *start[3:]], start)]
        )  # inside pieces, and at whole bits
        slopes = np.asarray(jax.jit(jax.vmap(jax.jacrev(lambda v: log_cost(v[None])[0])))(points))
        for k, name in enumerate(names):
            step = np.zeros(11)
            step[k] = 1e-6 * start[k]
            differences = (np.asarray(log_cost(points + step)) - np.asarray(log_cost(points - step))) / (2 * step[k])
            np.testing.assert_allclose(slopes[..., k] * start[k], differences * start[k], rtol=1e-5, atol=1e-8, err_msg=name)


def test_every_gradient_is_finite_over_the_whole_range_of_bits():
    activity, siemens = measured(Bits(8, 8, 8))

    def all_costs(bits):
        c = cost.layer_cost(WORK, bits, activity, siemens, HARDWARE, hard=False)
        return c.energy_j * 1e12 + c.area_m2 * 1e12 + c.latency_s * 1e9

    b = jnp.linspace(1, 16, 61)
    grads = jax.jit(jax.vmap(jax.grad(all_costs)))(Bits(b, b, b))
    for grad in jax.tree.leaves(grads):
        assert np.isfinite(grad).all()
    assert (grads.adc > 0).all()
    assert (grads.weight >= 0).all()


def test_a_sweep_over_bits_and_hardware_compiles_once():
    activity, siemens = measured(Bits(8, 8, 8))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def sweep(bits, node):
        hardware = HARDWARE.replace(technology=Technology(node_m=node))
        return jax.vmap(lambda b: cost.layer_cost(WORK, b, activity, siemens, hardware, hard=False).energy_j)(bits)

    n = 20_000
    rng = np.random.default_rng(0)
    for node in (22e-9, 28e-9, 45e-9):
        bits = Bits(*(jnp.asarray(rng.uniform(2, 8, n), jnp.float32) for _ in range(3)))
        start = time.perf_counter()
        found = sweep(bits, node).block_until_ready()
        taken = time.perf_counter() - start
        assert found.shape == (n,)
    # the last two calls ran compiled; typically above 1e6 designs a second on one core, here with room for a busy machine
    assert n / taken > 5e4
    one = cost.layer_cost(WORK, jax.tree.map(lambda b: b[7], bits), activity, siemens, HARDWARE_45, hard=False)
    assert float(found[7]) == pytest.approx(float(one.energy_j), rel=1e-5)


HARDWARE_45 = HARDWARE.replace(technology=Technology(node_m=45e-9))


def test_total_adds_layers():
    bits = Bits(7, 5, 6)
    one = cost.layer_cost(WORK, bits, *measured(bits), HARDWARE, hard=True)
    np.testing.assert_allclose(leaves(cost.total([one, one, one])), 3 * leaves(one), rtol=1e-6)
    with pytest.raises(UserError, match="no layer"):
        cost.total([])


def test_work_is_static_and_tiles_as_the_pipeline_does():
    tiling = WORK.tiling(HARDWARE)
    assert (tiling.row_tiles, tiling.col_tiles, tiling.tile_rows, tiling.tile_cols) == (3, 2, 14, 10)
    assert hash(WORK) == hash(cost.Work("fc", 40, 20, positions=3))


def test_wrong_input_is_refused():
    bits = Bits(7, 5, 6)
    activity, siemens = measured(bits)
    with pytest.raises(UserError, match=r"weight_bits is absent"):
        cost.layer_cost(WORK, bits, activity, siemens, Hardware.ideal(), hard=True)
    with pytest.raises(UserError, match=r"bits of fc\.adc is 40"):
        cost.layer_cost(WORK, Bits(7, 5, 40), activity, siemens, HARDWARE, hard=True)
    with pytest.raises(UserError, match=r"supply_v at the node of 7 nm"):
        cost.layer_cost(WORK, bits, activity, siemens, HARDWARE.replace(technology=Technology(7e-9, 1.5)), hard=True)
    for name, given, value in (("adc_energy_scale", "-1", -1.0), ("read_time_s", "-1", -1.0), ("leakage_w_m2", "-2", -2.0)):
        wrong = HARDWARE.replace(technology=Technology(**{name: value}))
        with pytest.raises(UserError, match=rf"technology\.{name} is {given}"):
            cost.layer_cost(WORK, bits, activity, siemens, wrong, hard=True)
    missing: Any = None
    with pytest.raises(UserError, match=r"statistics of fc are missing: give activity"):
        cost.layer_cost(WORK, bits, missing, siemens, HARDWARE, hard=True)
    with pytest.raises(UserError, match=r"statistics of fc are missing: give row_conductance"):
        cost.layer_cost(WORK, bits, activity, missing, HARDWARE, hard=True)
    with pytest.raises(UserError, match=r"39 rows"):
        cost.layer_cost(WORK, bits, activity, siemens[:-1], HARDWARE, hard=True)
    with pytest.raises(UserError, match=r"weight_bits"):
        cost.row_conductance(jnp.ones((3, 3)), HARDWARE, Settings(weight_bits=12))
