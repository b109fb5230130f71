"""Memory that weights and activations take, in KB of 1024 bytes: what a microcontroller's flash and RAM have to hold.

Each is linear in the widths. Codes alone are counted, packed without gaps: no scales, no biases.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from imcjax.cost.bops import pairs
from imcjax.cost.work import Work


BITS_PER_KB = 8 * 1024


def weight_kb(works: Sequence[Work], weight_bits: Sequence[jax.Array | float]) -> jax.Array:
    """KB of all weights; widths as in `imcjax.cost.bops.layer_bops`."""
    total = jnp.zeros(())
    for work, bits in zip(works, weight_bits, strict=True):
        total += work.groups * work.n_in * work.n_out * jnp.mean(pairs(work, bits, 0.0)[0])
    return total / BITS_PER_KB


def activation_kb(counts: Sequence[int], input_bits: Sequence[jax.Array | float]) -> tuple[jax.Array, jax.Array]:
    """KB of all layers' inputs together, and of the largest of them.

    DQ (Uhlich et al., ICLR 2020) bounds either: all at once where layers run in a pipeline, the largest where they take turns.

    Args:
      counts: how many numbers each layer reads, each counted once.
      input_bits: their widths: one number, or an array that repeats evenly over them.
    """
    each = jnp.stack([
        count * jnp.mean(jnp.asarray(bits, dtype=float)) for count, bits in zip(counts, input_bits, strict=True)
    ])  # fmt: skip
    return jnp.sum(each) / BITS_PER_KB, jnp.max(each) / BITS_PER_KB
