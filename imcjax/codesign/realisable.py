"""Whether a chip can do what a trained model does: the last check of a model on hardware, after all searching and training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.errors import UserError
from imcjax.nn.hooks import hook_name, operators, placed
from imcjax.nn.operator import BITS
from imcjax.nn.taps import partial_sums
from imcjax.settings import Settings, complete


def require_realisable(model: Any, x: Any) -> None:
    """Refuse a model that computes with something that no chip has.

    Ranges that follow the data; widths that are not whole or not the hardware's; ADC codes beyond its levels; outputs of a
    sample that depend on the rest of its batch (statistics of the batch, in training or in a normalisation).

    Args:
      model: a converted model, in evaluation mode.
      x: (batch, ...) inputs, at least two.

    Raises:
      UserError: naming the layer and what is wrong with it.
    """
    x = jnp.asarray(x)
    if x.ndim < 1 or len(x) < 2:
        raise UserError(f"x has shape {x.shape}; give at least two inputs, so that one can be seen beside another.")
    for path, operator in operators(model).items():
        _check_layer(path, operator.settings(), operator.technology)
    for path, calls in partial_sums(model, x).items():
        for call in calls:
            codes, levels = np.asarray(call.codes), np.max(call.levels)
            if call.codes is not None and ((codes < 0) | (codes >= levels)).any():
                raise UserError(f"Layer {path!r} has ADC codes beyond its {levels:g} levels; give its ADC another range.")
    _check_batch(model, x)


def _check_layer(path: str, settings: Settings, hardware: Any) -> None:
    if settings.input_range is None:
        raise UserError(
            f"Layer {path!r} has a dynamic input range, which follows the inputs of each call; call imcjax.calibrate(model, "
            "batches)."
        )
    complete(settings, hardware)
    for name in BITS:
        bits = getattr(settings, name)
        if bits is not None and (np.asarray(bits) != np.round(np.asarray(bits))).any():
            raise UserError(f"Layer {path!r} has {name} {np.asarray(bits)}; project them onto whole widths first.")


def _check_batch(model: Any, x: jax.Array) -> None:
    """The outputs of the first input, beside others: the same program, so the same to the last bit."""
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: Any, x: jax.Array) -> Any:
        copy = nnx.merge(graph, state, copy=True)
        for layer in placed(copy).values():
            getattr(layer, hook_name(layer)).noise = nnx.data(None)
        return copy(x)

    others = jnp.concatenate([x[:1], 2 * jnp.flip(x[1:], axis=0)])
    same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a[0], b[0])), run(state, x), run(state, others))
    if not all(jax.tree.leaves(same)):
        raise UserError(
            "The outputs of an input depend on the others in its batch; call model.eval() where it normalises, and "
            "imcjax.calibrate(model, batches) where ranges follow the data."
        )
