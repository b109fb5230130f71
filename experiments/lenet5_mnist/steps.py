"""The compiled training steps: float, fixed widths, and widths that move by a gradient or by a direction.

Every step takes several seeds at once, along the first axis of all that differs between them (`together`). Widths, bound, seed,
step size and how much of the search is done are all traced: each of these functions compiles once for a number of seeds. Steps
are called one by one: inside a compiled loop XLA computes convolutions on a CPU without its fast kernels.
"""

from collections.abc import Callable
from functools import partial
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
SHARED_IN_SEARCHES = (2, 3, 4, 5)
"""Arguments of a search's step that are the same for all seeds: rates, limits, progress, teaching."""


class Trained(NamedTuple):
    """What training moves: parameters, log factors (7,) of the ranges, Adam's moments of both."""

    params: Any
    log_factors: jax.Array
    moments: Any

    @classmethod
    def start(cls, params: Any) -> "Trained":
        """Factors of 1, and copies of the parameters: steps take what they are given apart."""
        params = jax.tree.map(jnp.array, params)
        factors = jnp.zeros(len(network.TENSORS))
        return cls(params, factors, ADAM.init((params, factors)))


class Batch(NamedTuple):
    """What a step is shown: images, labels, and the teacher's logits."""

    x: jax.Array
    y: jax.Array
    said: jax.Array


class Teaching(NamedTuple):
    """Weight of the teacher's probabilities in the loss, and the temperature at which they are compared."""

    weight: jax.Array
    temperature: jax.Array


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


def together(step: Callable[..., Any], *, shared: tuple[int, ...], donate: int | None = 0) -> Callable[..., Any]:
    """A compiled `step` of several seeds: arguments have a first axis of seeds, except those whose places are `shared`.

    Kernels of several seeds make a convolution in groups, for which XLA on CPU has no fast program: there the seeds follow one
    another.
    """
    axes = tuple(None if i in shared else 0 for i in range(step.__code__.co_argcount))

    def several(*arguments: Any) -> Any:
        if jax.default_backend() != "cpu":
            return jax.vmap(step, in_axes=axes)(*arguments)
        seeds = len(jax.tree.leaves(arguments[0])[0])
        found = [
            step(
                *(
                    a if axis is None else jax.tree.map(lambda leaf, i=i: leaf[i], a)
                    for a, axis in zip(arguments, axes, strict=True)
                )
            )
            for i in range(seeds)
        ]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

    return jax.jit(several, donate_argnums=() if donate is None else donate)


def quantizer(bits: jax.Array, table: jax.Array, log_factors: jax.Array) -> network.Quantizer:
    """At whole widths."""
    return lambda i, x: at_width(x, value_range(i, x, bits[i], table, log_factors), bits[i], signed=network.SIGNED[i])


def _moved(trained: Trained, grads: Any, rates: Rates) -> Trained:
    updates, moments = ADAM.update(grads, trained.moments)
    params = jax.tree.map(lambda p, u: p - rates.weights * u, trained.params, updates[0])
    return Trained(params, trained.log_factors - rates.ranges * updates[1], moments)


def _loss(logits: jax.Array, batch: Batch, teaching: Teaching) -> jax.Array:
    """Cross-entropy with the labels and with the teacher (Hinton et al., arXiv 1503.02531: its gradients grow by T^2)."""
    soft = jax.nn.softmax(batch.said / teaching.temperature)
    taught = optax.softmax_cross_entropy(logits / teaching.temperature, soft).mean() * teaching.temperature**2
    return (1 - teaching.weight) * cross_entropy(logits, batch.y) + teaching.weight * taught


@partial(together, shared=(1,))
def float_step(trained: Trained, rates: Rates, x: jax.Array, y: jax.Array) -> tuple[Trained, jax.Array]:
    """One step of the float network; its log factors have no gradient."""

    def loss(moved: Any) -> jax.Array:
        return cross_entropy(network.forward(moved[0], x), y)

    value, grads = jax.value_and_grad(loss)((trained.params, trained.log_factors))
    return _moved(trained, grads, rates), value


@partial(together, shared=(4, 5))
def fixed_step(
    trained: Trained, bits: jax.Array, keep: Any, table: jax.Array, rates: Rates, teaching: Teaching, batch: Batch
) -> tuple[Trained, jax.Array]:
    """One step at fixed widths."""

    def loss(moved: Any) -> jax.Array:
        params, factors = moved
        return _loss(network.forward(params, batch.x, quantizer(bits, table, factors), keep), batch, teaching)

    value, grads = jax.value_and_grad(loss)((trained.params, trained.log_factors))
    return _moved(trained, grads, rates), value


@partial(together, shared=(4, 5), donate=None)
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

    @partial(together, shared=SHARED_IN_SEARCHES)
    def step(
        state: Searched,
        table: jax.Array,
        rates: Rates,
        limits: dict[str, jax.Array],
        progress: jax.Array,
        teaching: Teaching,
        key: jax.Array,
        batch: Batch,
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

            return _loss(network.forward(params, batch.x, quantized, keep), batch, teaching)

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

    @partial(together, shared=SHARED_IN_SEARCHES)
    def step(
        state: Searched,
        table: jax.Array,
        rates: Rates,
        limits: dict[str, jax.Array],
        progress: jax.Array,
        teaching: Teaching,
        key: jax.Array,
        batch: Batch,
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

            return _loss(network.forward(params, batch.x, quantized), batch, teaching), [sizes[i] for i in range(len(sizes))]

        trained, size = state.trained, len(batch.x)
        probes = [jnp.zeros((size, *shape)) for shape in ((12, 12, 32), (1024,), (512,))]
        gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        (value, magnitudes), (grads, probed) = gradient((trained.params, trained.log_factors), probes)
        slopes = [by_gate(grads[0][name]["kernel"], ()) for name in network.LAYERS]
        slopes += [size * by_gate(g, ()) for g in probed]  # of a sample's own loss, not of its part of the batch's
        moves, held = constraint.update(
            state.variables, state.states, state.variables, gradient=jnp.stack(slopes), value=jnp.stack(magnitudes), **limits
        )
        return Searched(_moved(trained, grads, rates), state.variables + moves, held), value

    return step
