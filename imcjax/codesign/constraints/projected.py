"""Projection: after each step the widths are put back where they are allowed to be."""

import jax
import jax.numpy as jnp
import optax

from imcjax.codesign.constraints.base import Cost, Widths, transformation, within


def keep_in_box(low: Widths, high: Widths) -> optax.GradientTransformationExtraArgs:
    """Cuts updates so that every width stays in [low, high], two numbers or two trees of them; last in a chain."""

    def init(bits):
        del bits
        return optax.EmptyState()

    def update(updates, state, params=None, **extra):
        del extra
        lowest, highest = (_everywhere(end, params) for end in (low, high))
        moved = jax.tree.map(lambda u, b, lo, hi: jnp.clip(b + u, lo, hi) - b, updates, params, lowest, highest)
        return moved, state

    return transformation(init, update)


def keep_in_budget(cost: Cost, low: Widths, high: Widths, *, halvings: int = 24) -> optax.GradientTransformationExtraArgs:
    """Cuts updates so that real widths stay in the box and their cost in the budget; last in a chain.

    Where a step would cost too much, all widths are lowered by one common amount (each down to `low` at most): the Euclidean
    projection where the cost is a sum of equal prices, found by bisection whatever the cost. Widths rounded up afterwards may
    cost more again: the legal projection (`imcjax.codesign.projection`) is what makes a design. A budget below the cost of
    `low` leaves the widths there.
    """

    def init(bits):
        del bits
        return optax.EmptyState()

    def update(updates, state, params=None, *, budget, cost_args=None, **extra):
        del extra
        target = jax.tree.map(jnp.add, params, updates)

        def lowered(amount: jax.Array) -> Widths:
            return jax.tree.map(lambda b, lo, hi: jnp.clip(b - amount, lo, hi), target, low, high)

        def fits(amount: jax.Array) -> jax.Array:
            return within(cost(lowered(amount), **(cost_args or {})), budget)

        def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            middle = (ends[0] + ends[1]) / 2
            good = fits(middle)
            return jnp.where(good, ends[0], middle), jnp.where(good, middle, ends[1])

        heights = [jnp.max(b - lo) for b, lo in zip(jax.tree.leaves(target), jax.tree.leaves(low), strict=True)]
        nothing = jnp.zeros_like(heights[0])
        _, amount = jax.lax.fori_loop(0, halvings, halve, (nothing, jnp.max(jnp.stack(heights))))
        amount = jnp.where(fits(nothing), nothing, amount)
        return jax.tree.map(jnp.subtract, lowered(amount), params), state

    return transformation(init, update)


def _everywhere(value: Widths, params: Widths) -> Widths:
    """A number as a tree of it; a tree as it is."""
    return jax.tree.map(lambda _: value, params) if isinstance(value, int | float) else value
