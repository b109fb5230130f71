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
    norms = norms_of(model)
    if not norms:
        raise UserError(f"{type(model).__name__} has no nnx.BatchNorm; there are no statistics to estimate.")
    graph, state = nnx.split(model)

    @jax.jit
    def run(state: Any, batch: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
        copy = nnx.merge(graph, state, copy=True)
        take_statistics(copy, batch)
        return {path: (norm.mean.get_value(), norm.var.get_value()) for path, norm in norms_of(copy).items()}

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


def take_statistics(model: Any, batch: jax.Array) -> None:
    """Running statistics of the BatchNorm layers as this one batch has them, in place; under `jax.jit` and `vmap` as well."""
    norms = list(norms_of(model).values())
    before = [(norm.momentum, norm.use_running_average) for norm in norms]
    for norm in norms:
        norm.momentum, norm.use_running_average = 0.0, False  # the batch's own statistics are kept whole
    model(batch)
    for norm, (momentum, running) in zip(norms, before, strict=True):
        norm.momentum, norm.use_running_average = momentum, running


def norms_of(model: Any) -> dict[str, Any]:
    """The BatchNorm layers of a model, by '/'-joined path."""
    return {
        "/".join(str(part) for part in path): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, nnx.BatchNorm)
    }
