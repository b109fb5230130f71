"""Bit operations (BOPs): multiplications, each counted as weight bits times input bits.

    BOPs = sum over multiplications of b_w b_x        relative BOPs = BOPs / (32 * 32 * multiplications)

the count by which Bayesian Bits (van Baalen et al., NeurIPS 2020) and CGMQ (Van Baelen and Karsmakers, arXiv 2409.20138) state
their bounds. It is a polynomial of the widths: exact at whole ones, with its own slope between them. A weight column, or an
input row, of 0 bits is pruned and costs nothing.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from imcjax.cost.work import Work
from imcjax.errors import UserError


FLOAT_BITS = 32.0
"""Bits of the float32 numbers that relative BOPs compare with."""


def multiplications(work: Work) -> int:
    """Multiplications of a layer in one inference."""
    return work.groups * work.n_in * work.n_out * work.positions


def layer_bops(work: Work, weight_bits: jax.Array | float, input_bits: jax.Array | float) -> jax.Array:
    """BOPs of one layer in one inference.

    Args:
      work: its shape.
      weight_bits: of each weight, in any shape that broadcasts to (groups, n_in, n_out): one number for the layer, (n_out,) for
        its columns, (n_in, n_out) for every weight.
      input_bits: of each input, in any shape that broadcasts to (groups, n_in).
    """
    weights, inputs = pairs(work, weight_bits, input_bits)
    return multiplications(work) * jnp.mean(weights * inputs)


def pairs(work: Work, weight_bits: jax.Array | float, input_bits: jax.Array | float) -> tuple[jax.Array, jax.Array]:
    """The widths that meet in a layer's multiplications, in shapes that broadcast against each other and repeat evenly.

    Raises:
      UserError: widths of a shape that the layer does not have.
    """
    weights, inputs = jnp.asarray(weight_bits, dtype=float), jnp.asarray(input_bits, dtype=float)
    for name, array, whole in (
        ("weight", weights, (work.groups, work.n_in, work.n_out)),
        ("input", inputs, (work.groups, work.n_in)),
    ):
        fits = array.ndim <= len(whole) and all(
            size in (1, full) for size, full in zip(array.shape[::-1], whole[::-1], strict=False)
        )
        if not fits:
            raise UserError(
                f"Layer {work.path!r} has {name} bits of shape {array.shape}; give one number, or a shape that broadcasts to "
                f"{whole}."
            )
    return weights, inputs[..., None] if inputs.ndim else inputs


def bops(works: Sequence[Work], weight_bits: Sequence[jax.Array | float], input_bits: Sequence[jax.Array | float]) -> jax.Array:
    """BOPs of layers, whose widths are given in their order; see `layer_bops`."""
    layers = zip(works, weight_bits, input_bits, strict=True)
    return sum((layer_bops(*layer) for layer in layers), start=jnp.zeros(()))


def relative_bops(
    works: Sequence[Work], weight_bits: Sequence[jax.Array | float], input_bits: Sequence[jax.Array | float]
) -> jax.Array:
    """BOPs as a part of those of the same layers in float32."""
    whole = FLOAT_BITS**2 * sum(multiplications(work) for work in works)
    return bops(works, weight_bits, input_bits) / whole
