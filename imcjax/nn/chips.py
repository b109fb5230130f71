"""Chips of a whole model: programmed many at a time, aged, corrected, judged, kept on disk. Each is a pytree."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float
from rich.progress import track

from imcjax import pipeline
from imcjax.devices.base import check_time
from imcjax.devices.compensation import column_scale, global_scale
from imcjax.errors import UserError, check_number, nearest
from imcjax.keys import check_key, fold_index, fold_name, typed
from imcjax.layout import by_output, tiling
from imcjax.nn.batchnorm_statistics import norms_of, take_statistics
from imcjax.nn.hooks import hook_name, layers, matrices, member_path, operators, placed, together
from imcjax.nn.operator import answers, respond
from imcjax.nn.recording import record_inputs
from imcjax.nn.structure import Structure
from imcjax.nn.variables import Chip, Correction
from imcjax.pytree import record, replace
from imcjax.xla import jit_by_key


COMPENSATIONS = ("global", "column")
"""How drift is made up for: by one factor for a layer, or by one for each column (`imcjax.devices.compensation`)."""


@record
class Chips:
    """Programmed chips of a model; leaves have a leading axis of chips. `chips[i]` is one of them, without that axis.

    Attributes:
      programmed: path of a layer -> `Programmed`, leaves (chips, groups, ...).
      key: (chips,) the key that each was programmed from; None: the noise-free mean chip, once.
    """

    programmed: dict[str, Any]
    key: Any

    def __len__(self) -> int:
        return jax.tree.leaves(self.programmed)[0].shape[0]

    def __getitem__(self, index: int) -> "Chips":
        # JAX takes an index out of range for the last one: a loop over the chips would never end.
        if isinstance(index, int | np.integer) and not -len(self) <= index < len(self):
            raise IndexError(f"there is no chip {index} among {len(self)}")
        return jax.tree.map(lambda leaf: leaf[index], self)


def chip_keys(key: jax.Array, numbers: Any) -> jax.Array:
    """The keys of the chips with these numbers: those of a chip are the same whatever others are computed beside it."""
    return jax.vmap(lambda i: fold_index(fold_name(key, "chip"), i))(jnp.asarray(numbers, jnp.uint32))


def program_chips(model: Any, key: jax.Array | None, count: int = 1, *, chunk: int = 8) -> Chips:
    """Program `count` chips with a converted model's weights, in one compiled call, at most `chunk` of them side by side.

    Chip number i is a function of the model, the key and i alone.

    Args:
      model: a converted model.
      key: of all chips; None: one noise-free mean chip.
      count: how many; 1 without a key.
      chunk: bounds the memory beyond that of the result.

    Raises:
      UserError: a model without layers on hardware, or counts below 1.
    """
    check_number("count", count, 1, whole=True)
    check_number("chunk", chunk, 1, whole=True)
    check_key(key)
    count, chunk, key = int(count), int(chunk), typed(key)
    _checked(model)
    if key is None:
        return Chips(jax.tree.map(lambda leaf: leaf[None], _program(model, None)), None)
    graph, state = nnx.split(model)
    keys = chip_keys(key, np.arange(count))
    return Chips(_program_all(keys)(state, keys, structure=Structure(graph), side_by_side=min(chunk, count)), keys)


@partial(jit_by_key, static_argnames=("structure", "side_by_side"))
def _program_all(state: Any, keys: jax.Array, *, structure: Structure, side_by_side: int) -> Any:
    graph = structure.graph
    return lax.map(lambda own: _program(nnx.merge(graph, state, copy=True), own), keys, batch_size=side_by_side)


def on_chip(
    model: Any,
    chip: Chips,
    *,
    time: jax.Array | float = 0.0,
    compensation: str | None = None,
    columns: dict[str, Any] | None = None,
    norms: Any = None,
) -> Any:
    """A copy of a converted model that computes on one programmed chip, `time` seconds after programming.

    Args:
      model: the converted model that the chip was programmed with.
      chip: one of `Chips`.
      time: seconds since programming.
      compensation: of drift, by what the chip measures on itself now, in one read, and measured when it was programmed, without
        the noise of reads: "global", "column" or None.
      columns: inputs of each layer (`record_inputs`): gain and offset of every column are calibrated on them, by least squares
        against the exact products; None: not.
      norms: a batch of the model's inputs, on which the statistics of BatchNorm layers are estimated anew, on the chip; None:
        those of the model stay.

    Raises:
      UserError: an unknown compensation, a chip of another model, a time that the device does not cover.
    """
    _check_single(chip)
    if compensation is not None and compensation not in COMPENSATIONS:
        raise UserError(f"compensation is {compensation!r}{nearest(str(compensation), COMPENSATIONS)}.")
    found, ops = layers(model), operators(model)
    if set(ops) != set(chip.programmed):
        raise UserError(
            f"The chip holds the layers {', '.join(chip.programmed)}, the model has {', '.join(ops)} on hardware; give the "
            "model that the chip was programmed with."
        )
    if columns is not None and (not isinstance(columns, dict) or set(columns) != set(ops)):
        raise UserError("columns is not what the model's layers see; give imcjax.nn.record_inputs(model, batches).")
    settled = {path: _settle(op, chip.programmed[path], chip.key, time, compensation) for path, op in ops.items()}
    corrections = None
    if columns is not None:
        corrections = {
            path: _correct(op, settled[path], matrices(found[path]), columns[path].inputs) for path, op in ops.items()
        }
    copy = nnx.clone(model)
    for path, module in placed(copy).items():
        op = getattr(module, hook_name(module))
        names = [member_path(path, index) for index in np.ndindex(op.stack)]
        op.chip = nnx.data(Chip(together(op.stack, [settled[name] for name in names])))
        if corrections is not None:
            op.correction = nnx.data(Correction(together(op.stack, [corrections[name] for name in names])))
    if norms is not None:
        _estimate_norms(copy, norms)
    return copy


def evaluate(
    model: Any,
    x: Any,
    y: Any,
    *,
    key: jax.Array | None = None,
    chips: "int | Chips" = 1,
    times: Sequence[float] = (0.0,),
    chunk: int = 8,
    batch: int = 256,
    compensation: str | None = None,
    columns: Any = None,
    norms: Any = None,
    progress: bool = True,
) -> Float[np.ndarray, "chips times"]:
    """(chips, times) accuracies of a converted classifier over chips and over the seconds since programming.

    Chips are programmed, aged, read and forgotten `chunk` at a time, on a CPU one by one: memory does not grow with their
    number, time grows in proportion, and one compiled program serves all. A chip is read once at each time: read noise is that
    of slow fluctuations.

    Args:
      model: a converted model; call its `eval()` first where that matters.
      x, y: inputs (n, ...) and classes (n,).
      key: of the chips; None: the noise-free mean chip.
      chips: how many, or `Chips` that are programmed already.
      times: seconds since programming.
      chunk: chips side by side.
      batch: inputs side by side; the last batch is filled up.
      compensation: as for `on_chip`.
      columns: a batch of inputs on which every chip's columns are calibrated; None: not.
      norms: a batch of inputs on which every chip estimates its BatchNorm statistics; None: not.
      progress: show a progress bar where there is a terminal.

    Raises:
      UserError: as `on_chip`; inputs and classes that do not fit each other.
    """
    x, y, moments = np.asarray(x), np.asarray(y), np.atleast_1d(np.asarray(times, float))
    _check_evaluation(x, y, key, chips, moments, chunk, batch)
    key = typed(key)
    _checked(model)
    for operator in operators(model).values():
        if operator.technology.device.covers is not None:
            check_time(operator.technology.device, moments)
    keys = chips.key if isinstance(chips, Chips) else None if key is None else chip_keys(key, np.arange(chips))
    count = 1 if keys is None else len(keys)
    seen = None if columns is None else record_inputs(model, [columns])
    graph, state = nnx.split(model)
    seconds = jnp.asarray(moments, float)
    # As constants of the program they would slow compiling, and have it compiled anew.
    given = (state, _batches(x, y, batch), seconds, seen, None if norms is None else jnp.asarray(norms))
    run = partial(_judge(keys), given, structure=Structure(graph), compensation=compensation)
    if keys is None:
        only = None if not isinstance(chips, Chips) else chips[0].programmed
        return np.asarray(run(only, None))[None] / len(x)
    size = _even(count, chunk)
    rows = []
    hidden = not (progress and sys.stdout.isatty())
    for first in track(range(0, count, size), "chips", disable=hidden, transient=True):
        numbers = np.minimum(np.arange(first, first + size), count - 1)  # the last chunk is filled up
        part = jax.tree.map(lambda leaf, at=numbers: leaf[at], chips.programmed) if isinstance(chips, Chips) else None
        rows.append(np.asarray(run(part, keys[numbers])))
    return np.concatenate(rows)[:count] / len(x)


@partial(jit_by_key, static_argnames=("structure", "compensation"))
def _judge(given: Any, chips: Any, keys: Any, *, structure: Structure, compensation: str | None) -> jax.Array:
    """How many of the inputs chips get right at each time: (chips, times), or (times,) of one without a key."""
    state, batches, seconds, seen, norms = given

    def one(chip: Any, own: Any) -> jax.Array:
        plain = nnx.merge(structure.graph, state, copy=True)
        programmed = _program(plain, own) if chip is None else chip

        def at(time: jax.Array) -> jax.Array:
            ready = on_chip(plain, Chips(programmed, own), time=time, compensation=compensation, columns=seen, norms=norms)
            split, rest = nnx.split(ready)

            def hits(part: tuple[jax.Array, jax.Array]) -> jax.Array:
                logits = nnx.merge(split, rest, copy=True)(part[0])
                return jnp.sum(jnp.argmax(logits, axis=-1) == part[1])

            return jnp.sum(lax.map(hits, batches))

        return jnp.stack([at(time) for time in seconds])

    if keys is None:
        return one(chips, keys)
    if jax.default_backend() == "cpu":  # side by side, convolutions and solvers of wires take several times as long
        return lax.map(lambda part: one(*part), (chips, keys))
    return jax.vmap(one)(chips, keys)


def save_chips(chips: Chips, folder: str | Path) -> None:
    """Keep chips in `folder`, whole or not at all, in place of those that are there.

    Raises:
      UserError: no `Chips`, or a folder that cannot be written.
    """
    from imcjax.training import Store  # with it comes Orbax

    if not isinstance(chips, Chips) or np.ndim(chips.key) > 1 or (chips.key is not None and np.ndim(chips.key) == 0):
        raise UserError(f"chips is a {type(chips).__name__}; give the Chips that program_chips returned, all of them.")
    store, generator = Store(Path(folder)), None if chips.key is None else _generator(chips.key)
    # Steps count the saves: by the number of chips, fewer than before would be taken for an older save.
    store.save("chips", (store.step("chips") or 0) + 1, chips, {"count": len(chips), "generator": generator})


def load_chips(folder: str | Path, model: Any, key: jax.Array | None = None) -> Chips:
    """The chips that `save_chips` kept, for the model that they were programmed with.

    Args:
      folder: where they are.
      model: the converted model.
      key: any key of the same generator as the chips'; None: `jax.random.key`'s.

    Raises:
      UserError: nothing there, chips of another model, or keys of another generator.
    """
    from imcjax.training import Store

    store = Store(Path(folder))
    notes = store.notes("chips")
    if notes is None:
        raise UserError(f"There are no chips in {folder}; give a folder that save_chips has written.")
    count, keys = notes["count"], None
    if notes["generator"] is not None:
        key = jax.random.key(0) if key is None else key
        if _generator(key) != notes["generator"]:
            raise UserError(
                f"The chips in {folder} have keys of the generator {notes['generator']!r}, and key is one of "
                f"{_generator(key)!r}; give load_chips a key of that generator, as imcjax.fast_random.fast_key(0)."
            )
        keys = chip_keys(key, np.arange(count))
    shapes = jax.eval_shape(lambda: program_chips(model, None if keys is None else keys[0], count))
    found = store.load("chips", Chips(shapes.programmed, keys))
    assert found is not None
    return found[1]


def _generator(key: jax.Array) -> str:
    return str(jax.random.key_impl(key))


def _check_single(chip: Any) -> None:
    if not isinstance(chip, Chips):
        raise UserError(f"chip is a {type(chip).__name__}; give one of the Chips that program_chips returned: chips[0].")
    if np.ndim(chip.key) > 0:
        raise UserError(f"chip holds {len(chip)} chips; give one of them: chips[0].")


def _check_evaluation(x: np.ndarray, y: np.ndarray, key: Any, chips: Any, times: np.ndarray, chunk: int, batch: int) -> None:
    if np.ndim(x) == 0 or np.ndim(y) != 1 or not np.issubdtype(y.dtype, np.integer):
        raise UserError(
            f"x has shape {x.shape} and y holds {y.dtype} numbers of shape {y.shape}; give inputs (n, ...) and whole numbers "
            "of classes (n,)."
        )
    if len(x) != len(y) or len(x) == 0:
        raise UserError(f"x has {len(x)} inputs and y {len(y)} classes; give one class for each of at least one input.")
    check_key(key)
    for name, value in (("chunk", chunk), ("batch", batch), ("chips", 1 if isinstance(chips, Chips) else chips)):
        check_number(name, value, 1, whole=True)
    if key is None and not isinstance(chips, Chips) and chips > 1:
        raise UserError(f"chips is {chips} and key None, without which all chips are the same; give a key, or chips=1.")
    if times.ndim != 1 or len(times) == 0:
        raise UserError(f"times has shape {times.shape}; give a sequence of at least one number of seconds.")


def _checked(model: Any) -> None:
    if not placed(model):
        raise UserError("The model has no layer on hardware; convert it first with imcjax.convert.")


def _program(model: Any, key: jax.Array | None) -> dict[str, Any]:
    """One chip: path -> `Programmed`, leaves (groups, ...)."""
    found = layers(model)
    return {path: op.program(matrices(found[path]), key) for path, op in operators(model).items()}


def _settle(operator: Any, chip: Any, key: Any, time: Any, compensation: str | None) -> pipeline.Settled:
    """A layer's chip at one time, what its columns answer scaled up by what drift has taken."""
    hardware = operator.technology
    now = operator.cells(chip, key, time)
    settled = respond(chip, answers(chip, now, hardware), hardware)
    if compensation is None:
        return settled
    before = operator.cells(chip, None, 0.0)  # (groups, S, D, T, C, r, c): there is time for many reads, and their mean
    if compensation == "global":
        scale = jax.vmap(global_scale)(now, before).reshape(-1, 1, 1, 1, 1)
    else:
        layout = tiling((settled.n_in, settled.n_out), hardware)
        scales = jax.vmap(lambda a, b: column_scale(a, b, pair_axis=1))(now, before)  # (groups, S, 1, T, C, 1, c)
        scale = by_output(jnp.moveaxis(scales, 2, 1), layout)  # (groups, 1, T, S, N)
    return replace(settled, gains=scale if settled.gains is None else settled.gains * scale)


