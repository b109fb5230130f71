"""Values that XLA computes once and stores, in one pass.

XLA computes cheap-looking values anew at each of their uses (jax 0.10.1, on a CPU): random numbers again in a backward pass,
the codes of a convolution's inputs once for every tap that its gradient gathers, in an order that reads memory badly. It does
not look behind a branch, which is what `written` hides a value behind; `optimization_barrier` is gone before XLA fuses.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero


def written(
    compute: Callable[..., Any],
    *args: Any,
    number: jax.Array,
    derive: Callable[..., Any] | None = None,
    cotangent: bool = False,
) -> Any:
    """`compute(*args)`, stored, with its derivatives, which are computed where they are used; NaN where `number` is.

    Args:
      compute: of pytrees, a pytree of arrays; it holds nothing else that is traced.
      args: pytrees of arrays and numbers.
      number: any number that the value depends on: only its being one counts.
      derive: the same function in a form that is differentiated in its place, where that is quicker; None: `compute` itself.
      cotangent: store what a backward pass brings, too.
    """
    leaves, structure = jax.tree.flatten(args)
    unknown = jnp.isnan(lax.stop_gradient(number).ravel()[0])

    def of_leaves(*leaves: jax.Array) -> Any:
        return compute(*jax.tree.unflatten(structure, leaves))

    @jax.custom_jvp
    def value(unknown: jax.Array, *leaves: jax.Array) -> Any:
        return _behind(unknown, of_leaves, *leaves)

    def derivative(primals: Any, tangents: Any) -> tuple[Any, Any]:
        unknown, *at = primals
        found = value(*primals)
        moving = [i for i, tangent in enumerate(tangents[1:]) if not isinstance(tangent, SymbolicZero)]

        def moved(*some: jax.Array) -> Any:
            whole = dict(enumerate(at)) | dict(zip(moving, some, strict=True))
            return (derive or compute)(*jax.tree.unflatten(structure, [whole[i] for i in range(len(at))]))

        if not moving:
            return found, jax.tree.map(lambda leaf: SymbolicZero(leaf.aval), found)
        tangent = jax.jvp(moved, [at[i] for i in moving], [tangents[1 + i] for i in moving])[1]
        return found, _behind(unknown, lambda t: t, tangent) if cotangent else tangent

    value.defjvp(derivative, symbolic_zeros=True)
    return value(unknown, *leaves)


def kept(value: jax.Array, *, number: jax.Array) -> jax.Array:
    """`value`, stored before anything is done with it, and so is what a backward pass brings; NaN where `number` is."""
    return _behind(jnp.isnan(lax.stop_gradient(number).ravel()[0]), lambda value: value, value)


def _behind(unknown: jax.Array, compute: Callable[..., Any], *args: Any) -> Any:
    if jax.default_backend() != "cpu":  # other compilers store such values, and branch only after asking the host
        return compute(*args)
    shapes = jax.eval_shape(compute, *args)
    return lax.cond(
        unknown, lambda *_: jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes), compute, *args
    )
