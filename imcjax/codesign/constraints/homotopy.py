"""Budget homotopy: the bound comes down slowly, so that bits fall one after another and not all at once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from imcjax.codesign.constraints.base import Widths, transformation


def homotopy(progress: float, log_start: float, log_end: float, reach: float = 0.6) -> float:
    """log budget: from the start's cost down to the bound over the first `reach` of the search."""
    done = min(1.0, progress / reach)
    return log_start + (log_end - log_start) * done


class Descent(NamedTuple):
    """State: steps done, and the state of the constraint within."""

    count: jax.Array
    inner: optax.OptState


def with_homotopy(
    constraint: optax.GradientTransformationExtraArgs, *, steps: int, reach: float = 0.6
) -> optax.GradientTransformationExtraArgs:
    """The constraint under a budget that falls on a logarithmic line from `start` to `budget`, both given to `update`.

    Args:
      constraint: any that takes `budget`.
      steps: of the whole search.
      reach: the part of the search after which the budget itself holds.
    """

    def init(bits: Widths) -> Descent:
        return Descent(jnp.zeros((), jnp.int32), constraint.init(bits))

    def update(updates, state, params=None, *, budget, start, **extra):
        done = jnp.minimum(1.0, (state.count + 1) / (reach * steps))
        now = jnp.where(done < 1, jnp.exp(jnp.log(start) + (jnp.log(budget) - jnp.log(start)) * done), budget)
        updates, inner = constraint.update(updates, state.inner, params, budget=now, **extra)
        return updates, Descent(state.count + 1, inner)

    return transformation(init, update)
