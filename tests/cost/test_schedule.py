"""Architectures and schedules counted by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import Architecture, Part, Stage, architecture, architectures, balanced, interconnect, schedule
from imcjax.cost.programming import Writing
from imcjax.pytree import replace
from imcjax.technology import Technology


DESIGN = Architecture(
    arrays_per_core=4,
    cores_per_tile=2,
    tiles=5,
    core={"arrays": Part(1e-3, 1e-8), "adc": Part(2e-3, 2e-8)},
    tile={"buffer": Part(5e-3, 4e-8)},
    chip={"link": Part(0.1, 1e-6)},
)
STAGES = [
    Stage("a", 3, 100, 1e-6, 2e-9, macs=1e4, bits=64, moved_bits=800),
    Stage("b", 9, 10, 2e-6, 3e-9, macs=2e4, bits=16, moved_bits=160),
]


def test_isaacs_tile_is_its_tables():
    chip = architecture("isaac")
    assert chip.total("power_w", "tile") == pytest.approx(0.330, rel=0.01)
    assert chip.total("area_m2", "tile") == pytest.approx(0.372e-6, rel=0.01)
    assert chip.total("power_w", "core") == pytest.approx(24.08e-3, rel=1e-3)
    assert chip.arrays == 168 * 12 * 8
    # 96 arrays of 128 x 16 sixteen-bit products in 1.6 us
    assert chip.tops() == pytest.approx(168 * 96 * 128 * 16 * 2 / 1.6e-6 / 1e12)
    assert sum(chip.breakdown("power_w").values()) == pytest.approx(chip.total("power_w"))
    slope = jax.grad(lambda c: c.total("power_w"))(chip)
    assert slope.core["adc"].power_w == 168 * 12


def test_every_preset_loads_and_names_its_source():
    assert architectures() == ["isaac", "puma"]
    for name in architectures():
        assert len(architecture(name).source) > 10


def test_areas_and_powers_add_up():
    assert DESIGN.total("power_w", "core") == pytest.approx(3e-3)
    assert DESIGN.total("power_w", "tile") == pytest.approx(11e-3)
    assert DESIGN.total("area_m2") == pytest.approx(5 * (4e-8 + 2 * 3e-8) + 1e-6)


def test_layer_by_layer_and_pipelined():
    made = schedule(STAGES, DESIGN, pipelined=False, batch=3)
    assert [int(n) for n in made.tiles] == [1, 2]  # 1 and 3 cores
    assert float(made.utilisation) == pytest.approx(12 / (3 * 8))
    assert [float(s) for s in made.stage_s] == pytest.approx([100e-6, 20e-6])
    assert float(made.latency_s) == pytest.approx(360e-6)
    assert float(made.energy_j) == pytest.approx(5e-9)
    assert float(made.area_m2) == pytest.approx(3 * 1e-7 + 1e-6)
    piped = schedule(STAGES, DESIGN, batch=3)
    assert float(piped.latency_s) == pytest.approx(320e-6)
    assert float(piped.interval_s) == pytest.approx(100e-6)
    figures = {name: float(value) for name, value in piped.figures().items()}
    assert figures["throughput"] == pytest.approx(1e4)
    assert figures["tops"] == pytest.approx(6e4 * 1e4 / 1e12)
    assert figures["tops_per_watt"] == pytest.approx(6e4 / 5e-9 / 1e12)
    assert figures["tops_per_mm2"] == pytest.approx(6e-4 / 1.3)
    assert figures["fj_per_mac"] == pytest.approx(5e-9 / 3e4 * 1e15)
    assert figures["fj_per_mac_1b"] == pytest.approx(5e-9 / (64e4 + 32e4) * 1e15)
    assert figures["edp"] == pytest.approx(5e-9 * 320e-6)


def test_copies_balance_the_stages():
    # 40 arrays: 28 left after one copy each; copies of the first layer take 3 and win until it is as fast as the second
    copies = balanced(STAGES, DESIGN.arrays)
    assert copies == (7, 2)
    best = min(max(100e-6 / m, 20e-6 / n) for m in range(1, 14) for n in range(1, 5) if 3 * m + 9 * n <= DESIGN.arrays)
    assert max(100e-6 / copies[0], 20e-6 / copies[1]) == pytest.approx(best)
    made = schedule(STAGES, DESIGN, copies=copies)
    assert float(made.interval_s) == pytest.approx(15e-6)  # 15 positions for the busiest of seven copies


def test_transport_couples_energy_to_area():
    tech = Technology()
    made = schedule(STAGES, DESIGN, technology=tech)
    hops = interconnect.mesh_hops(3.0)
    assert float(made.transport_j) == pytest.approx(float(interconnect.mesh_energy_j(960, hops, 1e-7, tech)), rel=1e-5)
    for kind in ("h_tree", "bus"):
        assert float(schedule(STAGES, replace(DESIGN, interconnect=kind), technology=tech).transport_j) > 0


def test_leakage_is_that_of_the_area_while_the_chip_is_on():
    leaky = Technology(leakage_w_m2=20.0)
    for batch, pipelined in ((1, True), (3, True), (3, False)):
        choices = {"batch": batch, "pipelined": pipelined}
        made, plain = (schedule(STAGES, DESIGN, technology=t, **choices) for t in (leaky, Technology()))
        lost = 20.0 * float(made.area_m2) * float(made.latency_s) / batch
        assert float(made.leakage_j) == pytest.approx(lost, rel=1e-6)
        assert float(made.energy_j) == pytest.approx(float(plain.energy_j) + lost, rel=1e-6)
        assert float(plain.leakage_j) == 0
    slope = jax.grad(lambda w: schedule(STAGES, DESIGN, technology=replace(leaky, leakage_w_m2=w)).energy_j)(20.0)
    assert float(slope) == pytest.approx(3 * 1e-7 * 120e-6 + 1e-6 * 120e-6, rel=1e-5)


def test_what_does_not_fit_goes_to_dram_and_is_written_anew():
    stages = [dataclasses.replace(stage, weight_bits=1e5 * (k + 1)) for k, stage in enumerate(STAGES)]
    small = replace(DESIGN, tiles=2, dram_bits_s=1e9)  # the layers take 3 tiles
    writing = Writing({"a": 6e-9, "b": 3e-9}, {"a": 1e-5, "b": 2e-5}, None)
    made = schedule(stages, small, pipelined=False, batch=4, writing=writing)
    streamed = 3e5 / 3 / 4  # a third of the weights, once a batch of four
    assert float(made.dram_bits) == pytest.approx(streamed, rel=1e-5)
    assert float(made.dram_j) == pytest.approx(streamed * 700e-12 / 64, rel=1e-5)
    assert float(made.rewrite_j) == pytest.approx(9e-9 / 12, rel=1e-5)
    assert float(made.energy_j) == pytest.approx(5e-9 + float(made.dram_j) + 9e-9 / 12, rel=1e-5)
    assert float(made.latency_s) == pytest.approx(4 * (120e-6 + streamed / 1e9 + 3e-5 / 12), rel=1e-5)
    assert float(made.area_m2) == pytest.approx(2 * 1e-7 + 1e-6, rel=1e-5)  # one chip, full
    assert float(made.chips) == 1
    spread = schedule(stages, replace(DESIGN, tiles=2), pipelined=False)
    assert (float(spread.chips), float(spread.dram_bits)) == (2, 0)
    with pytest.raises(UserError, match=r"take 3 tiles, the chip has 2: as a pipeline all have to be there"):
        schedule(stages, small)


def test_activations_beyond_the_buffers_go_to_dram_and_back():
    held = replace(DESIGN, buffer_bits=300.0, dram_bits_s=1e9)  # 800 bits in one tile, 160 in two
    made = schedule(STAGES, held)
    assert float(made.dram_bits) == pytest.approx(2 * 500, rel=1e-5)
    assert float(made.dram_j) == pytest.approx(500 * (700e-12 + 750e-12) / 64, rel=1e-5)
    assert float(made.latency_s) == pytest.approx(120e-6 + 1e-6, rel=1e-5)
    batch = schedule(STAGES, held, pipelined=False, batch=10)  # ten at once: 8000 and 1600 bits
    assert float(batch.dram_bits) == pytest.approx(2 * (7700 + 1000) / 10, rel=1e-5)
    slow = schedule(STAGES, replace(held, dram_bits_s=1e6))  # 1 ms: slower than any layer
    assert float(slow.interval_s) == pytest.approx(1e-3, rel=1e-5)
    slope = jax.grad(lambda b: schedule(STAGES, replace(held, buffer_bits=b)).energy_j)(300.0)
    assert float(slope) == pytest.approx(-1450e-12 / 64, rel=1e-5)
    assert float(schedule(STAGES, replace(DESIGN, buffer_bits=300.0)).dram_j) == 0


def test_soft_is_smooth_and_near_hard():
    def interval(second, n):
        stages = [Stage("a", 3.0, 100, 1e-6, 0.0, 1.0), Stage("b", 8.0, 10, second, 0.0, 1.0)]
        made = schedule(stages, DESIGN, copies=(1.0, n), hard=False)
        return made.interval_s * 1e6 + made.area_m2

    slopes = jax.grad(interval, argnums=(0, 1))(jnp.asarray(9e-6), jnp.asarray(1.5))
    assert all(np.isfinite(float(s)) for s in slopes)
    stages = [Stage("a", 8.0, 100, 1e-6, 1e-9, 1.0), Stage("b", 16.0, 10, 2e-6, 1e-9, 1.0)]
    soft, hard = (schedule(stages, DESIGN, hard=h) for h in (False, True))
    for name in ("latency_s", "interval_s", "area_m2", "utilisation", "chips"):
        wanted = float(getattr(hard, name)) if name != "chips" else 3 / 5
        assert float(getattr(soft, name)) == pytest.approx(wanted, rel=1e-5) or name == "area_m2"


def test_what_cannot_be_scheduled_is_refused(tmp_path):
    with pytest.raises(UserError, match="no mapped layer"):
        schedule([], DESIGN)
    with pytest.raises(UserError, match="1 copies for 2 layers"):
        schedule(STAGES, DESIGN, copies=(1,))
    with pytest.raises(UserError, match="batch is 0"):
        schedule(STAGES, DESIGN, batch=0)
    with pytest.raises(UserError, match=r"take 12 arrays, more than the 8"):
        balanced(STAGES, 8)
    with pytest.raises(UserError, match=r"neither an architecture nor a file \(nearest: isaac"):
        architecture("isac")
    for text, message in (
        ("tiles = 0", "tiles is 0"),
        ("tile = 3\n", "tile is 3; give a table of parts"),
        ("til = 3", r"no field 'til' \(nearest: tile"),
        ("[core.adc]\npower_w = -1", r"core\.adc\.power_w is -1"),
        ("[core.adc]\nwatt = 1", r"give power_w and area_m2"),
        ("interconnect = 'wires'", "give mesh, h_tree or bus"),
        ("a = ", "is not TOML"),
    ):
        path = tmp_path / "own.toml"
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            architecture(path)
