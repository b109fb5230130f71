"""The seven widths and what they cost: relative BOPs, by two conventions for the image."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lenet5_mnist import network
from experiments.lenet5_mnist.ranges import WIDEST
from imcjax.cost.bops import relative_bops


IMAGE_BITS = 8.0
LOW, HIGH = np.ones(len(network.TENSORS)), np.full(len(network.TENSORS), float(WIDEST))


def cost(bits: jax.Array, keep: network.Keep | None = None, image_bits: jax.Array | float = IMAGE_BITS) -> jax.Array:
    """Relative BOPs, percent, of widths (7,) in the order of `network.TENSORS`; pruned channels cost nothing on either side."""
    keep = network.nothing_pruned() if keep is None else keep
    weights = [bits[i] * kept for i, kept in enumerate((*keep, 1.0))]
    inputs = [b * kept for b, kept in zip((image_bits, *bits[4:]), network.rows_kept(keep), strict=True)]
    return 100 * relative_bops(network.WORKS, weights, inputs)


def other_cost(bits: jax.Array, keep: network.Keep | None = None) -> jax.Array:
    """The same with the image counted as wide as the first layer's output, as where W2A2 is said to be 0.391 %."""
    return cost(bits, keep, bits[4])


_one, _otherwise = jax.jit(cost), jax.jit(other_cost)
_many = jax.jit(jax.vmap(cost, in_axes=(0, None)))


def spent(bits: np.ndarray, keep: network.Keep | None = None) -> float:
    """Relative BOPs of one design, percent."""
    return float(_one(jnp.asarray(bits, jnp.float32), keep or network.nothing_pruned()))


def spent_otherwise(bits: np.ndarray, keep: network.Keep | None = None) -> float:
    """Relative BOPs of one design by the other convention, percent."""
    return float(_otherwise(jnp.asarray(bits, jnp.float32), keep or network.nothing_pruned()))


def spent_each(designs: np.ndarray, keep: network.Keep | None = None) -> np.ndarray:
    """Relative BOPs of designs (n, 7), percent; computed in blocks of one size, so that it compiles once."""
    size, found = 64, []
    for first in range(0, len(designs), size):
        part = designs[first : first + size]
        block = np.concatenate([part, np.ones((size - len(part), designs.shape[1]))])
        costs = _many(jnp.asarray(block, jnp.float32), keep or network.nothing_pruned())
        found.append(np.asarray(costs, float)[: len(part)])
    return np.concatenate(found)


def named(bits: np.ndarray) -> str:
    """Widths as text: weights of the four layers, inputs of the last three."""
    whole = [f"{b:g}" for b in np.asarray(bits)]
    return f"W {'/'.join(whole[:4])} A {'/'.join(whole[4:])}"
