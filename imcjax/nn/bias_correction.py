"""Bias correction: what quantized weights add to a layer's mean output is taken off its bias."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.errors import UserError
from imcjax.nn.convert import layers
from imcjax.nn.fake_quantize import fake_operators
from imcjax.nn.layer_records import record_layers


def correct_bias(model: Any, batches: Iterable[Any]) -> list[str]:
    """b' = b - (W^ - W) E[x] for every layer with quantized weights, in the order of the calls, in place.

    Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section 4.2 and appendix
    D, with E[x] measured: x is what the layer sees in the quantized model, the layers before it corrected. The mean over the
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
    batches = [np.asarray(batch) for batch in batches]
    order = list(record_layers(model, batches[:1], list(hooks), exact=False))
    found = layers(model)
    for path in order:
        record = record_layers(model, batches, [path], exact=False)[path]
        kernel = found[path].kernel.get_value()
        kernel = kernel if getattr(found[path], "mask", None) is None else kernel * found[path].mask
        shifts, weights = [], []
        for x in record.inputs:
            inputs, quantized = hooks[path].quantized(jnp.asarray(x), kernel)
            outputs = jax.jit(record.compute)(inputs, quantized - kernel)
            shifts.append(jnp.mean(outputs.reshape(-1, outputs.shape[-1]), axis=0))
            weights.append(x.shape[0])
        _take_off(found[path], jnp.average(jnp.stack(shifts), axis=0, weights=jnp.asarray(weights, shifts[0].dtype)))
    return order


def _take_off(layer: Any, shift: jax.Array) -> None:
    if layer.bias is None:
        layer.bias = nnx.data(nnx.Param(-shift))
        layer.use_bias = True
    else:
        layer.bias.set_value(layer.bias.get_value() - shift)
