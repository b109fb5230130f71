"""What the layers of a model see, and how to compute each of them by itself."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from imcjax.errors import UserError
from imcjax.nn.convert import hook_name, layers


class LayerRecord(NamedTuple):
    """One layer's inputs and operator.

    Attributes:
      inputs: one array for each call, as the layer's operator gets it, before any quantization.
      compute: (inputs, kernel) -> outputs without the bias, exactly.
    """

    inputs: list[np.ndarray]
    compute: Callable[[jax.Array, jax.Array], jax.Array]

    def vectors(self, most: int) -> np.ndarray:
        """At most `most` input vectors (vectors, channels), evenly chosen."""
        rows = np.concatenate([x.reshape(-1, x.shape[-1]) for x in self.inputs])
        return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]


def record_layers(model: Any, batches: Iterable[Any], paths: list[str], *, exact: bool) -> dict[str, LayerRecord]:
    """Records of the layers at `paths`, in the order in which the model calls them; the model is left as it is.

    Args:
      model: an nnx module, run as it is (call its `eval()` first where that matters).
      batches: inputs of the model, each a whole batch.
      paths: '/'-joined.
      exact: compute these layers as if they had no formats.

    Raises:
      UserError: no batches, a layer that the model does not call, or inputs that are not finite.
    """
    graph, state = nnx.split(model)
    computes: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {}

    @jax.jit
    def run(state: Any, batch: jax.Array) -> dict[str, list[jax.Array]]:
        seen: dict[str, list[jax.Array]] = {}
        copy = nnx.merge(graph, state, copy=True)
        for path, layer in layers(copy).items():
            if path in paths:
                hook = hook_name(layer)
                plain = lax.conv_general_dilated if hook == "conv_general_dilated" else lax.dot_general
                setattr(layer, hook, _recorder(path, plain, plain if exact else getattr(layer, hook), seen, computes))
        copy(batch)
        return seen

    found: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        # Not the returned dict: it is sorted, and the order of the calls is wanted.
        for path, calls in jax.device_get(run(state, jnp.asarray(batch))).items():
            found.setdefault(path, []).extend(calls)
    if not found and not computes:
        raise UserError("There are no batches; give at least one batch of inputs.")
    for path in paths:
        if path not in found:
            raise UserError(f"The model does not call layer {path!r}; leave it without formats.")
        if not all(np.isfinite(x).all() for x in found[path]):
            raise UserError(f"The inputs of layer {path!r} hold NaN or infinite values; check the batches.")
    return {path: LayerRecord(found[path], computes[path]) for path in computes}


def _recorder(path: str, plain: Any, used: Any, seen: dict[str, list[jax.Array]], computes: dict[str, Any]) -> Any:
    def call(x: jax.Array, kernel: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        kwargs.pop("out_sharding", None)
        seen.setdefault(path, []).append(x)
        computes.setdefault(path, lambda x, kernel: plain(x, kernel, *args, **kwargs))
        return used(x, kernel, *args, **kwargs)

    return call
