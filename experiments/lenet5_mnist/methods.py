"""The searches that are compared: how each moves the widths, and under which constraint."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lenet5_mnist import bits as widths
from experiments.lenet5_mnist import network
from experiments.lenet5_mnist.ranges import WIDEST
from experiments.lenet5_mnist.steps import ADAM, Searched, Trained, gradient_step, guided_step
from imcjax.codesign import bitwidths, constraints
from imcjax.codesign.bitwidths.base import RealWidths
from imcjax.codesign.bitwidths.bayesian_bits import OPEN, deployed, probability


@dataclass(frozen=True)
class Search:
    """One way to search, compiled once for all its runs.

    Attributes:
      start: (trained, table) -> the state at step 0, with the widest widths.
      step: see `experiments.lenet5_mnist.steps`.
      found: (state, budget) -> (widths (7,), channels kept) at the end.
      legal: whether these widths are a design already, and need no projection.
    """

    start: Callable[[Trained, np.ndarray], Searched]
    step: Callable[..., Any]
    found: Callable[[Searched, float], tuple[np.ndarray, network.Keep]]
    legal: bool = False


def by_gradient(
    weights: bitwidths.Method,
    inputs: bitwidths.Method,
    make: Callable[..., optax.GradientTransformationExtraArgs],
    steps: int,
    *,
    prune: bool = False,
    **arguments: Any,
) -> Search:
    """Widths that follow a gradient, under a budget that falls from the cost of the widest."""
    methods = (weights,) * 4 + (inputs,) * 3

    def total(variables: Any, of: str, gate: Callable[[jax.Array], jax.Array]) -> jax.Array:
        bits = [getattr(m, of)(v) for m, v in zip(methods, variables["bits"], strict=True)]
        keep = tuple(gate(phi) for phi in variables["prune"]) or network.nothing_pruned()
        return widths.cost(jnp.stack(bits), keep)

    def cost(variables: Any) -> jax.Array:
        return total(variables, "widths", probability)

    if make is constraints.augmented_lagrangian:
        arguments["true_cost"] = lambda variables: total(variables, "whole", deployed)
    constraint = constraints.with_homotopy(make(cost, **arguments), steps=steps)

    def settle(variables: Any) -> Any:
        bits = [
            jnp.clip(v, 1.0, WIDEST) if isinstance(m, RealWidths) else v
            for m, v in zip(methods, variables["bits"], strict=True)
        ]
        return variables | {"bits": tuple(bits)}

    def start(trained: Trained, table: np.ndarray) -> Searched:
        bits = []
        for i, method in enumerate(methods):
            scale = jnp.mean(jnp.abs(trained.params[network.LAYERS[i]]["kernel"])) if network.SIGNED[i] else 1.0
            bits.append(method.start(jnp.asarray(float(WIDEST)), table[i, WIDEST] * scale))
        gates = tuple(jnp.full(work.n_out, OPEN, jnp.float32) for work in network.WORKS[:3]) if prune else ()
        variables = {"bits": tuple(bits), "prune": gates}
        return Searched(trained, variables, (constraint.init(variables), ADAM.init(variables)))

    def found(state: Searched, budget: float) -> tuple[np.ndarray, network.Keep]:
        del budget
        pairs = zip(methods, state.variables["bits"], strict=True)
        # Real widths where there are any: the projection rounds them.
        real = [float(m.widths(v) if isinstance(m, RealWidths) else m.whole(v)) for m, v in pairs]
        return np.array(real), tuple(deployed(phi) for phi in state.variables["prune"]) or network.nothing_pruned()

    return Search(start, gradient_step(methods, constraint, settle), found)


def by_direction(direction: str, steps: int) -> Search:
    """CGMQ with a gate for each tensor. The mean gate could cross all widths in half of the search."""
    low, high = jnp.asarray(widths.LOW, jnp.float32), jnp.asarray(widths.HIGH, jnp.float32)
    rate = 2 * (WIDEST - 1) / steps
    rule = constraints.DIRECTIONS[direction]
    constraint: Any = constraints.constraint_guided(widths.cost, low, high, rate=rate, direction=rule)

    def start(trained: Trained, table: np.ndarray) -> Searched:
        del table
        return Searched(trained, high, constraint.init(high))

    def found(state: Searched, budget: float) -> tuple[np.ndarray, network.Keep]:
        gates, held = state.variables, state.states
        # A short search may end above the bound: all gates then go on falling, at one speed, until it is met.
        while not bool(held.found):
            same = jnp.ones_like(gates)
            moves, held = constraint.update(gates, held, gates, budget=jnp.asarray(budget), gradient=same, value=same)
            gates = gates + moves
        return np.round(np.asarray(held.kept, float)), network.nothing_pruned()

    return Search(start, guided_step(constraint), found, legal=True)


LAGRANGIAN = constraints.augmented_lagrangian
SEARCHES: dict[str, Callable[[int], Search]] = {
    "cgmq": lambda steps: by_direction("gradient", steps),
    "cgmq_value": lambda steps: by_direction("gradient_and_value", steps),
    "cgmq_product": lambda steps: by_direction("product", steps),
    "ours": lambda steps: _plain(bitwidths.NoiseThenSampled(), LAGRANGIAN, steps),
    "ours_pruned": lambda steps: _plain(bitwidths.NoiseThenSampled(), LAGRANGIAN, steps, prune=True),
    "noise": lambda steps: _plain(bitwidths.Noise(), LAGRANGIAN, steps),
    "sampled": lambda steps: _plain(bitwidths.Sampled(), LAGRANGIAN, steps),
    "fracbits": lambda steps: _plain(bitwidths.FracBits(), constraints.absolute_gap, steps, weight=1.0),
    "step_range": lambda steps: by_gradient(
        bitwidths.StepRange(signed=True), bitwidths.StepRange(signed=False), constraints.squared_hinge, steps, weight=1.0
    ),
    "bayesian_bits": lambda steps: _plain(
        bitwidths.BayesianBits(widest=WIDEST), constraints.fixed_penalty, steps, prune=True, weight=0.1
    ),
}
"""(steps of the search) -> the search. Weights of penalties are not tuned."""


def _plain(
    method: bitwidths.Method,
    make: Callable[..., optax.GradientTransformationExtraArgs],
    steps: int,
    *,
    prune: bool = False,
    **arguments: Any,
) -> Search:
    return by_gradient(method, method, make, steps, prune=prune, **arguments)
