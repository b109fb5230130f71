"""New BatchNorm statistics for a model whose layers have changed: quantized, or on hardware."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.errors import UserError


def reestimate_batchnorm(model: Any, batches: Iterable[Any]) -> list[str]:
    """Replace the running statistics of all BatchNorm layers by those of these batches, in place.

    Quantized weights flip between two codes at the end of training, and a moving average keeps what is gone (Nagel et al.,
    "Overcoming oscillations in quantization-aware training", ICML 2022). The mean is that of all samples, the
    variance theirs around it; each layer sees what the ones before make with the statistics of the same batch.

    Args:
      model: an nnx module; everything but its BatchNorm layers runs as it is.
      batches: inputs of the model, each a whole batch.

    Returns:
      Paths of the BatchNorm layers.

    Raises:
      UserError: no BatchNorm, no batches, or statistics that are not finite.
    """
    norms = _norms(model)
    if not norms:
        raise UserError(f"{type(model).__name__} has no nnx.BatchNorm; there are no statistics to estimate.")
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: Any, batch: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
        copy = nnx.merge(graph, state, copy=True)
        found = _norms(copy)
        for norm in found.values():
            norm.use_running_average, norm.momentum = False, 0.0  # the batch's own statistics are kept whole
            norm.mean.set_value(jnp.zeros_like(norm.mean.get_value()))
            norm.var.set_value(jnp.zeros_like(norm.var.get_value()))
        copy(batch)
        return {path: (norm.mean.get_value(), norm.var.get_value()) for path, norm in found.items()}

    samples, means, squares = [], {path: [] for path in norms}, {path: [] for path in norms}
    for batch in batches:
        batch = jnp.asarray(batch)
        samples.append(batch.shape[0])
        for path, (mean, var) in jax.device_get(run(state, batch)).items():
            means[path].append(np.asarray(mean, float))
            squares[path].append(np.asarray(var, float) + np.asarray(mean, float) ** 2)
    if not samples:
        raise UserError("There are no batches; give at least one batch of inputs.")
    for path, norm in norms.items():
        mean = np.average(means[path], axis=0, weights=samples)
        var = np.average(squares[path], axis=0, weights=samples) - mean**2
        if not (np.isfinite(mean).all() and np.isfinite(var).all()):
            raise UserError(f"The inputs of {path!r} hold NaN or infinite values; check the batches.")
        norm.mean.set_value(jnp.asarray(mean, norm.mean.get_value().dtype))
        norm.var.set_value(jnp.asarray(np.maximum(var, 0), norm.var.get_value().dtype))
    return list(norms)


def _norms(model: Any) -> dict[str, Any]:
    return {
        "/".join(str(part) for part in path): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, nnx.BatchNorm)
    }
