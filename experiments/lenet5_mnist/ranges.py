"""The range of each tensor at each width: of least squared error on the float network, times a factor that is learned.

A range that suits 8 bits clips too little at 2. So each whole width has its own, looked up whenever the width changes; what is
learned is one factor for each tensor. Weight ranges are in units of the mean magnitude of their column, so that one bit is BWN.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lenet5_mnist import network


WIDEST = 8
VALUES = 20_000
"""How many values a range is chosen from."""


def tables(params: network.Params, x: np.ndarray) -> np.ndarray:
    """(7, WIDEST + 1) ranges, by the tensor's number and its width; those of 0 bits are not used."""
    found = np.ones((len(network.TENSORS), WIDEST + 1), np.float32)
    for i, values in enumerate(network.seen(params, jnp.asarray(x))):
        flat = np.asarray(values).ravel()
        flat = flat[:: max(1, len(flat) // VALUES)]
        for bits in range(1, WIDEST + 1):
            found[i, bits] = best_range(flat, bits, signed=network.SIGNED[i])
    return found


def best_range(values: np.ndarray, bits: int, *, signed: bool) -> float:
    """The range of least squared error, of a hundred parts of the largest magnitude; for one signed bit the mean magnitude."""
    size = np.abs(values)
    if signed and bits == 1:
        return float(size.mean())
    top = 2.0 ** (bits - 1) - 1 if signed else 2.0**bits - 1
    largest = float(size.max()) or 1.0
    candidates = largest * np.arange(1, 101) / 100
    errors = [np.mean((np.round(np.minimum(size, r) * top / r) * r / top - size) ** 2) for r in candidates]
    return float(candidates[int(np.argmin(errors))])


def value_range(i: int, values: jax.Array, bits: jax.Array, table: jax.Array, log_factors: jax.Array) -> jax.Array:
    """The range of tensor number `i` at a (real) width."""
    wide = jnp.clip(jnp.round(jax.lax.stop_gradient(bits)), 0, WIDEST).astype(jnp.int32)
    scale = network.column_scale(values) if network.SIGNED[i] else 1.0
    return table[i, wide] * jnp.exp(log_factors[i]) * scale
