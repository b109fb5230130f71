"""fit: the training loop, resumable to the bit, which stops at the first step that is no number and names the layer."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imcjax.errors import UserError, check_number
from imcjax.keys import check_key, fold_index, fold_name
from imcjax.nn.hooks import hook_name, leading_axes, modules
from imcjax.nn.recording import Seen
from imcjax.training.batches import batch_indices
from imcjax.training.checkpoint import Store
from imcjax.training.hardware_aware import Options, Trainer, TrainState
from imcjax.training.inputs import check_batch, check_data, check_model
from imcjax.training.losses import cross_entropy
from imcjax.training.stages import Row


class Fitted(NamedTuple):
    """What training gave.

    Attributes:
      model: trained, in evaluation mode; with the running mean of the parameters where one is kept.
      history: a row a chunk: step, and the means of loss and accuracy since the row before.
      state: of the last step.
    """

    model: Any
    history: list[Row]
    state: TrainState


class NotFiniteError(UserError):
    """The loss is no number any more.

    Attributes:
      state: the last good state of the training.
      trainer: makes a model of it.
    """

    state: TrainState
    trainer: Trainer


def fit(
    model: Any,
    x: Any,
    y: Any,
    *,
    optimizer: optax.GradientTransformation,
    steps: int,
    batch: int = 128,
    options: Options | None = None,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    teacher: Any = None,
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
    key: jax.Array | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    chunk: int = 100,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> Fitted:
    """Train a model, on hardware or not, for `steps` steps; `model` itself is left as it is.

    Batches, augmentation and chips of step i are functions of the seed, the key and i: with a folder, training that was stopped
    goes on from its last checkpoint and ends the same.

    Args:
      model: an nnx model; a converted one is trained for its hardware.
      x, y: inputs (n, ...) and labels (n, ...).
      optimizer: of Optax.
      steps: in all.
      batch: inputs a step.
      options: how (`Options`).
      loss: of (outputs, labels): a mean over the batch.
      teacher: a model whose outputs are aimed at too, by `Options.distill`.
      augment: of (key, inputs), as `imcjax.data.cifar10.augment`; None: none.
      key: of chips and augmentation; None: `imcjax.fast_random.fast_key(seed)`.
      seed: of the order of the samples.
      folder: for checkpoints; None: none are kept.
      chunk: steps between checkpoints, and rows of the history.
      mesh: for data parallel training, as `Trainer` takes it.
      progress: show a progress bar where there is a terminal.

    Raises:
      UserError: inputs and labels that do not fit, options out of range, a checkpoint of another structure or of other
        batches, or of more steps.
      NotFiniteError: a loss that is no number; its state, and the checkpoint, are those of the last good chunk.
    """
    from imcjax.fast_random import fast_key

    check_number("steps", steps, 1, whole=True)
    check_number("chunk", chunk, 1, whole=True)
    check_number("seed", seed, 0, whole=True)
    check_model(model)
    x, y = (part if hasattr(part, "shape") else np.asarray(part) for part in (x, y))
    check_batch(x, y, batch)
    steps, chunk, batch, seed = int(steps), int(chunk), int(batch), int(seed)
    check_key(key)
    key = fast_key(seed) if key is None else key
    trainer = Trainer(model, optimizer, options, loss=loss, teacher=teacher, key=fold_name(key, "chips"), mesh=mesh)
    state, rows, done = trainer.start(), [], 0
    store = None if folder is None else Store(Path(folder))
    if store is not None:
        store.check_writable()
    own = [str(jax.random.key_impl(key)), *np.asarray(jax.random.key_data(key)).tolist()]
    run = {"batch": batch, "seed": seed, "samples": len(x), "key": own}
    found = None if store is None else store.load("fit", state)
    if found is not None:
        done, state, notes = found
        _check_resumed(Path(folder), notes.get("run", run), run, done, steps)  # type: ignore[arg-type]
        state, rows = trainer.place(state), notes["rows"]

    def feed(number: int, chosen: Any) -> tuple[jax.Array, jax.Array]:
        inputs = jnp.asarray(x[chosen])
        if augment is not None:
            inputs = augment(fold_index(fold_name(key, "augment"), number), inputs)
        return inputs, jnp.asarray(y[chosen])

    check_data(model, feed(0, np.arange(batch))[0], y, loss, teacher)
    with _bar(progress) as bar:
        task = bar.add_task("training", total=steps, completed=done, note="")
        while done < steps:
            stop, good, metrics = min(done + chunk, steps), state, []
            order = batch_indices(len(x), batch, done, stop, seed=seed)
            for number, chosen in enumerate(order, done):
                state, found_metrics = trainer.step(state, *feed(number, chosen))
                metrics.append(found_metrics)
                if number % 10 == 9 or number + 1 == stop:  # looking waits for the device
                    if not np.isfinite([float(m["loss"]) for m in metrics[-10:]]).all():
                        raise _blame(trainer, good, (feed(i, row) for i, row in enumerate(order[: len(metrics)], done)))
                    bar.update(task, completed=number + 1, note=f"loss {float(metrics[-1]['loss']):.3f}")
            if broken(state.params) is not None:  # by the last update, whose loss nobody has seen
                raise _blame(trainer, good, (feed(i, row) for i, row in enumerate(order, done)))
            means = {name: float(np.mean([float(m[name]) for m in metrics])) for name in metrics[0]}
            rows, done = [*rows, {"step": stop, **means}], stop
            if store is not None:
                store.save("fit", done, state, {"rows": rows, "run": run})
    return Fitted(trainer.model(state), rows, state)


def _check_resumed(folder: Path, before: dict[str, Any], now: dict[str, Any], done: int, steps: int) -> None:
    """Refuse to go on from a checkpoint with what would make of it neither the one run nor the other."""
    for name, value in now.items():
        if before.get(name) == value:
            continue
        if name == "key":
            raise UserError(f"The training kept in {folder} was begun with another key; give that, or another folder.")
        raise UserError(
            f"The training kept in {folder} has {name} {before.get(name)}, and {name} is {value} here; go on with "
            f"{before.get(name)}, or give another folder."
        )
    if done > steps:
        raise UserError(
            f"The training kept in {folder} has done {done} steps, and steps is {steps}; give at least {done}, or another "
            "folder."
        )


def _blame(trainer: Trainer, good: TrainState, batches: Iterator[tuple[jax.Array, jax.Array]]) -> NotFiniteError:
    """What to raise; the steps since the last good state are done again up to the one that fails."""
    state, text = good, "the steps done again are finite"
    for inputs, labels in batches:
        after, metrics = trainer.step(state, inputs, labels)
        if not np.isfinite(float(metrics["loss"])):
            step = int(state.step) + 1
            text = f"the loss became {float(metrics['loss'])} in step {step}: {culprit(trainer, state, inputs)}"
            break
        wrong = broken(after.params)
        if wrong is not None:
            text = f"step {int(state.step) + 1} made parameter {wrong!r} no number, by its gradient or by the optimizer"
            break
        state = after
    error = NotFiniteError(
        f"Training stopped, {text}. The state of step {int(good.step)} is kept; go on from it with a smaller learning rate, or "
        "look at the inputs."
    )
    error.state, error.trainer = good, trainer
    return error


def broken(params: Any) -> str | None:
    """The first parameter that is not finite, by '/'-joined path; None: all are."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(params))
    finite = np.asarray(_finite([leaf for _, leaf in leaves]))
    path = next((path for (path, _), good in zip(leaves, finite, strict=True) if not good), None)
    return None if path is None else "/".join(str(getattr(part, "key", part)) for part in path)