def _correct(operator: Any, settled: pipeline.Settled, w: Any, x: Any) -> tuple[jax.Array, jax.Array]:
    """Gain and offset (groups, n_out) that bring a chip's outputs nearest to the exact products, by least squares."""
    hardware, settings = operator.technology, operator.settings()
    x = jnp.asarray(x)
    exact = jnp.einsum("sgi,gio->gso", x, w, precision=lax.Precision.HIGHEST)
    found = jax.vmap(lambda chip, x: pipeline.multiply(chip, x, hardware, settings), in_axes=(0, 1))(settled, x)
    middle, target = found.mean(1, keepdims=True), exact.mean(1, keepdims=True)
    spread = jnp.sum((found - middle) ** 2, 1)
    gain = jnp.where(spread > 0, jnp.sum((found - middle) * (exact - target), 1) / jnp.where(spread > 0, spread, 1), 1)
    return gain, target[:, 0] - gain * middle[:, 0]


def _estimate_norms(model: Any, batch: Any) -> None:
    """Running statistics of the BatchNorm layers as this batch has them, in place."""
    if not norms_of(model):
        raise UserError("The model has no BatchNorm layer; leave norms out.")
    take_statistics(model, jnp.asarray(batch))


def _even(count: int, most: int) -> int:
    """A size of chunks of at most `most`, none below its half, with which the last one is filled up least."""
    return min(range(min(most, count), (min(most, count) - 1) // 2, -1), key=lambda size: -count % size)


def _batches(x: np.ndarray, y: np.ndarray, batch: int) -> tuple[Float[Array, "batches batch ..."], Any]:
    """Inputs and classes in batches of one size; the last is filled up, with classes that there are none of."""
    size = min(batch, len(x))
    missing = -len(x) % size
    x = np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))
    y = np.pad(y, (0, missing), constant_values=-1)
    return jnp.asarray(x.reshape(-1, size, *x.shape[1:])), jnp.asarray(y.reshape(-1, size))
