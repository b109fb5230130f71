"""Between the entries of a table: broken lines, and the monotone cubic of Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5
(1984).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax.quantize import clip_through


def monotone_cubic(values: Float[Array, " n"], at: jax.Array, knots: np.ndarray) -> jax.Array:
    """The monotone cubic through (knots, values) at `at`, with a continuous derivative; outside, the value at the end.

    Args:
      values: (n,) at the knots.
      at: where to, any shape.
      knots: (n,) rising, static.
    """
    step = jnp.asarray(np.diff(knots), values.dtype)
    rise = jnp.diff(values) / step
    left, right = rise[:-1], rise[1:]
    # harmonic mean of the two slopes, weighted by the steps; zero where they differ in sign
    share = (step[:-1] + 2 * step[1:]) / (3 * (step[:-1] + step[1:]))
    same = left * right > 0
    inner = left * right / jnp.where(same, share * right + (1 - share) * left, 1)
    slopes = jnp.concatenate([rise[:1], jnp.where(same, inner, 0), rise[-1:]])
    held = clip_through(jnp.asarray(at, values.dtype), knots[0], knots[-1])
    table = jnp.asarray(knots, values.dtype)
    k = jnp.clip(jnp.searchsorted(table, held, side="right") - 1, 0, len(knots) - 2)
    t = (held - table[k]) / step[k]
    s = 1 - t
    ends = s * s * (1 + 2 * t) * values[k] + t * t * (1 + 2 * s) * values[k + 1]
    return ends + t * s * step[k] * (s * slopes[k] - t * slopes[k + 1])


def ramp(x: jax.Array) -> jax.Array:
    """max(x, 0), whose derivative at 0 is one half, the mean of its sides: broken lines in a few vectorised operations."""
    return x * lax.stop_gradient(jnp.clip(x * 1e8 + 0.5, 0.0, 1.0))


def over_nodes(table: np.ndarray, nodes_nm: np.ndarray, node_m: jax.Array | float) -> jax.Array:
    """A positive number known at some process nodes, at `node_m`: its logarithm is interpolated in ln(node).

    Args:
      table: (n,) the number at each node.
      nodes_nm: (n,) nanometre, rising.
      node_m: metre.
    """
    values = jnp.asarray(np.log(table), jnp.result_type(float))
    return jnp.exp(monotone_cubic(values, jnp.log(jnp.asarray(node_m, values.dtype) * 1e9), np.log(nodes_nm)))
