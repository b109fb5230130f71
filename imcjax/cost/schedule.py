"""A network on an architecture: how many arrays each layer gets, how long its stage takes, what the chip then delivers.

Layers never share a core. A layer whose stage is slow can have copies of its weights, which split its positions between them.
Run layer by layer, an input passes one layer after another before the next comes; pipelined, every layer works on an input of
its own, and the slowest stage sets the pace.

What does not fit on the chip: without DRAM, the network spreads over more chips, and buffers hold whatever comes. With it
(`Architecture.dram_bits_s`) there is one chip. Activations beyond a layer's buffers are written to DRAM and read back. Weights
beyond the arrays are read from it and written into arrays (`programming.Writing`) once a batch, layer by layer.

Conventions of the figures: one product with its addition is two operations; only products that are computed count (padding
does where the layer computes it); energy is that of one inference; TOPS/mm^2 are on the area of the tiles in use. To compare
designs of other widths, operations are multiplied by weight bits x input bits: 1b-1b operations.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imcjax.cost import interconnect, leakage, memories
from imcjax.cost.architecture import Architecture
from imcjax.cost.programming import Writing
from imcjax.errors import UserError, check_number, concrete
from imcjax.technology import Technology


@dataclasses.dataclass(frozen=True)
class Stage:
    """One layer as the schedule sees it.

    Attributes:
      path: its name.
      arrays: that one copy of its weights takes.
      positions: products of one inference.
      position_s: second of one of them.
      energy_j: joule of an inference, without leakage.
      macs: products with their additions of an inference.
      bits: weight bits times input bits.
      moved_bits: outputs that go to the next layer, bits of an inference.
      weight_bits: of one copy of its weights.
    """

    path: str
    arrays: Any
    positions: int
    position_s: Any
    energy_j: Any
    macs: float
    bits: Any = 1.0
    moved_bits: Any = 0.0
    weight_bits: Any = 0.0


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What the chip delivers.

    Attributes:
      paths: layers.
      copies: of each layer's weights.
      tiles: of each layer; whole where `hard`.
      stage_s: second each layer takes for one inference.
      latency_s: of the whole batch.
      interval_s: between inferences in the long run.
      energy_j: of one inference, everything below included.
      transport_j: of it, between tiles.
      leakage_j: of it, of the area below while the chip is on.
      dram_j, dram_bits: of it, to and from DRAM, and how many bits that are.
      rewrite_j: of it, to write weights that do not stay in the arrays.
      area_m2: of the tiles in use, and the chip's own parts.
      utilisation: arrays with weights / arrays of the tiles in use.
      chips: how many of the architecture it takes.
      macs, bit_macs: products of an inference; times weight bits times input bits.
    """

    paths: tuple[str, ...]
    copies: tuple[Any, ...]
    tiles: tuple[Any, ...]
    stage_s: tuple[Any, ...]
    latency_s: Any
    interval_s: Any
    energy_j: Any
    transport_j: Any
    leakage_j: Any
    dram_j: Any
    dram_bits: Any
    rewrite_j: Any
    area_m2: Any
    utilisation: Any
    chips: Any
    macs: Any
    bit_macs: Any

    def figures(self) -> dict[str, Any]:
        """Throughput (1/s), EDP (J s), TOPS, TOPS/W, TOPS/mm^2, fJ/MAC, and the same per 1b-1b operation."""
        rate = 1 / self.interval_s
        found = {"throughput": rate, "edp": self.energy_j * self.latency_s}
        for suffix, macs in (("", self.macs), ("_1b", self.bit_macs)):
            found["tops" + suffix] = 2e-12 * macs * rate
            found["tops_per_watt" + suffix] = 2e-12 * macs / self.energy_j
            found["tops_per_mm2" + suffix] = 2e-12 * macs * rate / (self.area_m2 * 1e6)
            found["fj_per_mac" + suffix] = 1e15 * self.energy_j / macs
        return found


