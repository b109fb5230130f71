"""A hard bound on a cost as an augmented Lagrangian, its multiplier driven by the true cost of the rounded widths.

L = loss + (max(0, mu + rho c)^2 - mu^2) / (2 rho),  c = log(cost / budget),  mu <- max(0, mu + rho log(rounded cost / budget)).

Descent is on the differentiable proxy, ascent on the true constraint (the proxy-Lagrangian of Cotter et al., JMLR 20, 2019).
The logarithm makes the multiplier independent of units. A multiplier may be taken back to 0 once the bound has been kept for a
while (dual restarts, Gallego-Posada et al., NeurIPS 2022), so that it does not go on pushing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from imcjax.codesign.constraints.base import Cost, Widths, transformation, whole


class Multiplier(NamedTuple):
    """State: the multiplier, steps done, and steps in a row that have kept the bound."""

    value: jax.Array
    count: jax.Array
    kept: jax.Array

    @classmethod
    def zero(cls) -> "Multiplier":
        """Where a search begins."""
        return cls(jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def lagrangian(log_cost_ratio: jax.Array, multiplier: jax.Array, rho: float) -> jax.Array:
    """What the augmented Lagrangian adds to the loss; log_cost_ratio = log(cost / budget)."""
    return (jnp.maximum(0.0, multiplier + rho * log_cost_ratio) ** 2 - multiplier**2) / (2 * rho)


def raise_multiplier(multiplier: jax.Array, log_cost_ratio: jax.Array, rho: float) -> jax.Array:
    """The multiplier after one ascent step on the true cost."""
    return jnp.maximum(0.0, multiplier + rho * log_cost_ratio)


def augmented_lagrangian(
    cost: Cost, *, rho: float = 4.0, every: int | None = 20, restart: int | None = None, true_cost: Cost | None = None
) -> optax.GradientTransformationExtraArgs:
    """Adds the slope of the augmented Lagrangian of `cost <= budget` to the gradient.

    Args:
      cost: of real widths, see `imcjax.codesign.constraints.base`.
      rho: weight of the quadratic term, and the multiplier's step size.
      every: steps between two ascents on the cost of the whole widths; None: the caller raises the multiplier.
      true_cost: of the hardware's whole widths, as a function of the real ones; default: `cost` of the rounded ones.
      restart: steps in a row within the budget after which the multiplier becomes 0; None: never.
    """

    exact = true_cost if true_cost is not None else lambda bits, **arguments: cost(whole(bits), **arguments)

    def init(bits: Widths) -> Multiplier:
        del bits
        return Multiplier.zero()

    def update(updates, state, params=None, *, budget, cost_args=None, **extra):
        del extra
        arguments = cost_args or {}

        def added(bits: Widths) -> jax.Array:
            return lagrangian(jnp.log(cost(bits, **arguments)) - jnp.log(budget), state.value, rho)

        updates = jax.tree.map(jnp.add, updates, jax.grad(added)(params))
        count = state.count + 1
        if every is None:
            return updates, state._replace(count=count)
        excess = jnp.log(exact(params, **arguments)) - jnp.log(budget)
        value = jnp.where(count % every == 0, raise_multiplier(state.value, excess, rho), state.value)
        kept = jnp.where(excess <= 0, state.kept + 1, 0)
        if restart is not None:
            done = kept >= restart
            value, kept = jnp.where(done, 0.0, value), jnp.where(done, 0, kept)
        return updates, Multiplier(value, count, kept)

    return transformation(init, update)
