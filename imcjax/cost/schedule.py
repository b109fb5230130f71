"""A network on an architecture: how many arrays each layer gets, how long its stage takes, what the chip then delivers.

Layers never share a core. A layer whose stage is slow can have copies of its weights, which split its positions between them.
Run layer by layer, an input passes one layer after another before the next comes; pipelined, every layer works on an input of
its own, and the slowest stage sets the pace.

Conventions of the figures: one product with its addition is two operations; only products that are computed count (padding
does where the layer computes it); energy is that of one inference; TOPS/mm^2 are on the area of the tiles in use. To compare
designs of other widths, operations are multiplied by weight bits x input bits: 1b-1b operations.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from imcjax.cost import interconnect
from imcjax.cost.architecture import Architecture
from imcjax.errors import UserError, check_number
from imcjax.technology import Technology


@dataclasses.dataclass(frozen=True)
class Stage:
    """One layer as the schedule sees it.

    Attributes:
      path: its name.
      arrays: that one copy of its weights takes.
      positions: products of one inference.
      position_s: second of one of them.
      energy_j: joule of an inference.
      macs: products with their additions of an inference.
      bits: weight bits times input bits.
      moved_bits: outputs that go to the next layer, bits of an inference.
    """

    path: str
    arrays: Any
    positions: int
    position_s: Any
    energy_j: Any
    macs: float
    bits: Any = 1.0
    moved_bits: Any = 0.0


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
      energy_j: of one inference, transport included.
      transport_j: of it, between tiles.
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
) -> Schedule:
    """Place layers and time them.

    Args:
      stages: the layers, in order.
      design: the hierarchy. More tiles than it has are taken from further chips.
      copies: of each layer's weights; None: one each.
      pipelined: or else layer by layer.
      batch: inferences in a row.
      hard: whole cores and tiles, the exact slowest stage. False: real ones, and a soft maximum, for gradients.
      technology: node and supply of the interconnect; None: transport is not counted.

    Raises:
      UserError: no layers, or numbers that make no sense.
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
    interval = slowest if pipelined else through
    chips = up(all_tiles / design.tiles)
    transport = jnp.zeros(())
    if technology is not None:
        moved = sum((stage.moved_bits for stage in stages[1:]), start=stages[0].moved_bits)
        transport = _transport_j(moved, all_tiles, design, technology)
    area = all_tiles * design.total("area_m2", "tile")
    area += chips * sum((part.area_m2 for part in design.chip.values()), 0.0)
    energies = [stage.energy_j for stage in stages]
    return Schedule(
        paths=tuple(stage.path for stage in stages),
        copies=copies,
        tiles=tuple(tiles),
        stage_s=tuple(stage_s),
        latency_s=through + (batch - 1) * interval,
        interval_s=interval,
        energy_j=sum(energies[1:], start=energies[0]) + transport,
        transport_j=transport,
        area_m2=area,
        utilisation=sum(arrays[1:], start=arrays[0]) / (all_tiles * design.cores_per_tile * design.arrays_per_core),
        chips=chips,
        macs=sum(stage.macs for stage in stages),
        bit_macs=sum(stage.macs * stage.bits for stage in stages),
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
