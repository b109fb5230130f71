"""A cell of any family with what else a real array shows: write-verify, variation, faults, wear, drift, loss and noise."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.devices.base import FAMILIES, family
from imcjax.devices.effects import Drift, Endurance, OneOverF, Retention, Stuck, Telegraph, Variation, WriteVerify
from imcjax.devices.effects.draws import chosen, normal
from imcjax.devices.effects.endurance import Life
from imcjax.devices.effects.stuck import Faults
from imcjax.devices.generic import Generic
from imcjax.errors import UserError, concrete
from imcjax.families import one_of
from imcjax.keys import fold_index, fold_name
from imcjax.pytree import record


@record
class Made:
    """What devices were made with, which writing does not change; None for an effect that is absent.

    Attributes:
      deviate: of `Variation`, standard normal.
      exponent: of `Drift`, standard normal.
      trap: of `Telegraph`, 1.0 where there is one.
      faults: of `Stuck`, or given by `with_faults`.
      life: of `Endurance`.
    """

    deviate: jax.Array | None = None
    exponent: jax.Array | None = None
    trap: jax.Array | None = None
    faults: Faults | None = None
    life: Life | None = None


@record
class CellState:
    """A written chip.

    Attributes:
      made: what writing does not change.
      base: the state of the cells below.
      cycle: of `Variation`, the last write's standard normal deviate.
      pulses: of `WriteVerify`, how many the last write took.
    """

    made: Made
    base: Any
    cycle: jax.Array | None = None
    pulses: jax.Array | None = None


@family("cell")
@record
class Cell:
    """A base device and any of eight effects; None leaves one out, and without any it is the base, to the last bit.

    Writing: base, variation, faults, and again while write-verify asks for it. Reading: base, variation, drift, retention,
    telegraph noise, 1/f noise, faults. A device keeps its faults, traps, exponents and variation from read to read and, by
    `reprogram`, from write to write.

    Attributes:
      base: a device of any family.
      write_verify, variation, stuck, endurance, drift, retention, telegraph, one_over_f: see `imcjax.devices.effects`.
    """

    base: Any = one_of(FAMILIES, default=Generic)
    write_verify: WriteVerify | None = dataclasses.field(default=None)
    variation: Variation | None = dataclasses.field(default=None)
    stuck: Stuck | None = dataclasses.field(default=None)
    endurance: Endurance | None = dataclasses.field(default=None)
    drift: Drift | None = dataclasses.field(default=None)
    retention: Retention | None = dataclasses.field(default=None)
    telegraph: Telegraph | None = dataclasses.field(default=None)
    one_over_f: OneOverF | None = dataclasses.field(default=None)

    @property
    def source(self) -> str:
        """That of the base."""
        return getattr(self.base, "source", "-")

    @property
    def effects(self) -> tuple[str, ...]:
        """Those of the base, and the names of the ones that are present here."""
        mine = (field.name for field in dataclasses.fields(self) if field.name != "base")
        present = (name.replace("_", " ") for name in mine if getattr(self, name) is not None)
        return (*getattr(self.base, "effects", ()), *present)

    @property
    def covers(self) -> tuple[float, float] | None:
        """Seconds after programming that the base describes; None: all."""
        return getattr(self.base, "covers", None)

    @property
    def curve(self) -> str:
        """That of the base."""
        return getattr(self.base, "curve", "linear")

    @property
    def curve_volts(self) -> float:
        """Volt up to which the curve of the base is known."""
        return self.base.curve_volts

    def nonlinearity(self, g: jax.Array) -> jax.Array:
        """Coefficients of the curve of the base."""
        return self.base.nonlinearity(g)

    @property
    def g_min(self) -> Any:
        """Lowest conductance of the base, siemens."""
        return self.base.g_min

    @property
    def g_max(self) -> Any:
        """Highest conductance of the base, siemens."""
        return self.base.g_max

    def check(self, path: str) -> None:
        """Refuse a cell of cells, which would draw one effect twice from one key."""
        if isinstance(self.base, Cell):
            raise UserError(f"{path}.base is a cell with effects itself; give all effects to one cell.")

    def program(self, g_target: jax.Array, key: jax.Array | None) -> CellState:
        """Make devices and write them to `g_target` (...), siemens; leaves of the state are (...).

        Raises:
          UserError: the base is a cell with effects itself.
        """
        self.check("device")
        like = jnp.zeros(jnp.shape(g_target), jnp.result_type(float, g_target))
        lives = None if key is None else (fold_name(key, "life"), fold_name(key, "end of life"))
        made = Made(
            deviate=None if self.variation is None else normal(fold_name(key, "variation"), like),
            exponent=None if self.drift is None else normal(fold_name(key, "drift"), like),
            trap=None if self.telegraph is None else chosen(fold_name(key, "traps"), self.telegraph.traps, like),
            faults=None if self.stuck is None else self.stuck.draw(fold_name(key, "stuck"), like),
            life=None if self.endurance is None else self.endurance.draw(lives, like),
        )
        return self._write(made, g_target, key)

    def reprogram(self, state: CellState, g_target: jax.Array, key: jax.Array | None) -> CellState:
        """Write the same devices again, to `g_target` (...), siemens: what they were made with stays."""
        return self._write(state.made, g_target, key)

    def read(self, state: CellState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming. Traps are full with their probability, anew for each key.

        Raises:
          UserError: for a concrete time below zero, or one that the base does not cover.
        """
        full = None
        if self.telegraph is not None and key is not None:
            full = self.telegraph.path(fold_name(key, "telegraph"), [time], _kept(state.made.trap, "telegraph"))[0]
        return self._read(state, key, time, full)

    def trace(self, state: CellState, key: jax.Array, times: Sequence[float] | jax.Array) -> jax.Array:
        """(n, ...) siemens at n rising times, seconds: traps fill and empty on the way, other noise is drawn for each.

        Raises:
          UserError: concrete times that fall, are below zero, or that the base does not cover.
        """
        known = concrete(times)
        if known is not None and (np.diff(known) < 0).any():
            raise UserError(f"times falls from one read to the next ({known!s} s); give rising times.")
        filled: Sequence[jax.Array | None] = [None] * len(times)
        if self.telegraph is not None:
            filled = self.telegraph.path(fold_name(key, "telegraph"), times, _kept(state.made.trap, "telegraph"))
        reads = [self._read(state, fold_index(key, i), times[i], full) for i, full in enumerate(filled)]
        return jnp.stack(reads)

    def _write(self, made: Made, g_target: jax.Array, key: jax.Array | None) -> CellState:
        def pulse(key: jax.Array | None) -> tuple[Any, jax.Array | None]:
            base = self.base.program(g_target, key)
            return base, None if made.deviate is None else normal(fold_name(key, "cycle"), made.deviate)

        def attempt(key: jax.Array) -> tuple[Any, jax.Array]:
            written = pulse(key)
            state = CellState(made, *written)
            return written, self._faulty(self._written(state, fold_name(key, "verify"), 0.0), state)

        if self.write_verify is None:
            return CellState(made, *pulse(key))
        if key is None:
            return CellState(made, *pulse(None), pulses=jnp.ones(jnp.shape(g_target), jnp.result_type(float, g_target)))
        written, pulses = self.write_verify.write(attempt, g_target, self.g_max, key)
        return CellState(made, *written, pulses=pulses)

    def _written(self, state: CellState, key: jax.Array | None, time: jax.Array | float) -> jax.Array:
        g = self.base.read(state.base, key, time)
        if self.variation is None:
            return g
        return g * self.variation.factor(_kept(state.made.deviate, "variation"), _kept(state.cycle, "variation"))

    def _faulty(self, g: jax.Array, state: CellState) -> jax.Array:
        if self.endurance is not None:
            g = self.endurance.faults(_kept(state.made.life, "endurance")).apply(g, self.g_min, self.g_max)
        if state.made.faults is not None:  # on top: what never worked cannot wear out
            g = state.made.faults.apply(g, self.g_min, self.g_max)
        return g

    def _read(self, state: CellState, key: jax.Array | None, time: Any, full: jax.Array | None) -> jax.Array:
        known = concrete(time)
        if known is None:
            time = jnp.where(time < 0, jnp.nan, time)
        elif (known < 0).any():
            raise UserError(f"time is {known!s} s, before the device was programmed; give seconds from 0.")
        g = self._written(state, key, time)
        if self.drift is not None:
            g = self.drift.age(g, _kept(state.made.exponent, "drift"), time)
        if self.retention is not None:
            g = self.retention.age(g, self.g_min, time)
        if self.telegraph is not None and full is not None:
            g = self.telegraph.read(g, _kept(state.made.trap, "telegraph"), full)
        if self.one_over_f is not None and key is not None:
            g = self.one_over_f.read(g, fold_name(key, "one over f"), time)
        return self._faulty(g, state)


