"""Linen models on hardware: their layers get operators while they are called, the model's source and parameters stay."""

from typing import Any

import jax
from flax import linen, nnx
from flax.errors import FlaxError
from flax.nnx import bridge

from imcjax.errors import UserError
from imcjax.nn.hooks import Held


class LinenOnHardware(nnx.Module):
    """A Linen model (`nnx.bridge.ToNNX`) whose layers compute by the operators of `held`; it is called as before.

    Attributes:
      model: the Linen model.
      held: its layers, each with its kernel (the model's own variable) and its operator.
    """

    def __init__(self, model: bridge.ToNNX, held: list[Held]):
        self.model = model
        self.held = nnx.List(held)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the model."""
        ops = {layer.path: layer.op for layer in self.held if layer.op is not None}

        def intercept(call: Any, inputs: Any, options: Any, context: linen.module.InterceptorContext) -> Any:
            op = ops.get("/".join(context.module.path)) if context.method_name == "__call__" else None
            if op is None:
                return call(*inputs, **options)
            field = _FIELDS[_kind(context.module)]
            before = getattr(context.module, field)
            object.__setattr__(context.module, field, op)  # Linen modules are frozen, but each call has its own copies
            try:
                return call(*inputs, **options)
            finally:
                object.__setattr__(context.module, field, before)

        with linen.intercept_methods(intercept):
            return self.model(*args, **kwargs)


_FIELDS = {
    linen.Dense: "dot_general",
    linen.DenseGeneral: "dot_general",
    linen.Conv: "conv_general_dilated",
}


def opened(model: Any, sample: Any) -> Any:
    """`model` itself, or a Linen model with its layers in sight.

    Raises:
      UserError: a Linen model without a sample of its inputs, or one that is not initialised.
    """
    if not isinstance(model, bridge.ToNNX):
        return model
    if sample is None:
        raise UserError("The layers of a Linen model only show when it is called; give convert a batch of inputs as sample=...")
    found: dict[str, linen.Module] = {}

    def note(call: Any, inputs: Any, options: Any, context: linen.module.InterceptorContext) -> Any:
        if context.method_name == "__call__" and _kind(context.module) is not None:
            found.setdefault("/".join(context.module.path), context.module)
        return call(*inputs, **options)

    with linen.intercept_methods(note):
        try:
            graph, state = nnx.split(model)
            jax.eval_shape(lambda state, x: nnx.merge(graph, state, copy=True)(x), state, sample)
        except FlaxError as error:
            raise UserError(f"The Linen model cannot be called with the sample: {error}; call its lazy_init first.") from error
    return LinenOnHardware(model, [_held(model, path, module) for path, module in found.items()])


def _kind(module: linen.Module) -> Any:
    return next((kind for kind in _FIELDS if type(module) is kind), None)


def _held(model: bridge.ToNNX, path: str, module: Any) -> Held:
    place: Any = vars(model)
    for part in path.split("/") if path else []:
        place = place[part]
    kernel, kind = place["kernel"], _kind(module)
    name = f"linen.{kind.__name__}"
    if kind is linen.Conv:
        groups = module.feature_group_count
        return Held(path, kernel, name=name, op_name="conv_general_dilated", groups=groups, ndim=len(module.kernel_size) + 2)
    batch, contracted, features = 0, 1, 1
    if kind is linen.DenseGeneral:
        sizes = module.batch_dims, module.axis, module.features
        batch, contracted, features = (len(v) if isinstance(v, tuple | list) else 1 for v in sizes)
    axes = (tuple(range(batch)), tuple(range(batch, batch + contracted)))
    return Held(path, kernel, name=name, op_name="dot_general", kernel_axes=axes, ndim=batch + contracted + features)
