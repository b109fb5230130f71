"""Freezing what oscillates: bits at a half, and weights between two codes.

A value near the border of two codes flips between them in every few steps, since the straight-through gradient sees only the
code. Nagel et al. (ICML 2022) count flips of opposite direction with an exponential moving average and freeze a weight whose
count passes a threshold at the code where it mostly was. The same holds for bit-widths, whose codes are the whole widths.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imcjax.codesign.constraints.base import transformation


class Oscillation(NamedTuple):
    """State, arrays in the structure of the parameters.

    code: the last code. turn: the direction of its last change. frequency: moving average of changes of opposite direction.
    mean: moving average of the code. frozen: whether it stays. at: the code where it stays.
    """

    code: Any
    turn: Any
    frequency: Any
    mean: Any
    frozen: Any
    at: Any


def freeze_oscillating(*, threshold: float = 0.1, momentum: float = 0.01) -> optax.GradientTransformationExtraArgs:
    """Freezes parameters whose codes oscillate; last in a chain. `update` takes these extra arguments, all optional:

        step        value of one code, a pytree that broadcasts against the parameters; default 1, as for bit-widths
        limit       largest code, likewise; default none
        threshold   in place of the argument below, traced: annealed from high to low, more and more is frozen

    Args:
      threshold: frequency of oscillation beyond which a parameter is frozen; at least 2 to 3 times the momentum.
      momentum: of the moving averages.
    """
    usual = threshold

    def init(params: Any) -> Oscillation:
        zeros = jax.tree.map(jnp.zeros_like, params)
        # NaN says that no code has been seen yet: the step is not known here.
        unseen = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), params)
        return Oscillation(unseen, zeros, zeros, unseen, jax.tree.map(lambda p: jnp.zeros(p.shape, bool), params), zeros)

    def update(updates, state, params=None, *, step=None, limit=None, threshold=None, **extra):
        del extra
        steps = step if step is not None else jax.tree.map(jnp.ones_like, params)
        codes = jax.tree.map(lambda p, u, s: jnp.round((p + u) / s), params, updates, steps)
        if limit is not None:
            codes = jax.tree.map(lambda c, top: jnp.clip(c, -top, top), codes, limit)
        bound = usual if threshold is None else threshold

        def follow(code, before, turn, frequency, mean, frozen, at):
            first = jnp.isnan(before)
            before, mean = jnp.where(first, code, before), jnp.where(first, code, mean)
            code = jnp.where(frozen, at, code)
            change = jnp.sign(code - before)
            frequency = momentum * (change * turn < 0) + (1 - momentum) * frequency
            stop = (frequency > bound) & ~frozen
            at = jnp.where(stop, jnp.round(mean), at)
            mean = momentum * code + (1 - momentum) * mean
            return Oscillation(code, jnp.where(change != 0, change, turn), frequency, mean, frozen | stop, at)

        found = jax.tree.map(follow, codes, *state)
        state = Oscillation(*jax.tree.transpose(jax.tree.structure(params), jax.tree.structure(Oscillation(*range(6))), found))
        moved = jax.tree.map(
            lambda u, p, s, frozen, at: jnp.where(frozen, at * s - p, u), updates, params, steps, state.frozen, state.at
        )
        return moved, state

    return transformation(init, update)


class Settling(NamedTuple):
    """State: steps in a row that each width has been near a whole one, and whether it is locked there."""

    steps: Any
    locked: Any


def lock_settled(*, margin: float = 0.1, patience: int = 200) -> optax.GradientTransformationExtraArgs:
    """Locks a bit-width at the whole one that it has been nearer to than `margin` for `patience` steps; last in a chain."""

    def init(params: Any) -> Settling:
        return Settling(
            jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.int32), params),
            jax.tree.map(lambda p: jnp.zeros(p.shape, bool), params),
        )

    def update(updates, state, params=None, **extra):
        del extra
        near = jax.tree.map(lambda p, u: jnp.abs(p + u - jnp.round(p + u)) < margin, params, updates)
        steps = jax.tree.map(lambda n, s: jnp.where(n, s + 1, 0), near, state.steps)
        moved = jax.tree.map(lambda u, p, locked: jnp.where(locked, jnp.round(p) - p, u), updates, params, state.locked)
        locked = jax.tree.map(lambda s, locked: locked | (s >= patience), steps, state.locked)
        return moved, Settling(steps, locked)

    return transformation(init, update)


def hysteresis(bits: Any, held: Any, margin: float = 0.6) -> Any:
    """The whole widths to compute with: the `held` ones, or where a real width is further than `margin` away its nearest."""
    return jax.tree.map(lambda b, h: jnp.where(jnp.abs(b - h) > margin, jnp.round(b), h), bits, held)
