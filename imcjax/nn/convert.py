"""convert: any Flax nnx model onto the hardware, by injecting operators into its layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.keys import fold_name
from imcjax.nn import linen
from imcjax.nn.batchnorm import fold_batchnorm
from imcjax.nn.formats import FakeQuantized
from imcjax.nn.hooks import hook, hook_name, kernel_axes, modules, stack_of
from imcjax.nn.operator import BITS, Operator
from imcjax.nn.rules import Rule, as_rules, match
from imcjax.nn.variables import HardwareVariable, Noise
from imcjax.settings import Settings, complete


def convert(
    model: Any,
    rules: "Hardware | Rule | Sequence[Rule]",
    *,
    rngs: nnx.Rngs | None = None,
    batchnorm: str | Mapping[str, str] = "digital",
    sample: Any = None,
) -> Any:
    """The same model with its layers on hardware; `model` itself is left as it is.

    nnx.Linear, LinearGeneral (so the projections of attention), Einsum and Conv layers that a rule names compute on hardware
    from now on; everything else stays digital, and `summary` lists it. Layers that `nnx.vmap` stacks along axis 0 are converted
    together: each has chips, ranges and noise of its own, and a hardware number is one for each. Uncalibrated, ranges are
    dynamic: call `calibrate` next.

    Args:
      model: an nnx module; or a Linen model as `nnx.bridge.ToNNX`, initialised, whose Dense, DenseGeneral and Conv layers are
        converted.
      rules: a Hardware for all layers, or an ordered list of `Rule`; the first match wins.
      rngs: lets layers draw noise, from the stream `imc`; without it they are noise-free.
      batchnorm: "digital" leaves BatchNorm layers digital; "fold" folds those that follow a layer directly in an
        nnx.Sequential into it; a mapping {norm path: layer path} folds the ones named.
      sample: inputs of a Linen model, whose layers only show when it is called.

    Returns:
      A converted copy.

    Raises:
      UserError: no layer to convert, a rule that matches nothing or asks for widths that its hardware does not have, or a
        BatchNorm that cannot be folded.
    """
    modules(model)  # refuses what is no module
    if batchnorm is not None and not isinstance(batchnorm, str | Mapping):
        raise UserError(f"batchnorm is {batchnorm!r}; give 'digital', 'fold' or a mapping of BatchNorm paths to layer paths.")
    model = linen.opened(nnx.clone(model), sample)
    if batchnorm != "digital":
        fold_batchnorm(model, None if isinstance(batchnorm, str) else batchnorm, mode=batchnorm)
    found = modules(model)
    if not found:
        raise UserError(
            f"{type(model).__name__} has no nnx.Linear or nnx.Conv layer, and no LinearGeneral or Einsum; there is nothing to "
            "put on hardware."
        )
    chosen = match(as_rules(rules), {path: hook(layer).op_name for path, layer in found.items()})
    if all(rule.digital for rule in chosen.values()):
        raise UserError("The rules leave every layer digital; name at least one layer with hardware.")
    shared = _Shared(_stream(rngs))
    for path, rule in chosen.items():
        technology = rule.technology()
        if technology is None:
            continue
        layer = found[path]
        stack = stack_of(path, layer)
        _check_operation(path, layer)
        _check_widths(rule, technology)
        bits = {
            "weight_bits": _width(rule.weight_bits, technology.encoding.weight_bits),
            "input_bits": _width(rule.input_bits, technology.dac.input_bits),
            "adc_bits": _width(rule.adc_bits, technology.adc.bits),
        }
        place, operator, _ = hook(layer)
        variables = shared.hardware(rule, technology, stack), bits, shared.noise(stack)
        if isinstance(layer, nnx.LinearGeneral):
            layer.dot_general_cls = None  # it would come before the operator
        placed = operator(path, *variables, stack=stack, **kernel_axes(layer))
        placed.replicas = rule.replicas
        setattr(layer, place, nnx.data(placed))
    return model


def _check_operation(path: str, layer: Any) -> None:
    """Refuse to put an operator in the place of one that computes something else than the plain product."""
    place = hook_name(layer)
    given, plain = getattr(layer, place), (None, lax.dot_general, lax.conv_general_dilated, jnp.einsum)
    own = getattr(layer, "dot_general_cls", None)
    if own is not None or not (any(given is known for known in plain) or isinstance(given, Operator | FakeQuantized)):
        raise UserError(
            f"Layer {path!r} has a {place} of its own ({own or given}), which an array would replace; leave it digital with "
            f"Rule({path!r}, digital=True), or give it the plain one."
        )


def _stream(rngs: Any) -> jax.Array | None:
    if rngs is None:
        return None
    # A default stream stands in for one that is not there by name.
    if not isinstance(rngs, nnx.Rngs) or not ("imc" in rngs or "default" in rngs):
        given = f"without a stream 'imc' ({', '.join(rngs)})" if isinstance(rngs, nnx.Rngs) else f"a {type(rngs).__name__}"
        raise UserError(f"rngs is {given}; give nnx.Rngs(imc=0), or None for layers that draw no noise.")
    return fold_name(rngs["imc"](), "imcjax")


class _Shared:
    """The variables that layers have in common, one of each kind for each shape of a stack."""

    def __init__(self, key: jax.Array | None):
        self.key = key
        self._hardware: dict[Any, HardwareVariable] = {}
        self._noise: dict[tuple[int, ...], Noise] = {}

    def hardware(self, rule: Rule, technology: Hardware, stack: tuple[int, ...]) -> HardwareVariable:
        """One wire resistance for all layers on it; members of a stack each have their own value of it."""
        which = (id(rule.hardware), id(rule.encoding), stack)
        if which not in self._hardware:
            value = technology if not stack else jax.tree.map(lambda leaf: _repeated(leaf, stack), technology)
            self._hardware[which] = HardwareVariable(value)
        return self._hardware[which]

    def noise(self, stack: tuple[int, ...]) -> Noise | None:
        """The key that all layers draw from; members of a stack draw from keys of their own."""
        if self.key is None:
            return None
        if stack not in self._noise:
            count, shared = jnp.arange(int(np.prod(stack)), dtype=jnp.uint32), fold_name(self.key, "member")
            keys = jax.vmap(lambda i: jax.random.fold_in(shared, i))(count).reshape(stack)
            self._noise[stack] = Noise(keys if stack else self.key)
        return self._noise[stack]


def _repeated(leaf: Any, stack: tuple[int, ...]) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(leaf, dtype=float), (*stack, *np.shape(leaf)))


def _width(asked: float | None, widest: int | None) -> float | None:
    return widest if asked is None else asked


def _check_widths(rule: Rule, technology: Hardware) -> None:
    widths = {name: getattr(rule, name) for name in BITS}
    try:
        # Unsigned: one bit, the least of all, is only refused when calibration finds negative inputs.
        complete(Settings(**widths, input_signed=False, replicas=rule.replicas), technology)
    except UserError as error:
        raise UserError(f"Rule({rule.module_path!r}) does not fit its hardware: {error}") from None
