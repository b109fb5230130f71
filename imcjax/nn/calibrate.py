"""calibrate: static ranges for every layer on hardware, from batches of real inputs."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from rich.progress import track

from imcjax.errors import UserError
from imcjax.nn.convert import HOOKS, layers, operators
from imcjax.nn.operator import ConvGeneralDilated, Operator, unroll
from imcjax.ranges import find_ranges


SAMPLES = 1024
"""Input vectors kept of each layer."""


def calibrate(model: Any, batches: Iterable[Any], *, samples: int = SAMPLES, progress: bool = False) -> None:
    """Make the ranges of every layer on hardware static, in place.

    The batches run through the model with exact (digital) layers; from the inputs that each layer then sees, its weight, input
    and ADC ranges of least squared error are chosen, and whether its inputs are ever negative.

    Args:
      model: a converted model.
      batches: inputs of the model, each a whole batch.
      samples: how many input vectors of each layer to keep.
      progress: show a progress bar.

    Raises:
      UserError: no batches, a model without layers on hardware, or inputs that are not finite.
    """
    seen = record_inputs(model, batches, samples=samples, progress=progress)
    find = jax.jit(find_ranges)
    for path, operator in operators(model).items():
        kernel = matrices(layers(model)[path])
        inputs = seen[path].inputs
        operator.input_signed = bool(inputs.min() < 0)
        for name, value in find(kernel, jnp.asarray(inputs), operator.technology, operator.settings()).items():
            if value is not None:
                operator.set_range(name, value)


class Recorded(NamedTuple):
    """What a layer on hardware saw.

    Attributes:
      inputs: (samples, groups, n_in) input vectors.
      positions: vectors per input of the model: 1 for a Linear layer on vectors, the output positions of a convolution.
    """

    inputs: np.ndarray
    positions: int


def record_inputs(model: Any, batches: Iterable[Any], *, samples: int = SAMPLES, progress: bool = False) -> dict[str, Recorded]:
    """What each layer on hardware sees, by path, while the layers compute digitally.

    Raises:
      UserError: no batches, a model without layers on hardware, or inputs that are not finite.
    """
    hooks = operators(model)
    if not hooks:
        raise UserError("The model has no layer on hardware; convert it first with imcjax.convert.")
    kept: dict[str, list[Recorded]] = {path: [] for path in hooks}
    found = layers(model)
    for path, hook in hooks.items():
        _inject(found[path], functools.partial(_recording, kept[path], _digital(hook), _vectors(hook), samples))
    try:
        count = 0
        for batch in track(batches, "calibrate", disable=not progress):
            model(jnp.asarray(batch))
            count += 1
    finally:
        for path, hook in hooks.items():
            _inject(found[path], nnx.data(hook))
    if count == 0:
        raise UserError("calibrate got no batches; give at least one batch of inputs.")
    recorded = {}
    for path, parts in kept.items():
        values = _evenly(np.concatenate([part.inputs for part in parts]), samples)
        if not np.isfinite(values).all():
            raise UserError(f"The inputs of layer {path!r} hold NaN or infinite values during calibration; check the batches.")
        recorded[path] = Recorded(values, parts[0].positions)
    return recorded


def matrices(layer: Any) -> jax.Array:
    """The weights of a layer as (groups, n_in, n_out) matrices."""
    kernel = layer.kernel.get_value()
    hook = operators_of(layer)
    return hook.matrices(kernel, layer.feature_group_count) if isinstance(hook, ConvGeneralDilated) else hook.matrices(kernel)


def operators_of(layer: Any) -> Any:
    """The operator injected in a layer."""
    return next(getattr(layer, attribute) for kind, (attribute, _) in HOOKS.items() if isinstance(layer, kind))


def _inject(layer: Any, hook: Any) -> None:
    attribute = next(attribute for kind, (attribute, _) in HOOKS.items() if isinstance(layer, kind))
    setattr(layer, attribute, hook)


def _digital(hook: Operator) -> Callable:
    return lax.conv_general_dilated if isinstance(hook, ConvGeneralDilated) else lax.dot_general


def _vectors(hook: Operator) -> Callable:
    def of_convolution(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **kwargs: Any) -> jax.Array:
        groups = kwargs.get("feature_group_count", 1)
        return unroll(x, kernel.shape, strides, padding, kwargs.get("rhs_dilation"), groups)

    def of_product(x: jax.Array, *_: Any, **__: Any) -> jax.Array:
        return x[..., None, :]

    return of_convolution if isinstance(hook, ConvGeneralDilated) else of_product


def _recording(
    kept: list[Recorded], compute: Callable, vectors: Callable, samples: int, x: jax.Array, *args: Any, **kwargs: Any
) -> jax.Array:
    rows = vectors(x, *args, **kwargs)
    flat = np.asarray(rows.reshape(-1, *rows.shape[-2:]))
    kept.append(Recorded(_evenly(flat, samples), math.prod(rows.shape[1:-2])))
    kwargs.pop("out_sharding", None)
    return compute(x, *args, **kwargs)


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return rows[chosen]
