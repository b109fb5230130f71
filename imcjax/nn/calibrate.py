"""calibrate: static ranges for every layer on hardware, from batches of real inputs."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from rich.progress import track

from imcjax.errors import UserError
from imcjax.nn.convert import hook_name, layers, operators
from imcjax.nn.operator import ConvGeneralDilated, evenly
from imcjax.ranges import find_ranges
from imcjax.settings import complete


SAMPLES = 1024
"""Input vectors kept of each layer."""


def calibrate(
    model: Any,
    batches: Iterable[Any],
    *,
    samples: int = SAMPLES,
    progress: bool = False,
    rule: str = "mse",
    per: str = "slice",
) -> None:
    """Make the ranges of every layer on hardware static, in place.

    The batches run through the model with exact (digital) layers; from the inputs that each layer then sees, its weight, input
    and ADC ranges of least squared error are chosen, and whether its inputs are ever negative.

    Args:
      model: a converted model.
      batches: inputs of the model, each a whole batch.
      samples: how many input vectors of each layer to keep.
      progress: show a progress bar.
      rule: how ADC ranges are chosen: "mse", "max", "percentile" or "csnr" (`imcjax.ranges.RULES`).
      per: what has an ADC range of its own: "tensor", "tile", "slice" or "column".

    Raises:
      UserError: no batches, a model without layers on hardware, a layer that the model does not call, inputs that are not
        finite, an unknown rule.
    """
    seen = record_inputs(model, batches, samples=samples, progress=progress)
    find = jax.jit(functools.partial(find_ranges, rule=rule, per=per))
    found = layers(model)
    for path, operator in operators(model).items():
        operator.input_signed = seen[path].signed
        settings = operator.settings()
        complete(settings, operator.technology)  # refuses widths out of range while they can be seen
        inputs = jnp.asarray(seen[path].inputs)
        for name, value in find(matrices(found[path]), inputs, operator.technology, settings).items():
            if value is not None:
                operator.set_range(name, value)


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
    def run(state: Any, batch: jax.Array) -> dict[str, list[_Call]]:
        calls: dict[str, list[_Call]] = {path: [] for path in hooks}
        copy = nnx.merge(graph, state, copy=True)
        for path, layer in layers(copy).items():
            if path in hooks:
                setattr(layer, hook_name(layer), functools.partial(_recording, calls[path], hooks[path], samples))
        copy(batch)
        return calls

    parts: dict[str, list[_Call]] = {path: [] for path in hooks}
    vectors = dict.fromkeys(hooks, 0)
    fed = 0
    for batch in track(batches, "calibrate", disable=not progress):
        batch = jnp.asarray(batch)
        fed += max(batch.shape[0] if batch.ndim else 1, 1)
        for path, calls in jax.device_get(run(state, batch)).items():
            parts[path] += calls
            vectors[path] += sum(int(call.vectors) for call in calls)
    if fed == 0:
        raise UserError("calibrate got no batches; give at least one batch of inputs.")
    return {path: _joined(path, calls, -(-vectors[path] // fed), samples) for path, calls in parts.items()}


def matrices(layer: Any) -> jax.Array:
    """The weights of a layer as (groups, n_in, n_out) matrices."""
    kernel, hook = layer.kernel.get_value(), getattr(layer, hook_name(layer))
    if not isinstance(hook, ConvGeneralDilated):
        return hook.matrices(kernel)
    return hook.matrices(kernel if layer.mask is None else kernel * layer.mask, layer.feature_group_count)


class _Call(NamedTuple):
    kept: Any
    vectors: Any
    lowest: Any
    finite: Any


def _recording(calls: list[_Call], hook: Any, samples: int, x: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
    kwargs.pop("out_sharding", None)
    kept, count = hook.some_vectors(samples, x, *args, **kwargs)
    calls.append(_Call(kept, count, jnp.min(x), jnp.isfinite(x).all()))
    compute: Callable[..., jax.Array] = lax.conv_general_dilated if isinstance(hook, ConvGeneralDilated) else lax.dot_general
    return compute(x, *args, **kwargs)


def _joined(path: str, calls: list[_Call], positions: int, samples: int) -> Recorded:
    if not calls:
        raise UserError(f"The model does not call layer {path!r}; leave it digital with Rule({path!r}, digital=True).")
    if not all(call.finite for call in calls):
        raise UserError(f"The inputs of layer {path!r} hold NaN or infinite values during calibration; check the batches.")
    rows = np.concatenate([call.kept for call in calls])
    return Recorded(rows[evenly(len(rows), samples)], positions, any(call.lowest < 0 for call in calls))
