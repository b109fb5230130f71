"""What each layer on hardware sees while a model runs on real inputs."""

import functools
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.progress import track

from imcjax.errors import UserError, check_number
from imcjax.nn.hooks import hook_name, matrices, member_path, members, modules, operators, placed, stack_of
from imcjax.nn.operator import Operator
from imcjax.nn.reservoir import Reservoir
from imcjax.nn.structure import Structure
from imcjax.nn.unrolled import evenly


SAMPLES = 1024
"""Input vectors kept of each layer."""


class Recorded(NamedTuple):
    """What a layer on hardware saw.

    Attributes:
      inputs: (samples, groups, n_in) input vectors.
      positions: vectors per input of the model: 1 for a Linear layer on vectors, the output positions of a convolution; those
        of every call where the model calls the layer several times.
      signed: whether any input, kept or not, was negative.
    """

    inputs: np.ndarray
    positions: int
    signed: bool


class Seen(nnx.Variable):
    """What a layer has seen so far, call by call or as a `Reservoir`.

    A variable, so that it gets out of `nnx.scan`, `nnx.vmap` and `nnx.remat`.
    """


class Recorder(nnx.Module):
    """Stands where an operator was: computes digitally and notes the inputs, call by call or, in loops, in a `Reservoir`."""

    def __init__(self, operator: Operator, samples: int, seen: Any = ()):
        self.operator = operator
        self.samples = samples
        self.seen = Seen(seen)

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        """As the digital operation."""
        kwargs.pop("out_sharding", None)
        kept, count = self.operator.some_vectors(self.samples, *args, **kwargs)  # type: ignore[attr-defined]
        x = next(arg for arg in args if not isinstance(arg, str))  # an equation may come first
        seen = self.seen.get_value()
        if isinstance(seen, Reservoir):
            self.seen.set_value(seen.after(x, kept, count))
        else:
            call = _Call(kept, jnp.int32(count), jnp.min(x), jnp.isfinite(x).all())
            self.seen.set_value((*seen, call))
        return self.operator.exactly(*args, **kwargs)  # type: ignore[attr-defined]


class _Call(NamedTuple):
    kept: Any
    vectors: Any
    lowest: Any
    finite: Any


def record_inputs(model: Any, batches: Iterable[Any], *, samples: int = SAMPLES, progress: bool = False) -> dict[str, Recorded]:
    """What each layer on hardware sees, by path, while the layers compute digitally.

    The model is run as it is (call its `eval()` first where that matters), and left as it is: running statistics, counters.

    Raises:
      UserError: no batches, a model without layers on hardware, a layer that the model does not call, or inputs that are not
        finite.
    """
    hooks = operators(model)
    if not hooks:
        raise UserError("The model has no layer on hardware; convert it first with imcjax.convert.")
    check_number("samples", samples, 1, whole=True)
    graph, state = nnx.split(model)
    run = functools.partial(_run, state, structure=Structure(graph), samples=int(samples))
    parts: dict[str, list[_Call]] = {path: [] for path in hooks}
    vectors = dict.fromkeys(hooks, 0)
    fed, loops = 0, False
    if not isinstance(batches, Iterable) or isinstance(batches, str):
        raise UserError(f"batches is a {type(batches).__name__}; give a list of arrays, each a whole batch of inputs.")
    for batch in track(batches, "calibrate", disable=not (progress and sys.stdout.isatty()), transient=True):
        batch = _inputs(batch)
        fed += max(batch.shape[0] if batch.ndim else 1, 1)
        try:
            found = run(batch, loops=loops)
        except TypeError as error:
            # A cell that nnx.RNN scans is carried from step to step: what it notes must not grow.
            if loops or "carry" not in str(error):
                raise
            loops = True
            found = run(batch, loops=loops)
        for path, calls in jax.device_get(found).items():
            calls = [call._replace(kept=call.kept[: int(call.vectors)]) for call in calls if call.vectors > 0]
            parts[path] += calls
            vectors[path] += sum(int(call.vectors) for call in calls)
    if fed == 0:
        raise UserError("calibrate got no batches; give at least one batch of inputs.")
    return {path: _joined(path, calls, -(-vectors[path] // fed), samples) for path, calls in parts.items()}


@functools.partial(jax.jit, static_argnames=("structure", "samples", "loops"))
def _run(state: Any, batch: jax.Array, *, structure: Structure, samples: int, loops: bool) -> dict[str, tuple[_Call, ...]]:
    copy = nnx.merge(structure.graph, state, copy=True)
    for path, layer in placed(copy).items():
        operator = getattr(layer, hook_name(layer))
        seen = _reservoir(path, layer, samples) if loops else ()
        setattr(layer, hook_name(layer), nnx.data(Recorder(operator, samples, seen)))
    copy(batch)
    return {name: calls for path, layer in modules(copy).items() for name, calls in _calls(path, layer)}


def _calls(path: str, layer: Any) -> Iterator[tuple[str, tuple[_Call, ...]]]:
    """The calls of a layer, or of each member of a stack, with their paths."""
    recorder = getattr(layer, hook_name(layer))
    if not isinstance(recorder, Recorder):
        return
    seen = recorder.seen.get_value()
    seen = (_Call(*seen),) if isinstance(seen, Reservoir) else seen
    stack = stack_of(path, layer)
    for index in np.ndindex(stack):
        yield member_path(path, index), jax.tree.map(lambda leaf, at=index: leaf[at], seen) if stack else seen


def _reservoir(path: str, layer: Any, samples: int) -> Reservoir:
    _, member = next(members(path, layer))
    stack, empty = stack_of(path, layer), Reservoir.empty((samples, *matrices(member).shape[:2]))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*stack, *leaf.shape)), empty)


def _inputs(batch: Any) -> jax.Array:
    try:
        array = jnp.asarray(batch)
    except (TypeError, ValueError):
        raise UserError(
            f"batches holds a {type(batch).__name__} that is no array of numbers; give arrays of inputs alone, without labels."
        ) from None
    if array.size == 0:
        raise UserError(f"batches holds an array of shape {array.shape}; give at least one input a batch.")
    return array


def _joined(path: str, calls: list[_Call], positions: int, samples: int) -> Recorded:
    if not calls:
        raise UserError(f"The model does not call layer {path!r}; leave it digital with Rule({path!r}, digital=True).")
    if not all(call.finite for call in calls):
        raise UserError(f"The inputs of layer {path!r} hold NaN or infinite values during calibration; check the batches.")
    rows = np.concatenate([call.kept for call in calls])
    return Recorded(rows[evenly(len(rows), samples)], positions, any(call.lowest < 0 for call in calls))