def balanced(stages: Sequence[Stage], arrays: int) -> tuple[int, ...]:
    """Copies of each layer that make the slowest stage as fast as that many arrays allow.

    Raises:
      UserError: too few arrays for one copy of each.
    """
    needed = [math.ceil(float(stage.arrays)) for stage in stages]
    if sum(needed) > arrays:
        raise UserError(f"The layers take {sum(needed)} arrays, more than the {arrays} there are; give more tiles.")
    times = [float(stage.positions * stage.position_s) for stage in stages]
    copies, left = [1] * len(stages), arrays - sum(needed)
    while True:
        slowest = max(range(len(stages)), key=lambda i: times[i] / copies[i])
        if needed[slowest] > left or copies[slowest] >= stages[slowest].positions:
            return tuple(copies)
        copies[slowest] += 1
        left -= needed[slowest]


def schedule(
    stages: Sequence[Stage],
    design: Architecture,
    *,
    copies: Sequence[Any] | None = None,
    pipelined: bool = True,
    batch: int = 1,
    hard: bool = True,
    technology: Technology | None = None,
    writing: Writing | None = None,
) -> Schedule:
    """Place layers and time them.

    Args:
      stages: the layers, in order.
      design: the hierarchy. More tiles than it has are taken from further chips, unless it has DRAM.
      copies: of each layer's weights; None: one each.
      pipelined: or else layer by layer.
      batch: inferences in a row.
      hard: whole cores and tiles, the exact slowest stage. False: real ones, and a soft maximum, for gradients.
      technology: node and supply of the interconnect, and what the area leaks; None: neither is counted.
      writing: what the weights take to write, for those that do not stay on the chip; None: not counted.

    Raises:
      UserError: no layers, numbers that make no sense, or a pipeline that does not fit on the one chip there is.
    """
    if not stages:
        raise UserError("There is no mapped layer, so there is nothing to schedule; convert the model first.")
    check_number("batch", batch, 1, whole=True)
    copies = (1,) * len(stages) if copies is None else tuple(copies)
    if len(copies) != len(stages):
        raise UserError(f"There are {len(copies)} copies for {len(stages)} layers; give one number a layer.")
    for i, stage in enumerate(stages):
        check_number(f"copies of {stage.path or 'the model'}", copies[i], 1)
        check_number(f"arrays of {stage.path or 'the model'}", stage.arrays, 1e-9)
    up = jnp.ceil if hard else jnp.asarray
    arrays = [jnp.asarray(stage.arrays, dtype=float) * n for stage, n in zip(stages, copies, strict=True)]
    cores = [up(a / design.arrays_per_core) for a in arrays]
    tiles = [up(c / design.cores_per_tile) for c in cores]
    all_tiles = sum(tiles[1:], start=tiles[0])
    stage_s = [
        stage.position_s * (up(stage.positions / jnp.asarray(n, dtype=float))) for stage, n in zip(stages, copies, strict=True)
    ]
    through = sum(stage_s[1:], start=stage_s[0])
    slowest = _largest(jnp.stack([jnp.asarray(s, dtype=float) for s in stage_s]), hard=hard)
    placed = _placed(stages, tiles, design, writing, batch=batch, pipelined=pipelined)
    through += placed.dram_s + placed.rewrite_s
    # DRAM is one more stage of a pipeline
    interval = _largest(jnp.stack([slowest, placed.dram_s]), hard=hard) if pipelined else through
    here = all_tiles if design.dram_bits_s is None else jnp.minimum(all_tiles, design.tiles)
    chips = up(all_tiles / design.tiles) if design.dram_bits_s is None else jnp.ones(())
    transport = jnp.zeros(())
    if technology is not None:
        moved = sum((stage.moved_bits for stage in stages[1:]), start=stages[0].moved_bits)
        transport = _transport_j(moved, here, design, technology)
    area = here * design.total("area_m2", "tile")
    area += chips * sum((part.area_m2 for part in design.chip.values()), 0.0)
    latency = through + (batch - 1) * interval
    lost = jnp.zeros(())
    if technology is not None and technology.leakage_w_m2 is not None:
        lost = leakage.energy_j(technology.leakage_w_m2, area, latency / batch)
    energies = [stage.energy_j for stage in stages]
    added = transport + lost + placed.dram_j + placed.rewrite_j
    return Schedule(
        paths=tuple(stage.path for stage in stages),
        copies=copies,
        tiles=tuple(tiles),
        stage_s=tuple(stage_s),
        latency_s=latency,
        interval_s=interval,
        energy_j=sum(energies[1:], start=energies[0]) + added,
        transport_j=transport,
        leakage_j=lost,
        dram_j=placed.dram_j,
        dram_bits=placed.dram_bits,
        rewrite_j=placed.rewrite_j,
        area_m2=area,
        utilisation=sum(arrays[1:], start=arrays[0]) / (all_tiles * design.cores_per_tile * design.arrays_per_core),
        chips=chips,
        macs=sum(stage.macs for stage in stages),
        bit_macs=sum(stage.macs * stage.bits for stage in stages),
    )


