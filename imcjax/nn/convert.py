"""convert: any Flax nnx model onto the hardware, by injecting operators into its layers."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.keys import fold_name
from imcjax.nn.batchnorm import fold_batchnorm
from imcjax.nn.operator import BITS, ConvGeneralDilated, DotGeneral, Operator
from imcjax.nn.rules import Rule, as_rules, match
from imcjax.nn.variables import HardwareVariable, Noise
from imcjax.settings import Settings, complete


HOOKS: dict[type, tuple[str, type[Operator]]] = {
    nnx.Linear: ("dot_general", DotGeneral),
    nnx.Conv: ("conv_general_dilated", ConvGeneralDilated),
}
"""Layer type -> the attribute that takes an operator, and the operator."""


def convert(
    model: Any,
    rules: "Hardware | Rule | Sequence[Rule]",
    *,
    rngs: nnx.Rngs | None = None,
    batchnorm: str | Mapping[str, str] = "digital",
) -> Any:
    """The same model with its layers on hardware; `model` itself is left as it is.

    nnx.Linear and nnx.Conv layers that a rule names compute on the hardware from now on; everything else stays digital, and
    `summary` lists it. Uncalibrated, ranges are dynamic: call `calibrate` next.

    Args:
      model: an nnx module.
      rules: a Hardware for all layers, or an ordered list of `Rule`; the first match wins.
      rngs: lets layers draw noise, from the stream `imc`; without it they are noise-free.
      batchnorm: "digital" leaves BatchNorm layers digital; "fold" folds those that follow a layer directly in an
        nnx.Sequential into it; a mapping {norm path: layer path} folds the ones named.

    Returns:
      A converted copy.

    Raises:
      UserError: no layer to convert, a rule that matches nothing or asks for widths that its hardware does not have, or a
        BatchNorm that cannot be folded.
    """
    _check_module(model)
    model = nnx.clone(model)
    if batchnorm != "digital":
        fold_batchnorm(model, None if isinstance(batchnorm, str) else batchnorm, mode=batchnorm)
    found = layers(model)
    if not found:
        raise UserError(f"{type(model).__name__} has no nnx.Linear or nnx.Conv layer; there is nothing to put on hardware.")
    chosen = match(as_rules(rules), list(found))
    if all(rule.digital for rule in chosen.values()):
        raise UserError("The rules leave every layer digital; name at least one layer with hardware.")
    noise = None if rngs is None else Noise(fold_name(rngs["imc"](), "imcjax"))
    shared: dict[int, HardwareVariable] = {}
    for path, rule in chosen.items():
        if rule.digital or rule.hardware is None:
            continue
        variable = shared.setdefault(id(rule.hardware), HardwareVariable(rule.hardware))
        hook, operator = _hook(found[path])
        _check_widths(rule, rule.hardware)
        bits = {
            "weight_bits": _width(rule.weight_bits, rule.hardware.encoding.weight_bits),
            "input_bits": _width(rule.input_bits, rule.hardware.dac.input_bits),
            "adc_bits": _width(rule.adc_bits, rule.hardware.adc.bits),
        }
        placed = operator(path, variable, bits, noise)
        placed.replicas = rule.replicas
        setattr(found[path], hook, nnx.data(placed))
    return model


def layers(model: Any) -> dict[str, Any]:
    """The layers of a model that can be on hardware, by '/'-joined path.

    Raises:
      UserError: not an nnx module.
    """
    _check_module(model)
    return {
        "/".join(str(part) for part in path): module
        for path, module in nnx.iter_modules(model)
        if any(isinstance(module, kind) for kind in HOOKS)
    }


def operators(model: Any) -> dict[str, Operator]:
    """The operators of the layers that are on hardware, by the layers' paths, in the order of `layers`."""
    found = {path: getattr(module, hook_name(module)) for path, module in layers(model).items()}
    return {path: hook for path, hook in found.items() if isinstance(hook, Operator)}


def hook_name(layer: Any) -> str:
    """The attribute of a layer that takes the operator."""
    return _hook(layer)[0]


def _hook(module: Any) -> tuple[str, type[Operator]]:
    return next(hook for kind, hook in HOOKS.items() if isinstance(module, kind))


def _check_module(model: Any) -> None:
    if not isinstance(model, nnx.Module):
        raise UserError(f"model is a {type(model).__name__}; give a flax.nnx module.")


def _width(asked: float | None, widest: int | None) -> float | None:
    return widest if asked is None else asked


def _check_widths(rule: Rule, hardware: Hardware) -> None:
    widths = {name: getattr(rule, name) for name in BITS}
    try:
        # Unsigned: one bit, the least of all, is only refused when calibration finds negative inputs.
        complete(Settings(**widths, input_signed=False, replicas=rule.replicas), hardware)
    except UserError as error:
        raise UserError(f"Rule({rule.module_path!r}) does not fit its hardware: {error}") from None
