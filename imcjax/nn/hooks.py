"""Which layers take an operator, where, and what of their kernel is contracted; the layers of a model, stacks taken apart."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.errors import UserError
from imcjax.nn.contraction import DotGeneral, Einsum, einsum_axes
from imcjax.nn.operator import ConvGeneralDilated, Operator


class Held(nnx.Module):
    """A layer that lives in a model of another kind, which calls `op` for it: what this package sees of it.

    Attributes:
      path: where it is in that model, '/'-joined.
      kernel: its weights, the same variable as there.
      op: the operator, or None while it is digital.
      name: what it is called in summaries.
      op_name, kernel_axes, groups: as `Hook` has them, static.
      ndim: axes of the kernel of one layer; it has more where `linen.scan` or `linen.vmap` stacks layers.
    """

    def __init__(
        self,
        path: str,
        kernel: Any,
        *,
        name: str,
        op_name: str,
        kernel_axes: Any = ((), (0,)),
        groups: int = 1,
        ndim: int = 2,
    ):
        self.path = path
        self.kernel = kernel
        self.op: Any = nnx.data(None)
        self.name = name
        self.op_name = op_name
        self.kernel_axes = kernel_axes
        self.feature_group_count = groups
        self.ndim = ndim
        self.mask: Any = nnx.data(None)


class Hook(NamedTuple):
    """How an operator gets into a layer.

    Attributes:
      attribute: of the layer that takes it.
      operator: its class.
      op_name: the operation that it stands for, by the names of `Rule.op_names`.
    """

    attribute: str
    operator: type[Operator]
    op_name: str


HOOKS: dict[type, Hook] = {
    nnx.Linear: Hook("dot_general", DotGeneral, "dot_general"),
    nnx.LinearGeneral: Hook("dot_general", DotGeneral, "dot_general"),
    nnx.Einsum: Hook("einsum_op", Einsum, "einsum"),
    nnx.Conv: Hook("conv_general_dilated", ConvGeneralDilated, "conv_general_dilated"),
}
"""Layer type -> its hook. A new layer is a line here, and its kernel's shape and axes below."""


def hook(layer: Any) -> Hook:
    """The hook of a layer that has one."""
    if isinstance(layer, Held):
        return Hook("op", DotGeneral if layer.op_name == "dot_general" else ConvGeneralDilated, layer.op_name)
    return next(found for kind, found in HOOKS.items() if isinstance(layer, kind))


def hook_name(layer: Any) -> str:
    """The attribute of a layer that takes the operator."""
    return hook(layer).attribute


def kernel_axes(layer: Any) -> dict[str, Any]:
    """What the operator of a layer needs to know of its kernel.

    Raises:
      UserError: an Einsum layer whose equation is no contraction of its inputs by its kernel.
    """
    if isinstance(layer, nnx.LinearGeneral):
        batch = len(layer.batch_axis)
        return {"kernel_axes": (tuple(range(batch)), tuple(range(batch, batch + len(layer.in_features))))}
    if isinstance(layer, nnx.Einsum):
        return {"kernel_axes": einsum_axes(layer.einsum_str)}
    if isinstance(layer, Held) and layer.op_name == "dot_general":
        return {"kernel_axes": layer.kernel_axes}
    return {}


def stack_of(path: str, layer: Any) -> tuple[int, ...]:
    """The axes that a layer's kernel has before its own: it is several layers, created by `nnx.vmap` and run by `nnx.scan`.

    Raises:
      UserError: layers that are stacked along another axis than the first, or by Linen.
    """
    stack, own = leading_axes(layer)
    if stack is None and isinstance(layer, Held):
        raise UserError(
            f"Layer {path!r} is a stack of layers ({layer.name} under linen.scan or linen.vmap), which is not converted; leave "
            f"it digital with Rule({path!r}, digital=True), or write the model in nnx."
        )
    if stack is None:
        shape = layer.kernel.get_value().shape
        raise UserError(
            f"Layer {path!r} has a kernel of shape {shape} in place of {own} behind a leading axis; stack layers along axis 0, "
            f"or leave it digital with Rule({path!r}, digital=True)."
        )
    return stack


