"""Charge that C-2C ladders draw while they share a column (`imcjax.readout.C2c` has the circuit).

Node s of a ladder has a capacitor C to its bit's plate, 2C to its neighbours, a parasitic part of C to ground, and at its lower
end one more C to ground; the top nodes of a column are one node at voltage u. Between them the nodes are linear in what drives
them, V_s = sum_r M_sr x_r + D_s u, and the drivers give sum_s C x_s (x_s - V_s) joule. Over codes whose bits are one with
probability q, each by itself, on a row of v volt that is on the mean

    C ((a q - b q^2) v^2 - d q v u)        a = S - tr M,  b = sum of the other M_sr,  d = sum D_s
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Ladder(NamedTuple):
    """Numbers of one ladder, no unit.

    Attributes:
      own, between, coupled: a, b and d above.
      grounded: capacitance that pulls its top node to ground while nothing drives it, as a fraction of C.
    """

    own: jax.Array
    between: jax.Array
    coupled: jax.Array
    grounded: jax.Array


def ladder(bits: int, parasitic: jax.Array | float) -> Ladder:
    """Of `bits` bits (static), with a parasitic capacitance of a fraction of C at each node."""
    dtype = jnp.result_type(float)
    links = 2.0 * (np.eye(bits, k=1) + np.eye(bits, k=-1))
    ends = np.where(np.arange(bits) == bits - 1, 1.0, 0.0)
    below = jnp.asarray((np.diag(1 + ends + links.sum(1)) - links)[1:, 1:], dtype) + parasitic * jnp.eye(bits - 1, dtype=dtype)
    inverse = jnp.linalg.inv(below)
    down = jnp.concatenate([jnp.ones(1, dtype), inverse @ jnp.asarray(links[1:, 0], dtype)])  # D: from the top node
    return Ladder(
        own=bits - jnp.trace(inverse),
        between=jnp.sum(inverse) - jnp.trace(inverse),
        coupled=jnp.sum(down),
        grounded=parasitic * jnp.sum(down) + down[-1],
    )
