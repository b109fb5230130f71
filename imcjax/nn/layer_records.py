"""What the layers of a model see, and how to compute each of them by itself."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from imcjax.errors import UserError
from imcjax.nn.hooks import hook_name, plain_layers


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


class Recorder:
    """Runs a model and keeps what its layers see; one compiled program for as long as only its numbers change.

    Args:
      model: an nnx module, run as it is (call its `eval()` first where that matters).
      paths: of the layers, '/'-joined.
      exact: compute these layers as if they had no formats.
    """

    def __init__(self, model: Any, paths: Iterable[str], *, exact: bool):
        self.paths = list(paths)
        self._computes: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {}
        graph, _ = nnx.split(model)

        def run(state: Any, batch: jax.Array) -> dict[str, list[jax.Array]]:
            seen: dict[str, list[jax.Array]] = {}
            copy = nnx.merge(graph, state, copy=True)
            for path, layer in plain_layers(copy).items():
                if path in self.paths:
                    hook = hook_name(layer)
                    plain = lax.conv_general_dilated if hook == "conv_general_dilated" else lax.dot_general
                    used = plain if exact else getattr(layer, hook)
                    setattr(layer, hook, _recorder(path, plain, used, seen, self._computes))
            copy(batch)
            return seen

        self._run = jax.jit(run)

    def __call__(self, model: Any, batches: Iterable[Any]) -> dict[str, LayerRecord]:
        """Records of the layers, in the order in which the model calls them; the model is left as it is.

        Args:
          model: the one given before, with its present numbers.
          batches: inputs of the model, each a whole batch.

        Raises:
          UserError: no batches, a layer that the model does not call, or inputs that are not finite.
        """
        _, state = nnx.split(model)
        found: dict[str, list[np.ndarray]] = {}
        for batch in batches:
            for path, calls in jax.device_get(self._run(state, jnp.asarray(batch))).items():
                found.setdefault(path, []).extend(calls)
        if not self._computes:
            raise UserError("There are no batches; give at least one batch of inputs.")
        for path in self.paths:
            if path not in found:
                raise UserError(f"The model does not call layer {path!r}; leave it without formats.")
            if not all(np.isfinite(x).all() for x in found[path]):
                raise UserError(f"The inputs of layer {path!r} hold NaN or infinite values; check the batches.")
        # Not `found`, which is sorted: this one is in the order of the calls.
        return {path: LayerRecord(found[path], compute) for path, compute in self._computes.items()}


def _recorder(path: str, plain: Any, used: Any, seen: dict[str, list[jax.Array]], computes: dict[str, Any]) -> Any:
    def call(x: jax.Array, kernel: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        kwargs.pop("out_sharding", None)
        seen.setdefault(path, []).append(x)
        computes.setdefault(path, lambda x, kernel: plain(x, kernel, *args, **kwargs))
        return used(x, kernel, *args, **kwargs)

    return call
