"""The compiled training steps: float, fixed widths, and widths that move by a gradient or by a direction.

Widths, bound, seed, step size and how much of the search is done are all traced: each of these functions compiles once. Steps
are called one by one: inside a compiled loop XLA computes convolutions on a CPU without its fast kernels.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.lenet5_mnist import network
from experiments.lenet5_mnist.ranges import value_range
from imcjax.codesign.bitwidths import Method, at_width, by_gate
from imcjax.codesign.bitwidths.bayesian_bits import draw
from imcjax.keys import fold_index
from imcjax.quantize import straight_through
from imcjax.training import correct, cross_entropy


ADAM: Any = optax.scale_by_adam()


class Trained(NamedTuple):
    """What training moves: parameters, log factors (7,) of the ranges, Adam's moments of both."""

    params: Any
    log_factors: jax.Array
    moments: Any

    @classmethod
    def start(cls, params: Any) -> "Trained":
        """Factors of 1."""
        factors = jnp.zeros(len(network.TENSORS))
        return cls(params, factors, ADAM.init((params, factors)))


class Searched(NamedTuple):
    """A search: what is trained, the variables of the widths, the states of their constraint and optimizer."""

    trained: Trained
    variables: Any
    states: Any


class Rates(NamedTuple):
    """Step sizes of a step: weights, log factors, widths."""

    weights: jax.Array
    ranges: jax.Array
    widths: jax.Array


def quantizer(bits: jax.Array, table: jax.Array, log_factors: jax.Array) -> network.Quantizer:
    """At whole widths."""
    return lambda i, x: at_width(x, value_range(i, x, bits[i], table, log_factors), bits[i], signed=network.SIGNED[i])


def _moved(trained: Trained, grads: Any, rates: Rates) -> Trained:
    updates, moments = ADAM.update(grads, trained.moments)
    params = jax.tree.map(lambda p, u: p - rates.weights * u, trained.params, updates[0])
    return Trained(params, trained.log_factors - rates.ranges * updates[1], moments)


@jax.jit
def float_step(trained: Trained, rates: Rates, x: jax.Array, y: jax.Array) -> tuple[Trained, jax.Array]:
    """One step of the float network; its log factors have no gradient."""

    def loss(moved: Any) -> jax.Array:
        return cross_entropy(network.forward(moved[0], x), y)

    value, grads = jax.value_and_grad(loss)((trained.params, trained.log_factors))
    return _moved(trained, grads, rates), value


@jax.jit
def fixed_step(
    trained: Trained, bits: jax.Array, keep: Any, table: jax.Array, rates: Rates, x: jax.Array, y: jax.Array
) -> tuple[Trained, jax.Array]:
    """One step at fixed widths."""

    def loss(moved: Any) -> jax.Array:
        params, factors = moved
        return cross_entropy(network.forward(params, x, quantizer(bits, table, factors), keep), y)

    value, grads = jax.value_and_grad(loss)((trained.params, trained.log_factors))
    return _moved(trained, grads, rates), value


@jax.jit
def evaluate(
    trained: Trained, bits: jax.Array, keep: Any, table: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Right answers and summed loss of a batch; a label of -1 fills up and counts for neither."""
    logits = network.forward(trained.params, x, quantizer(bits, table, trained.log_factors), keep)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(y, 0))
    return jnp.sum(correct(logits, y)), jnp.sum(jnp.where(y < 0, 0.0, losses))


def gradient_step(
    methods: tuple[Method, ...],
    constraint: optax.GradientTransformationExtraArgs,
    settle: Callable[[Any], Any],
) -> Callable[..., tuple[Searched, jax.Array]]:
    """A compiled step in which widths follow the gradient of the loss and of the constraint.

    Args:
      methods: of the seven tensors; the variables are {"bits": one entry for each, "prune": phi of the channels' gates or ()}.
      constraint: takes `budget` and `start`.
      settle: puts variables back where they are allowed to be.
    """

    @jax.jit
    def step(
        state: Searched,
        table: jax.Array,
        rates: Rates,
        limits: dict[str, jax.Array],
        progress: jax.Array,
        key: jax.Array,
        x: jax.Array,
        y: jax.Array,
    ) -> tuple[Searched, jax.Array]:
        def loss(moved: Any, variables: Any) -> jax.Array:
            params, factors = moved
            bits = variables["bits"]
            drawn = [draw(phi, fold_index(key, 100 + i)) for i, phi in enumerate(variables["prune"])]
            keep = tuple(straight_through(jnp.round(z), z) for z in drawn) or network.nothing_pruned()

            def quantized(i: int, values: jax.Array) -> jax.Array:
                limit = value_range(i, values, methods[i].widths(bits[i]), table, factors)
                arguments: dict[str, Any] = {"signed": network.SIGNED[i], "key": fold_index(key, i), "progress": progress}
                return methods[i].quantize(values, limit, bits[i], **arguments)

            return cross_entropy(network.forward(params, x, quantized, keep), y)

        trained = state.trained
        gradient = jax.value_and_grad(loss, argnums=(0, 1))
        value, (grads, bit_grads) = gradient((trained.params, trained.log_factors), state.variables)
        held, moments = state.states
        pushed, held = constraint.update(bit_grads, held, state.variables, **limits)
        directions, moments = ADAM.update(pushed, moments)
        variables = settle(jax.tree.map(lambda v, u: v - rates.widths * u, state.variables, directions))
        return Searched(_moved(trained, grads, rates), variables, (held, moments)), value

    return step


def guided_step(constraint: optax.GradientTransformationExtraArgs) -> Callable[..., tuple[Searched, jax.Array]]:
    """A compiled step in which widths follow the direction of `constraint`; the variables are an array (7,) of widths."""

    @jax.jit
    def step(
        state: Searched,
        table: jax.Array,
        rates: Rates,
        limits: dict[str, jax.Array],
        progress: jax.Array,
        key: jax.Array,
        x: jax.Array,
        y: jax.Array,
    ) -> tuple[Searched, jax.Array]:
        del progress, key
        sizes: dict[int, jax.Array] = {}

        def loss(moved: Any, probes: Any) -> tuple[jax.Array, Any]:
            params, factors = moved
            at = quantizer(jax.lax.stop_gradient(state.variables), table, factors)

            def quantized(i: int, values: jax.Array) -> jax.Array:
                found = at(i, values)
                sizes[i] = by_gate(values, ())
                return found if network.SIGNED[i] else found + probes[i - 4]

            return cross_entropy(network.forward(params, x, quantized), y), [sizes[i] for i in range(len(sizes))]

        trained, batch = state.trained, len(x)
        probes = [jnp.zeros((batch, *shape)) for shape in ((12, 12, 32), (1024,), (512,))]
        gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        (value, magnitudes), (grads, probed) = gradient((trained.params, trained.log_factors), probes)
        slopes = [by_gate(grads[0][name]["kernel"], ()) for name in network.LAYERS]
        slopes += [batch * by_gate(g, ()) for g in probed]  # of a sample's own loss, not of its part of the batch's
        moves, held = constraint.update(
            state.variables, state.states, state.variables, gradient=jnp.stack(slopes), value=jnp.stack(magnitudes), **limits
        )
        return Searched(_moved(trained, grads, rates), state.variables + moves, held), value

    return step