class _Placed(NamedTuple):
    """What an inference pays for what does not fit on the chip."""

    dram_bits: Any
    dram_j: Any
    dram_s: Any
    rewrite_j: Any
    rewrite_s: Any


def _placed(
    stages: Sequence[Stage], tiles: Sequence[Any], design: Architecture, writing: Writing | None, *, batch: int, pipelined: bool
) -> _Placed:
    zero = jnp.zeros(())
    if design.dram_bits_s is None:
        return _Placed(zero, zero, zero, zero, zero)
    all_tiles = sum(tiles[1:], start=tiles[0])
    away = jnp.maximum(1 - design.tiles / all_tiles, 0.0)  # part of the weights that is not on the chip
    known = concrete(away)
    if pipelined and known is not None and known > 0:
        raise UserError(
            f"The layers take {float(all_tiles):g} tiles, the chip has {design.tiles}: as a pipeline all have to be there. Run "
            "them layer by layer, give more tiles, or leave the DRAM out to spread them over several chips."
        )
    weights = away / batch * sum((jnp.asarray(stage.weight_bits, dtype=float) for stage in stages), start=zero)
    spilt, at_once = zero, 1 if pipelined else batch
    for stage, own in zip(stages, tiles, strict=True):
        if design.buffer_bits is not None:
            spilt += jnp.maximum(stage.moved_bits - own * design.buffer_bits / at_once, 0.0)
    joule = memories.dram_energy_j(weights + spilt) + memories.dram_energy_j(spilt, write=True)
    bits = weights + 2 * spilt
    rewrite_j, rewrite_s = (zero, zero) if writing is None else (writing.energy_j, writing.time_s)
    return _Placed(
        dram_bits=bits,
        dram_j=joule,
        dram_s=memories.dram_time_s(bits, design.dram_bits_s),
        rewrite_j=away / batch * rewrite_j,
        rewrite_s=away / batch * rewrite_s,
    )


def _largest(values: jax.Array, *, hard: bool) -> jax.Array:
    """The largest; soft: the norm of order 64, above it by n^(1/64) at most, where all n are equal."""
    if hard:
        return jnp.max(values)
    top = jax.lax.stop_gradient(jnp.max(values))
    return top * jnp.sum((values / top) ** 64) ** (1 / 64)


def _transport_j(bits: Any, tiles: Any, design: Architecture, technology: Technology) -> jax.Array:
    tile = design.total("area_m2", "tile")
    if design.interconnect == "mesh":
        return interconnect.mesh_energy_j(bits, interconnect.mesh_hops(tiles), tile, technology)
    if design.interconnect == "h_tree":
        return interconnect.wire_energy_j(bits, 2 * interconnect.h_tree_length_m(tiles * tile, tiles), technology)
    return interconnect.wire_energy_j(bits, 2 * interconnect.bus_length_m(tiles * tile), technology)
