"""Perfect wires: every cell sees its full input voltage."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.crossbar.schur_pcg import Sources
from imcjax.crossbar.solution import Solution
from imcjax.crossbar.wires import Wiring


def transfer(g: Float[Array, "*arrays rows cols"], wiring: Wiring, rtol: float) -> Float[Array, "*arrays rows cols"]:
    """S = g."""
    return g


def solve(g: Float[Array, "arrays rows cols"], sources: Sources, wiring: Wiring, rtol: float) -> Solution:
    """The matrix product, in the form of a solved circuit; `sources` has drivers, and voltages at the sense ends or None."""
    v = sources.driver
    assert v is not None
    b = jnp.zeros((*v.shape[:-1], g.shape[-1]), g.dtype) if sources.sense is None else sources.sense
    shape = (*v.shape, g.shape[-1])
    highest = lax.Precision.HIGHEST
    return Solution(
        jnp.matmul(v, g, precision=highest) - b * jnp.sum(g, 1)[:, None],
        jnp.broadcast_to(v[..., None], shape),
        jnp.broadcast_to(b[..., None, :], shape),
        v * jnp.sum(g, 2)[:, None] - jnp.einsum("ain,amn->aim", b, g, precision=highest),
        jnp.zeros(v.shape[:-1], g.dtype),
        jnp.zeros(v.shape[:-1], jnp.int32),
    )
