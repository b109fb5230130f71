"""The partial sums of every layer of a model while it computes as the chip does."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from imcjax.errors import UserError
from imcjax.nn.hooks import hook_name, matrices, placed
from imcjax.nn.operator import Operator
from imcjax.nn.recording import Seen
from imcjax.partial_sums import PartialSums
from imcjax.partial_sums import partial_sums as of_matrix


class Tap(nnx.Module):
    """Stands before an operator and notes its input vectors."""

    def __init__(self, operator: Operator):
        self.operator = operator
        self.seen = Seen(())

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        """As the operator."""
        rows = self.operator.vectors(*args, **kwargs)  # type: ignore[attr-defined]
        self.seen.set_value((*self.seen.get_value(), rows.reshape(-1, *rows.shape[-2:])))
        return self.operator(*args, **kwargs)  # type: ignore[operator]


def partial_sums(model: Any, x: Any) -> dict[str, list[PartialSums]]:
    """What arrives at the ADCs of each layer, and what they say, without noise; by path, one entry a call of the layer.

    The model runs as it is but for noise; leaves have a leading axis of groups, and B counts vectors (positions of a
    convolution).

    Args:
      model: a converted model.
      x: (batch, ...) inputs of the model.

    Raises:
      UserError: a stack of layers, or as for `imcjax.partial_sums.partial_sums`.
    """
    model = nnx.clone(model)
    for path, layer in placed(model).items():
        operator = getattr(layer, hook_name(layer))
        if operator.stack:
            raise UserError(f"Layer {path!r} is a stack of {operator.stack}; its partial sums cannot be looked at here.")
        operator.noise, operator.chip = nnx.data(None), nnx.data(None)
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: Any, x: jax.Array) -> dict[str, list[PartialSums]]:
        copy = nnx.merge(graph, state, copy=True)
        found, taps = placed(copy), {}
        weights = {path: matrices(layer) for path, layer in found.items()}
        for path, layer in found.items():
            taps[path] = Tap(getattr(layer, hook_name(layer)))
            setattr(layer, hook_name(layer), nnx.data(taps[path]))
        copy(x)
        calls = {path: (tap.operator, tap.seen.get_value()) for path, tap in taps.items()}
        return {path: [_of_call(own, rows, weights[path]) for rows in seen] for path, (own, seen) in calls.items()}

    return run(state, jnp.asarray(x))


def _of_call(operator: Operator, rows: jax.Array, w: jax.Array) -> PartialSums:
    settings, hardware = operator.settings().replace(replicas=1), operator.technology
    return jax.vmap(lambda x, w: of_matrix(x, w, hardware, settings), in_axes=(1, 0))(rows, w)