@jax.jit
def _finite(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])


def culprit(trainer: Trainer, state: TrainState, inputs: jax.Array) -> str:
    """Where numbers stop being finite: the first layer whose output is not while its input is."""
    if not np.isfinite(np.asarray(inputs)).all():
        return "the inputs are not finite"
    model = trainer.model(state, ema=False)
    model.train()
    watched = []
    for path, module in modules(model).items():
        stack, _ = leading_axes(module)
        if stack is not None:
            watched.append(path)
            setattr(module, hook_name(module), nnx.data(_Watcher(getattr(module, hook_name(module)), stack)))
    graph, rest = nnx.split(model)

    @jax.jit  # arrays that can be looked at are refused with a sentence of their own
    def run(rest: Any, x: jax.Array) -> list[jax.Array]:
        copy = nnx.merge(graph, rest, copy=True)
        copy(x)
        found = modules(copy)
        return [getattr(found[path], hook_name(found[path])).seen.get_value() for path in watched]

    found = list(zip(watched, jax.device_get(run(rest, jnp.asarray(inputs))), strict=True))
    for place, what in ((0, "the outputs of layer {!r} are not finite"), (1, "the inputs of layer {!r} are not finite, {}")):
        for path, seen in found:
            if seen[..., place].any():
                return what.format(path, "by what stands before it")
    return "no layer's outputs are to blame, so it is the loss itself or its gradient"


class _Watcher(nnx.Module):
    """Computes as the operation it stands for, and notes in any call: finite inputs with other outputs, inputs not finite."""

    def __init__(self, operation: Any, stack: tuple[int, ...]):
        self.operation = nnx.data(operation) if isinstance(operation, nnx.Module) else nnx.static(operation)
        self.seen = Seen(jnp.zeros((*stack, 2), bool))  # of one size, since a loop may carry it

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        y = (jax.lax.dot_general if self.operation is None else self.operation)(*args, **kwargs)
        arrays = [arg for arg in args if hasattr(arg, "dtype")]
        before, after = jnp.stack([jnp.isfinite(a).all() for a in arrays]).all(), jnp.isfinite(y).all()
        self.seen.set_value(self.seen.get_value() | jnp.stack([before & ~after, ~before]))
        return y


def _bar(progress: bool) -> Progress:
    columns = [TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn()]
    return Progress(*columns, TextColumn("{task.fields[note]}"), disable=not (progress and sys.stdout.isatty()), transient=True)
