"""The training steps of co-design, compiled in chunks: float, search (bits move), tune (bits frozen)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from imcjax.codesign.bill import Bill
from imcjax.codesign.constraints import Multiplier, augmented_lagrangian
from imcjax.codesign.network import Network, Ranges
from imcjax.hardware import Hardware
from imcjax.keys import fold_index
from imcjax.quantize import straight_through
from imcjax.training import cross_entropy


class FloatState(NamedTuple):
    """Parameters of the float network and the state of their optimizer."""

    params: Any
    moments: Any


class SearchState(NamedTuple):
    """What the search moves: weights, real bit-widths (layers, 3), the multiplier of the bound."""

    params: Any
    moments: Any
    bits: jax.Array
    bit_moments: Any
    bound: Multiplier


class TuneState(NamedTuple):
    """What tuning moves: weights and the logarithms of all ranges."""

    params: Any
    log_ranges: Any
    moments: Any


def float_chunk(model: Any, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """A function (state, x, y) -> (state, losses) over (steps, batch, ...) data, of the model without hardware.

    Steps are called one by one: inside a compiled loop XLA computes convolutions on a CPU without its fast kernels, 60 times
    slower for LeNet-5.
    """
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return cross_entropy(nnx.merge(graph, params, rest)(x), y)

    def step(state: FloatState, batch: tuple[jax.Array, jax.Array]) -> tuple[FloatState, jax.Array]:
        value, grads = jax.value_and_grad(loss)(state.params, *batch)
        updates, moments = optimizer.update(grads, state.moments, state.params)
        return FloatState(optax.apply_updates(state.params, updates), moments), value

    one = jax.jit(step)

    def run(state: FloatState, x: jax.Array, y: jax.Array) -> tuple[FloatState, jax.Array]:
        losses = []
        for i in range(len(x)):
            state, value = one(state, (x[i], y[i]))
            losses.append(value)
        return state, jnp.stack(losses)

    return run


def search_chunk(
    network: Network,
    bill: Bill,
    hardware: Hardware,
    optimizer: optax.GradientTransformation,
    bit_optimizer: optax.GradientTransformation,
    low: np.ndarray,
    high: np.ndarray,
    rho: float,
) -> Callable[..., Any]:
    """A compiled function (state, ranges, log_target, key, steps, x, y) -> (state, losses).

    Every step samples whole widths around the real ones (floor or one more, with the fraction as probability), so the forward
    pass is always that of a chip; the gradient passes straight through the sampling. The cost's gradient goes to the bits only.
    The cost is a staircase: a bit less may fill the same cells and phases. Its gradient is therefore taken at widths shifted at
    random within a stair, which on average is the slope of the stairs.
    """
    frozen = jax.tree.map(jnp.asarray, hardware)
    plateau = jnp.array([hardware.encoding.cell_bits, hardware.dac.bits, 0.0])

    def objective(moved: tuple[Any, jax.Array], ranges: Ranges, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        params, bits = moved
        floor = jnp.floor(bits)
        sampled = floor + jax.random.bernoulli(fold_index(key, 0), lax.stop_gradient(bits - floor)).astype(bits.dtype)
        widths = straight_through(sampled, bits)
        return cross_entropy(network.apply(params, widths, ranges, frozen, x, key=fold_index(key, 1)), y)

    def energy(bits: jax.Array, params: Any, ranges: Ranges, key: jax.Array) -> jax.Array:
        shifts = plateau * jax.random.uniform(fold_index(key, 2), bits.shape, minval=-0.5, maxval=0.5)
        here, nearby = (bill.energy(params, b, hard=False, ranges=ranges) for b in (bits, jnp.clip(bits + shifts, low, high)))
        return jnp.exp(straight_through(jnp.log(here), jnp.log(nearby)))

    # The exact energy of whole widths is dear: the multiplier is raised between two chunks.
    constraint = augmented_lagrangian(energy, rho=rho, every=None)

    def step(carry: Any, batch: Any) -> Any:
        state, ranges, log_target, key = carry
        number, x, y = batch
        own = fold_index(key, number)
        gradient: Any = jax.value_and_grad(objective)
        loss, (grads, bit_grads) = gradient((state.params, state.bits), ranges, x, y, own)
        updates, moments = optimizer.update(grads, state.moments, state.params)
        arguments = {"params": state.params, "ranges": ranges, "key": own}
        bound: Any
        pushed, bound = constraint.update(bit_grads, state.bound, state.bits, budget=jnp.exp(log_target), cost_args=arguments)
        moves, bit_moments = bit_optimizer.update(pushed, state.bit_moments, state.bits)
        bits = jnp.clip(state.bits + moves, low, high)
        state = SearchState(optax.apply_updates(state.params, updates), moments, bits, bit_moments, bound)
        return (state, ranges, log_target, key), loss

    def run(state: SearchState, ranges: Ranges, log_target: jax.Array, key: jax.Array, numbers: Any, x: Any, y: Any) -> Any:
        carry, losses = lax.scan(step, (state, ranges, log_target, key), (numbers, x, y))
        return carry[0], losses

    return jax.jit(run)


def tune_chunk(network: Network, hardware: Hardware, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """A compiled function (state, bits, key, steps, x, y) -> (state, losses): weights and ranges learn on ever new chips."""
    frozen = jax.tree.map(jnp.asarray, hardware)

    def objective(moved: tuple[Any, Any], bits: jax.Array, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        params, log_ranges = moved
        return cross_entropy(network.apply(params, bits, jax.tree.map(jnp.exp, log_ranges), frozen, x, key=key), y)

    gradient: Any = jax.value_and_grad(objective)

    def step(carry: Any, batch: Any) -> Any:
        state, bits, key = carry
        number, x, y = batch
        moved: Any = (state.params, state.log_ranges)
        loss, grads = gradient(moved, bits, x, y, fold_index(key, number))
        updates, moments = optimizer.update(grads, state.moments, moved)
        params, log_ranges = jax.tree.map(lambda value, update: value + update, moved, updates)
        return (TuneState(params, log_ranges, moments), bits, key), loss

    def run(state: TuneState, bits: jax.Array, key: jax.Array, numbers: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        carry, losses = lax.scan(step, (state, bits, key), (numbers, x, y))
        return carry[0], losses

    return jax.jit(run)
