"""What the constraints share: a cost of bit-widths, and what it is at whole ones.

A constraint is an Optax transformation whose parameters are real bit-widths, a pytree of float leaves of any shapes. Its
`update` takes the gradient of the loss to them and these extra arguments:

    budget      what the cost may be, in its own unit; traced, so that another bound compiles nothing anew
    cost_args   optional: keyword arguments that the cost needs beside the widths

`cost(bits, **cost_args)` is any differentiable function that is exact at whole widths and rises with each of them: BOPs,
memory, energy, latency, area, conversions. Where the budget is spoken of as met, the cost of the rounded widths is meant.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


Widths = Any
"""A pytree of real bit-widths."""
Cost = Callable[..., jax.Array]
"""(bits, **cost_args) -> cost."""

ROUNDING = 1e-6
"""A relative excess that float32 sums make of nothing."""


def whole(bits: Widths) -> Widths:
    """The widths that a forward pass computes with: the nearest whole ones."""
    return jax.tree.map(jnp.round, bits)


def within(cost: jax.Array, budget: jax.Array | float) -> jax.Array:
    """Whether a cost meets the budget."""
    return cost <= budget * (1 + ROUNDING)


def select(condition: jax.Array, here: Any, there: Any) -> Any:
    """`here` where the one condition holds, else `there`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), here, there)


def given(constraint: optax.GradientTransformationExtraArgs, **arguments: Any) -> optax.GradientTransformationExtraArgs:
    """The constraint with these extra arguments of its `update` (budget=..., start=...), for loops that give none."""

    def update(updates, state, params=None, **extra):
        return constraint.update(updates, state, params, **(arguments | extra))

    return transformation(constraint.init, update)


def transformation(init: Any, update: Any) -> optax.GradientTransformationExtraArgs:
    """The pair as Optax has it, whose types leave no room for extra arguments by name."""
    return optax.GradientTransformationExtraArgs(init, update)
