"""Folding a BatchNorm into the layer before it, so that the array computes both."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from imcjax.errors import UserError


class Identity(nnx.Module):
    """What stands where a folded BatchNorm was."""

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`x` unchanged."""
        return x


def fold_batchnorm(model: Any, pairs: Mapping[str, str] | None = None, *, mode: Any = "fold") -> list[str]:
    """Fold BatchNorm layers, with their running statistics, into the Linear or Conv before them, in place.

    y = (W x + b - mean) * scale / sqrt(var + epsilon) + bias is again a layer with weights W and bias b.

    Args:
      model: an nnx module.
      pairs: {path of the BatchNorm: path of the layer whose output it normalises}; None finds those that follow directly in an
        nnx.Sequential.
      mode: as given to `convert`, for the error message.

    Returns:
      Paths of the BatchNorm layers folded.

    Raises:
      UserError: a path that is not such a layer, or nothing to fold.
    """
    if pairs is None and mode != "fold":
        raise UserError(f"batchnorm is {mode!r}; give 'digital', 'fold' or a mapping of BatchNorm paths to layer paths.")
    modules = {"/".join(str(part) for part in path): module for path, module in nnx.iter_modules(model)}
    pairs = _adjacent(modules) if pairs is None else pairs
    if not pairs:
        raise UserError(
            "No BatchNorm follows a layer directly in an nnx.Sequential; "
            "name the pairs as batchnorm={'norm path': 'layer path'}."
        )
    for norm_path, layer_path in pairs.items():
        norm, layer = modules.get(norm_path), modules.get(layer_path)
        if not isinstance(norm, nnx.BatchNorm):
            raise UserError(f"batchnorm names {norm_path!r}, which is not a BatchNorm; the modules are: {', '.join(modules)}.")
        if not isinstance(layer, nnx.Linear | nnx.Conv):
            raise UserError(f"batchnorm folds {norm_path!r} into {layer_path!r}, which is not a Linear or Conv layer.")
        _check(norm_path, norm, layer_path, layer)
        _fold(norm, layer)
        _replace(model, norm_path, Identity())
    return list(pairs)


def _adjacent(modules: Mapping[str, Any]) -> dict[str, str]:
    pairs = {}
    for path, module in modules.items():
        if not isinstance(module, nnx.Sequential):
            continue
        prefix = f"{path}/layers" if path else "layers"
        for i in range(1, len(module.layers)):
            if isinstance(module.layers[i], nnx.BatchNorm) and isinstance(module.layers[i - 1], nnx.Linear | nnx.Conv):
                pairs[f"{prefix}/{i}"] = f"{prefix}/{i - 1}"
    return pairs


def _check(norm_path: str, norm: nnx.BatchNorm, layer_path: str, layer: Any) -> None:
    if norm.num_features != layer.out_features or norm.axis != -1:
        raise UserError(
            f"{norm_path!r} normalises {norm.num_features} features on axis {norm.axis}; to be folded into {layer_path!r} "
            f"it must normalise its {layer.out_features} features on axis -1."
        )


def _fold(norm: nnx.BatchNorm, layer: Any) -> None:
    mean, var = norm.mean.get_value(), norm.var.get_value()
    gain = 1 / jnp.sqrt(var + norm.epsilon)
    gain = gain if norm.scale is None else gain * norm.scale.get_value()
    before = jnp.zeros_like(mean) if layer.bias is None else layer.bias.get_value()
    after = (before - mean) * gain + (0 if norm.bias is None else norm.bias.get_value())
    layer.kernel.set_value(layer.kernel.get_value() * gain)
    if layer.bias is None:
        layer.bias = nnx.data(nnx.Param(after))
        layer.use_bias = True
    else:
        layer.bias.set_value(after)


def _replace(model: Any, path: str, new: Any) -> None:
    *parents, last = path.split("/")
    owner = model
    for part in parents:
        owner = owner[int(part)] if part.isdigit() else getattr(owner, part)
    if last.isdigit():
        owner[int(last)] = new
    else:
        setattr(owner, last, new)