def _kept(value: Any, effect: str) -> Any:
    if value is None:
        raise UserError(f"These devices were programmed by a cell without {effect}; program and read them with the same cell.")
    return value


def with_faults(state: CellState, stuck_on: jax.Array, stuck_off: jax.Array) -> CellState:
    """The same chip with the faults of a map: true (or 1) where a device is stuck at g_max, and where at g_min.

    Both are broadcast to the devices' shape, (S, 2, T, C, r, c) for the state of a layer.

    Raises:
      UserError: maps that do not fit the devices, or a device that is stuck at both.
    """
    like = jax.tree.leaves(state)[0]
    maps = []
    for name, given in (("stuck_on", stuck_on), ("stuck_off", stuck_off)):
        shape = jnp.shape(given)
        if len(shape) > like.ndim or any(n not in (1, m) for n, m in zip(shape[::-1], like.shape[::-1], strict=False)):
            raise UserError(f"{name} has shape {shape}, the devices {like.shape}; give a map that can be broadcast to it.")
        maps.append(jnp.broadcast_to((jnp.asarray(given) != 0).astype(like.dtype), like.shape))
    both = concrete(maps[0] * maps[1])
    if both is not None and both.any():
        raise UserError(f"{int(both.sum())} devices are stuck on and stuck off at once; give each at most one fault.")
    return state.replace(made=state.made.replace(faults=Faults(*maps)))  # type: ignore[attr-defined]


def mean_pulses(state: CellState) -> jax.Array:
    """() write pulses that a device took, on average.

    Raises:
      UserError: the cell has no write-verify.
    """
    if state.pulses is None:
        raise UserError(
            "These devices were written without write-verify, so pulses were not counted; give the cell write_verify."
        )
    return jnp.mean(state.pulses)
