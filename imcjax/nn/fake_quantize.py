"""fake_quantize: any Flax nnx model with quantized weights and inputs, in software."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.errors import UserError
from imcjax.keys import fold_name
from imcjax.nn.format_rules import FormatRule, choose
from imcjax.nn.formats import FakeConvolution, FakeDotGeneral, FakeQuantized
from imcjax.nn.hooks import hook_name, plain_layers
from imcjax.nn.layer_records import Recorder
from imcjax.nn.variables import Noise
from imcjax.quantize import Format, calibrate


VECTORS = 1 << 14
"""Input vectors that a range is chosen from."""


def fake_quantize(
    model: Any,
    *,
    weights: Format | None = None,
    inputs: Format | None = None,
    rules: Sequence[FormatRule] = (),
    sample: Any = None,
    rngs: nnx.Rngs | None = None,
) -> Any:
    """The same model with its nnx.Linear and nnx.Conv layers on quantized weights and inputs; `model` is left as it is.

    Other layers stay as they are, and so do stacks of layers (`nnx.scan`).

    A format whose learned numbers are not given starts with those that its `init` chooses: for weights from the weights, for
    inputs from `sample`, run through the exact model; where nothing of a layer's sample is negative, a format that can be
    unsigned becomes so. The numbers are variables of the model: `Bits`, and `Range` those that are trained, for
    `nnx.Optimizer(model, tx, wrt=(nnx.Param, Range))` or `nnx.DiffState(0, (nnx.Param, Range))`.

    Args:
      model: an nnx module.
      weights, inputs: the formats of the layers that no rule names; None: left as they are.
      rules: an ordered list; the first match wins. An image of 8 bits is a rule for the first layer.
      sample: a batch of inputs of the model; needed where an input format has no numbers yet.
      rngs: lets formats draw, from the stream `imc`; without it stochastic rounding rounds to nearest.

    Raises:
      UserError: no layer to quantize, a rule that matches nothing, weights that are not finite, a format that does not fit.
    """
    plain_layers(model)  # refuses what is no module
    model = nnx.clone(model)
    found = plain_layers(model)
    if not found:
        raise UserError(f"{type(model).__name__} has no nnx.Linear or nnx.Conv layer; there is nothing to quantize.")
    chosen = choose(rules, weights, inputs, list(found))
    chosen = {path: rule for path, rule in chosen.items() if rule.weights is not None or rule.inputs is not None}
    if not chosen:
        raise UserError("No layer gets a format; give weights=, inputs= or rules=.")
    noise = None if rngs is None else Noise(fold_name(rngs["imc"](), "imcjax"))
    for path, rule in chosen.items():
        layer = found[path]
        own = rule.weights
        if own is not None:
            own = _named(path, "weights", lambda own=own, layer=layer: _started(own, layer.kernel.get_value()))
        hook = hook_name(layer)
        if isinstance(getattr(layer, hook), nnx.Module):
            raise UserError(f"Layer {path!r} has an operator already; quantize the model before it is converted.")
        operator = FakeConvolution if hook == "conv_general_dilated" else FakeDotGeneral
        setattr(layer, hook, nnx.data(operator(path, own, rule.inputs, noise, learn_inputs=rule.learn_inputs)))
    held = {path: hook.inputs.get() for path, hook in fake_operators(model).items() if hook.inputs is not None}
    waiting = [path for path, fmt in held.items() if _unset(fmt)]
    if sample is not None:
        fit_inputs(model, [sample], paths=waiting)
    elif lacking := [path for path in waiting if held[path].needed]:
        raise UserError(
            f"The input format of layer {lacking[0]!r} has no numbers yet; give sample=, a batch of inputs, or the numbers."
        )
    return model


def fake_operators(model: Any) -> dict[str, FakeQuantized]:
    """What holds the formats of each quantized layer, by the layers' paths."""
    hooks = {path: getattr(layer, hook_name(layer)) for path, layer in plain_layers(model).items()}
    return {path: hook for path, hook in hooks.items() if isinstance(hook, FakeQuantized)}


def fit_inputs(
    model: Any, batches: Iterable[Any], *, rule: str | None = None, percent: float = 99.9, paths: Sequence[str] | None = None
) -> None:
    """Choose the ranges of input formats from what their layers see in the exact model, in place.

    Args:
      model: from `fake_quantize`.
      batches: inputs of the model, each a whole batch.
      rule: as for `imcjax.quantize.calibrate`; None: what each format starts training with.
      percent: for the rule "percentile".
      paths: of the layers; None: all with an input format.

    Raises:
      UserError: no batches, a layer that the model does not call, inputs that are not finite, an unknown rule.
    """
    hooks = fake_operators(model)
    paths = [path for path, hook in hooks.items() if hook.inputs is not None] if paths is None else list(paths)
    if not paths:
        return
    for path, record in Recorder(model, paths, exact=True)(model, batches).items():
        holder, vectors = hooks[path].inputs, jnp.asarray(record.vectors(VECTORS))
        signed = any(bool((x < 0).any()) for x in record.inputs)
        fmt = holder.get().replace(signed=signed) if hasattr(holder.family, "signed") else holder.get()

        def fitted(fmt: Format = fmt, vectors: jax.Array = vectors) -> Format:
            return fmt.init(vectors) if rule is None else calibrate(fmt, vectors, rule, percent=percent)

        holder.set(_named(path, "inputs", fitted))


def fit_weights(model: Any, *, rule: str = "mse", percent: float = 99.9) -> None:
    """Choose the ranges of weight formats from the present weights, in place; arguments as for `fit_inputs`."""
    found = plain_layers(model)
    for path, hook in fake_operators(model).items():
        if hook.weights is not None:
            kernel = found[path].kernel.get_value()
            hook.weights.set(calibrate(hook.weights.get(), kernel, rule, percent=percent))


def _unset(fmt: Format) -> bool:
    return any(getattr(fmt, name) is None for name in (*fmt.learned, *fmt.needed))


def _started(fmt: Format, x: Any) -> Format:
    if not np.isfinite(np.asarray(x)).all():
        raise UserError("the weights hold NaN or infinite values; check the training that they come from.")
    if not _unset(fmt):
        fmt.quantize(jnp.asarray(x))  # refuses what does not fit
        return fmt
    return fmt.init(jnp.asarray(x))


def _named(path: str, what: str, make: Any) -> Any:
    try:
        return make()
    except UserError as error:
        raise UserError(f"Layer {path!r}, {what}: {error}") from None