def leading_axes(layer: Any) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """The leading axes of a layer's kernel, None where the others are not in their place; and its own shape."""
    shape = layer.kernel.get_value().shape
    if isinstance(layer, nnx.LinearGeneral):
        own = (*layer.batch_axis.values(), *layer.in_features, *layer.out_features)
    elif isinstance(layer, nnx.Linear):
        own = (layer.in_features, layer.out_features)
    elif isinstance(layer, nnx.Einsum | nnx.Conv):
        own = tuple(layer.kernel_shape)
    else:
        return (() if len(shape) == layer.ndim else None), shape
    extra = len(shape) - len(own)
    return (shape[:extra] if shape[extra:] == own else None), own


def modules(model: Any) -> dict[str, Any]:
    """The layers of a model that can be on hardware, by '/'-joined path; a stack of layers is one.

    Raises:
      UserError: not an nnx module.
    """
    if not isinstance(model, nnx.Module):
        raise UserError(f"model is a {type(model).__name__}; give a flax.nnx module.")
    found = {}
    for parts, module in nnx.iter_modules(model):
        if isinstance(module, Held):
            found[module.path] = module
        elif isinstance(module, tuple(HOOKS)):
            found["/".join(str(part) for part in parts)] = module
    return found


def placed(model: Any) -> dict[str, Any]:
    """Those of `modules` that are on hardware."""
    return {path: module for path, module in modules(model).items() if isinstance(getattr(module, hook_name(module)), Operator)}


def layers(model: Any) -> dict[str, Any]:
    """The layers of a model that can be on hardware, by '/'-joined path.

    Layers that are stacked (`nnx.vmap`, `nnx.scan`) come one by one, as 'path[0]', 'path[1]' and so on; those are copies, to be
    looked at and not to be changed.

    Raises:
      UserError: not an nnx module.
    """
    return {name: layer for path, module in modules(model).items() for name, layer in members(path, module)}


def plain_layers(model: Any) -> dict[str, Any]:
    """The nnx.Linear and nnx.Conv layers of a model that are no stack, by '/'-joined path.

    Raises:
      UserError: not an nnx module.
    """
    found = modules(model).items()
    return {path: layer for path, layer in found if isinstance(layer, nnx.Linear | nnx.Conv) and not stack_of(path, layer)}


def operators(model: Any) -> dict[str, Operator]:
    """The operators of the layers that are on hardware, by the paths of `layers` and in their order."""
    found = {path: getattr(module, hook_name(module)) for path, module in layers(model).items()}
    return {path: op for path, op in found.items() if isinstance(op, Operator)}


def members(path: str, module: Any) -> Iterator[tuple[str, Any]]:
    """The layer itself, or copies of all that a stack holds, with their paths."""
    # What stays digital may be stacked in any way.
    stack = stack_of(path, module) if isinstance(getattr(module, hook_name(module)), Operator) else leading_axes(module)[0]
    if not stack:
        yield path, module
        return
    graph, state = nnx.split(module)
    for index in np.ndindex(stack):
        name = member_path(path, index)
        layer = nnx.merge(graph, jax.tree.map(lambda leaf, at=index: leaf[at], state))
        op = getattr(layer, hook_name(layer))
        if isinstance(op, Operator):
            op.path, op.stack = name, ()
        yield name, layer


def member_path(path: str, index: tuple[int, ...]) -> str:
    """What a member of a stack is called; a layer's own path where it is no stack."""
    return f"{path}[{','.join(map(str, index))}]" if index else path


def matrices(layer: Any) -> jax.Array:
    """The weights of a layer as (groups, n_in, n_out) matrices."""
    kernel, op = layer.kernel.get_value(), getattr(layer, hook_name(layer))
    if not isinstance(op, ConvGeneralDilated):
        return op.matrices(kernel)
    return op.matrices(kernel if layer.mask is None else kernel * layer.mask, layer.feature_group_count)


def together(stack: tuple[int, ...], parts: list[Any]) -> Any:
    """Values of all members of a stack, in their order, as one with the stack's leading axes; a layer's own as it is."""
    if not stack:
        return parts[0]
    assert len(parts) == math.prod(stack)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves).reshape(*stack, *jnp.shape(leaves[0])), *parts)
