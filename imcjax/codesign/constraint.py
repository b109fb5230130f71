"""A hard bound on a cost as an augmented Lagrangian, its multiplier driven by the true cost of the rounded design.

L = loss + (max(0, mu + rho c)^2 - mu^2) / (2 rho),  c = log(cost / target),  mu <- max(0, mu + rho log(rounded cost / target)).

Descent is on the differentiable proxy, ascent on the true constraint (the proxy-Lagrangian of Cotter et al., JMLR 20, 2019).
The logarithm makes the multiplier independent of units.
"""

import jax
import jax.numpy as jnp


def penalty(log_cost_ratio: jax.Array, multiplier: jax.Array, rho: float) -> jax.Array:
    """What the augmented Lagrangian adds to the loss; log_cost_ratio = log(cost / target)."""
    return (jnp.maximum(0.0, multiplier + rho * log_cost_ratio) ** 2 - multiplier**2) / (2 * rho)


def raise_multiplier(multiplier: jax.Array, log_cost_ratio: jax.Array, rho: float) -> jax.Array:
    """The multiplier after one ascent step on the true cost."""
    return jnp.maximum(0.0, multiplier + rho * log_cost_ratio)


def homotopy(progress: float, log_start: float, log_end: float, reach: float = 0.6) -> float:
    """log target: from the start's cost down to the budget over the first `reach` of the search, so that bits fall slowly."""
    done = min(1.0, progress / reach)
    return log_start + (log_end - log_start) * done
