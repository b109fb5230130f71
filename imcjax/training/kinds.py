"""What of a model on hardware is trained: weights, ranges of converters, bit-widths; each at a pace of its own."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from imcjax.errors import UserError, nearest
from imcjax.nn.operator import BITS, RANGES
from imcjax.training.inputs import check_optimizer


NAMES = ("weights", *RANGES, *BITS)
"""What `Options.learn` may name, beside "ranges" and "bits" for all of them."""
_GROUPS = {"ranges": RANGES, "bits": BITS}


def names_of(learn: Sequence[str]) -> tuple[str, ...]:
    """The single names, groups resolved.

    Raises:
      UserError: an unknown name, or none.
    """
    if isinstance(learn, str):
        learn = (learn,)
    if not isinstance(learn, Sequence):
        raise UserError(f"learn is {learn!r}; give a tuple of names: {', '.join((*NAMES, *_GROUPS))}.")
    for name in learn:
        if name not in (*NAMES, *_GROUPS):
            raise UserError(f"learn holds {name!r}{nearest(str(name), (*NAMES, *_GROUPS))}.")
    found = tuple(dict.fromkeys(one for name in learn for one in _GROUPS.get(name, (name,))))
    if not found:
        raise UserError(f"learn is empty; name what is trained: {', '.join((*NAMES, *_GROUPS))}.")
    return found


def learned(learn: Sequence[str]) -> Callable[[Any, Any], bool]:
    """A filter, as `nnx.split`, `nnx.state` and `nnx.Optimizer(wrt=...)` take them, of what `learn` names."""
    names = names_of(learn)

    def chosen(path: Any, value: Any) -> bool:
        is_parameter = isinstance(value, nnx.Param) or getattr(value, "type", None) is nnx.Param
        return (is_parameter and "weights" in names) or (bool(path) and path[-1] in names)

    return chosen


def by_kind(
    weights: optax.GradientTransformation,
    *,
    ranges: optax.GradientTransformation | None = None,
    bits: optax.GradientTransformation | None = None,
) -> optax.GradientTransformationExtraArgs:
    """One optimizer for parameters, one for the logarithms of ranges (`relative`), and one for bit-widths.

    Args:
      weights: of everything that is no range or width of a converter.
      ranges: None: as for weights.
      bits: None: as for weights. It sees a tree of the widths alone: a constraint of `imcjax.codesign.constraints` fits here.
    """
    for name, optimizer in (("weights", weights), ("ranges", ranges), ("bits", bits)):
        if optimizer is not None or name == "weights":
            check_optimizer(optimizer, name)
    ranges, bits = (weights if own is None else own for own in (ranges, bits))
    kinds: dict[Hashable, optax.GradientTransformation] = {"weights": weights, "ranges": relative(ranges), "bits": bits}

    def kind(path: Any, leaf: Any) -> str:
        del leaf
        name = name_of(path)
        return "ranges" if name in RANGES else "bits" if name in BITS else "weights"

    return optax.multi_transform(kinds, lambda params: jax.tree_util.tree_map_with_path(kind, params))


def name_of(path: Any) -> str:
    """The name of the variable that a path of `jax.tree_util` leads to."""
    keys = [str(part.key) for part in path if hasattr(part, "key")]
    return keys[-1] if keys else ""


def relative(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The optimizer, for positive parameters in any unit: it moves their logarithms. None of them becomes zero or negative.

    A range of microamperes then learns at the same rate as one of volts.
    """
    inner = optax.with_extra_args_support(optimizer)

    def logarithms(params: Any) -> Any:
        return jax.tree.map(jnp.log, params)

    def init(params: Any) -> Any:
        return inner.init(logarithms(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        if params is None:
            raise UserError("relative needs the parameters: call update(updates, state, params).")
        moves, state = inner.update(jax.tree.map(jnp.multiply, updates, params), state, logarithms(params), **extra)
        return jax.tree.map(lambda move, value: value * jnp.expm1(move), moves, params), state

    return optax.GradientTransformationExtraArgs(init, update)
