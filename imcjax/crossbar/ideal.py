"""Perfect wires: every cell sees its full input voltage."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.crossbar.solution import Solution


def transfer(
    g: Float[Array, "*arrays rows cols"], wires: Float[Array, "..."], rtol: float
) -> Float[Array, "*arrays rows cols"]:
    """S = g."""
    return g


def solve(
    g: Float[Array, "arrays rows cols"], v: Float[Array, "arrays inputs rows"], wires: Float[Array, "4"], rtol: float
) -> Solution:
    """The matrix product, in the form of a solved circuit."""
    shape = (*v.shape, g.shape[-1])
    drawn = jnp.einsum("aim,am->aim", v, jnp.sum(g, -1), precision=lax.Precision.HIGHEST)
    return Solution(
        jnp.matmul(v, g, precision=lax.Precision.HIGHEST),
        jnp.broadcast_to(v[..., None], shape),
        jnp.zeros(shape, g.dtype),
        drawn,
        jnp.zeros(v.shape[:-1], g.dtype),
        jnp.zeros(v.shape[:-1], jnp.int32),
    )
