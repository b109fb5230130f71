"""Penalties of fixed weight: simple, and no guarantee that the bound is met. For comparison, and where a bound is soft."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from imcjax.codesign.constraints.base import Cost, transformation


def fixed_penalty(cost: Cost, *, weight: float) -> optax.GradientTransformationExtraArgs:
    """Adds the slope of weight * cost / budget: one price of a bit, whether or not the budget is met.

    So the size goes into the loss of DiffQ (Defossez et al., TMLR 2022), and BOPs of the gates into that of Bayesian Bits.
    """
    return _adding(lambda ratio: weight * ratio, cost)


def squared_hinge(cost: Cost, *, weight: float) -> optax.GradientTransformationExtraArgs:
    """Adds the slope of weight * max(0, cost / budget - 1)^2: nothing below the budget.

    The penalty of DQ (Uhlich et al., ICLR 2020), with the excess relative to the budget.
    """
    return _adding(lambda ratio: weight * jnp.where(ratio > 1, ratio - 1, 0.0) ** 2, cost)


def absolute_gap(cost: Cost, *, weight: float) -> optax.GradientTransformationExtraArgs:
    """Adds the slope of weight * |cost / budget - 1|: pulls to the budget from both sides, as FracBits does (AAAI 2021)."""
    return _adding(lambda ratio: weight * jnp.abs(ratio - 1), cost)


def _adding(price: Any, cost: Cost) -> optax.GradientTransformationExtraArgs:
    def init(bits):
        del bits
        return optax.EmptyState()

    def update(updates, state, params=None, *, budget, cost_args=None, **extra):
        del extra
        slope = jax.grad(lambda bits: price(cost(bits, **(cost_args or {})) / budget))(params)
        return jax.tree.map(jnp.add, updates, slope), state

    return transformation(init, update)
