"""Constraint-guided widths: a direction in place of a gradient, down while the cost is too high and up while it is not.

CGMQ (Van Baelen and Karsmakers, arXiv 2409.20138) gives each weight tensor and activation, or each of their entries, a gate g
whose width T(g) is whole, and moves it by g <- g - rate * dir. While the bound is violated dir > 0 for all gates, so the cost
falls and the bound is met after finitely many steps; while it is satisfied dir <= 0. The design is the last iterate that
satisfied the bound. There is no weight to tune between loss and cost.

The paper's abstract states these properties; the directions below are a reconstruction, since its tables could not be read:
gates of which the loss knows much (large gradients, large values) fall slowly and rise quickly. Each direction is divided by
its mean over all gates, so that `rate` is the mean change of a gate in a step, and held to [floor, ceiling], which bounds the
number of steps; both are our choice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imcjax.codesign.constraints.base import Cost, Widths, select, transformation, whole, within


Direction = Callable[[jax.Array, jax.Array], jax.Array]
"""(|gradient|, |value|) of what a gate decides about -> how much it matters."""

TINY = 1e-20


def by_gradient(gradient: jax.Array, value: jax.Array) -> jax.Array:
    """What a change would do to the loss."""
    del value
    return gradient


def by_gradient_and_value(gradient: jax.Array, value: jax.Array) -> jax.Array:
    """As `by_gradient`, and large values matter too."""
    return gradient + value


def by_product(gradient: jax.Array, value: jax.Array) -> jax.Array:
    """What taking the value away would do to the loss, to first order. Ours, in place of the paper's third direction."""
    return gradient * value


DIRECTIONS: dict[str, Direction] = {
    "gradient": by_gradient,
    "gradient_and_value": by_gradient_and_value,
    "product": by_product,
}


def gate_bits(gates: Widths, menu: tuple[float, ...]) -> Widths:
    """T(g): the first width of the ascending menu for g <= 1, the second for g <= 2, ...; the paper's is (2, 4, 8, 16, 32)."""
    choices = jnp.asarray(menu, dtype=float)
    return jax.tree.map(lambda g: choices[jnp.clip(jnp.ceil(g) - 1, 0, len(menu) - 1).astype(jnp.int32)], gates)


class Guided(NamedTuple):
    """State: the last gates that satisfied the bound, and whether any have."""

    kept: Widths
    found: jax.Array


def constraint_guided(
    cost: Cost,
    low: Any,
    high: Any,
    *,
    rate: float,
    direction: Direction = by_gradient,
    bits_of: Callable[[Widths], Widths] = whole,
    floor: float = 0.1,
    ceiling: float = 10.0,
) -> optax.GradientTransformationExtraArgs:
    """Moves gates by the rule above. The gradient that comes in is ignored; `update` takes two more extra arguments:

        gradient, value     mean |d loss / d w| and |w| of what each gate decides about, in the structure of the gates

    Args:
      cost: of whole widths.
      low, high: pytrees that hold the gates.
      rate: mean change of a gate in a step.
      direction: what matters, see `DIRECTIONS`.
      bits_of: the gates' whole widths; by default gates are real widths themselves.
      floor, ceiling: least and largest change of a gate while the bound is violated, in units of `rate`.
    """

    def init(gates: Widths) -> Guided:
        return Guided(gates, jnp.zeros((), bool))

    def update(updates, state, params=None, *, budget, gradient, value, cost_args=None, **extra):
        del updates, extra
        satisfied = within(cost(bits_of(params), **(cost_args or {})), budget)
        matters = jax.tree.map(lambda p, g, v: jnp.broadcast_to(direction(g, v), jnp.shape(p)), params, gradient, value)
        down = _scaled(jax.tree.map(lambda m: 1 / (m + TINY), matters))
        up = _scaled(matters)

        def move(g: jax.Array, down: jax.Array, up: jax.Array, lo: jax.Array, hi: jax.Array) -> jax.Array:
            chosen = jnp.where(satisfied, -jnp.minimum(up, ceiling), jnp.clip(down, floor, ceiling))
            return jnp.clip(g - rate * chosen, lo, hi) - g

        moved = jax.tree.map(move, params, down, up, low, high)
        return moved, Guided(select(satisfied, params, state.kept), state.found | satisfied)

    return transformation(init, update)


def _scaled(directions: Widths) -> Widths:
    """The directions divided by their mean over all gates."""
    leaves = jax.tree.leaves(directions)
    mean = sum(jnp.sum(leaf) for leaf in leaves) / sum(leaf.size for leaf in leaves)
    return jax.tree.map(lambda leaf: leaf / (mean + TINY), directions)
