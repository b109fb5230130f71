"""Bias correction: what quantized weights add to a layer's mean output is taken off its bias."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.errors import UserError
from imcjax.nn.fake_quantize import fake_operators
from imcjax.nn.formats import FakeQuantized
from imcjax.nn.hooks import plain_layers
from imcjax.nn.layer_records import LayerRecord, Recorder


def correct_bias(model: Any, batches: Iterable[Any]) -> list[str]:
    """b' = b - (W^ - W) E[x] for every layer with quantized weights, in the order of the calls, in place.

    Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
    with E[x] measured: x is what the layer sees in the quantized model, the layers before it corrected. The mean over the
    positions of a convolution is that of its outputs, padding included. A layer without a bias gets one.

    Args:
      model: from `imcjax.nn.fake_quantize`.
      batches: inputs of the model, each a whole batch.

    Returns:
      Paths of the layers corrected.

    Raises:
      UserError: no layer with quantized weights, no batches, inputs that are not finite.
    """
    hooks = {path: hook for path, hook in fake_operators(model).items() if hook.weights is not None}
    if not hooks:
        raise UserError("The model has no layer with quantized weights; make it with imcjax.nn.fake_quantize.")
    batches, found = [np.asarray(batch) for batch in batches], plain_layers(model)
    for path in hooks:
        if found[path].bias is None:
            found[path].bias = nnx.data(nnx.Param(jnp.zeros(found[path].kernel.get_value().shape[-1])))
            found[path].use_bias = True
    recorder = Recorder(model, hooks, exact=False)
    order = list(recorder(model, batches))
    for path in order:
        record = recorder(model, batches)[path]
        kernel = found[path].kernel.get_value()
        kernel = kernel if getattr(found[path], "mask", None) is None else kernel * found[path].mask
        shift = _mean_shift(hooks[path], record, kernel)
        found[path].bias.set_value(found[path].bias.get_value() - shift)
    return order


def _mean_shift(hook: FakeQuantized, record: LayerRecord, kernel: jax.Array) -> jax.Array:
    """(W^ - W) E[x], one for each output."""

    @jax.jit
    def mean(x: jax.Array) -> jax.Array:
        inputs, quantized = hook.quantized(x, kernel)
        outputs = record.compute(inputs, quantized - kernel)
        return jnp.mean(outputs.reshape(-1, outputs.shape[-1]), axis=0)

    shifts = [mean(jnp.asarray(x)) for x in record.inputs]
    return jnp.asarray(np.average(shifts, axis=0, weights=[x.shape[0] for x in record.inputs]))
