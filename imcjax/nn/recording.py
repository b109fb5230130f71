"""What each layer on hardware sees while a model runs on real inputs."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.progress import track

from imcjax.errors import UserError
from imcjax.nn.hooks import hook_name, member_path, modules, operators, placed, stack_of
from imcjax.nn.operator import Operator
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
    """The calls of a layer so far, a tuple; a variable, so that it gets out of `nnx.scan`, `nnx.vmap` and `nnx.remat`."""


class Recorder(nnx.Module):
    """Stands where an operator was: computes digitally and notes the inputs."""

    def __init__(self, operator: Operator, samples: int):
        self.operator = operator
        self.samples = samples
        self.seen = Seen(())

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        """As the digital operation."""
        kwargs.pop("out_sharding", None)
        kept, count = self.operator.some_vectors(self.samples, *args, **kwargs)  # type: ignore[attr-defined]
        x = next(arg for arg in args if not isinstance(arg, str))  # an equation may come first
        call = _Call(kept, jnp.int32(count), jnp.min(x), jnp.isfinite(x).all())
        self.seen.set_value((*self.seen.get_value(), call))
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
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: Any, batch: jax.Array) -> dict[str, tuple[_Call, ...]]:
        copy = nnx.merge(graph, state, copy=True)
        for layer in placed(copy).values():
            operator = getattr(layer, hook_name(layer))
            setattr(layer, hook_name(layer), nnx.data(Recorder(operator, samples)))
        copy(batch)
        return {name: calls for path, layer in modules(copy).items() for name, calls in _calls(path, layer)}

    parts: dict[str, list[_Call]] = {path: [] for path in hooks}
    vectors = dict.fromkeys(hooks, 0)
    fed = 0
    for batch in track(batches, "calibrate", disable=not (progress and sys.stdout.isatty()), transient=True):
        batch = jnp.asarray(batch)
        fed += max(batch.shape[0] if batch.ndim else 1, 1)
        for path, calls in jax.device_get(run(state, batch)).items():
            parts[path] += calls
            vectors[path] += sum(int(call.vectors) for call in calls)
    if fed == 0:
        raise UserError("calibrate got no batches; give at least one batch of inputs.")
    return {path: _joined(path, calls, -(-vectors[path] // fed), samples) for path, calls in parts.items()}


def _calls(path: str, layer: Any) -> Iterator[tuple[str, tuple[_Call, ...]]]:
    """The calls of a layer, or of each member of a stack, with their paths."""
    recorder = getattr(layer, hook_name(layer))
    if not isinstance(recorder, Recorder):
        return
    seen = recorder.seen.get_value()
    stack = stack_of(path, layer)
    for index in np.ndindex(stack):
        yield member_path(path, index), jax.tree.map(lambda leaf, at=index: leaf[at], seen) if stack else seen


def _joined(path: str, calls: list[_Call], positions: int, samples: int) -> Recorded:
    if not calls:
        raise UserError(f"The model does not call layer {path!r}; leave it digital with Rule({path!r}, digital=True).")
    if not all(call.finite for call in calls):
        raise UserError(f"The inputs of layer {path!r} hold NaN or infinite values during calibration; check the batches.")
    rows = np.concatenate([call.kept for call in calls])
    return Recorded(rows[evenly(len(rows), samples)], positions, any(call.lowest < 0 for call in calls))
