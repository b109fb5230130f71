"""A line without its cells as a matrix of resistances, for lines with a terminal at one end or, at the same voltage, at both.

With p_j ohm from the near terminal to node j and T ohm from terminal to terminal, a current drawn at node k takes the share
p_k / T from the far terminal, and lowers node j by

    R_jk = p_min(j,k) (1 - p_max(j,k) / T)

An open far end is T = inf, where that is p_min(j,k). R is 0 where all resistances are, but p / T has no limit there: its value
for equal resistances stands in, so that gradients at 0 are those of resistances that grow together.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def matrices(
    wires: Float[Array, "4"] | Float[Array, "6"], rows: int, cols: int
) -> tuple[Float[Array, "cols cols"], Float[Array, "rows rows"]]:
    """R (ohm) of wordlines and bitlines: cell currents c lower the wordlines by c @ R_w and raise the bitlines by R_b @ c."""
    of_wordline, of_bitline = _lines(wires)
    return _matrix(cols, *of_wordline), _matrix(rows, *of_bitline)[::-1, ::-1]


def far_shares(
    wires: Float[Array, "4"] | Float[Array, "6"], rows: int, cols: int
) -> tuple[Float[Array, " cols"], Float[Array, " rows"]]:
    """The part of a current at each node of a wordline (of a bitline) that flows through the far end."""
    of_wordline, of_bitline = _lines(wires)
    return _share(np.arange(cols), cols, *of_wordline), _share(np.arange(rows)[::-1], rows, *of_bitline)


def _lines(wires):
    """(segment, near end, far end) in ohm of a wordline and of a bitline."""
    all_six = jnp.concatenate([wires, jnp.full(6 - wires.size, jnp.inf, wires.dtype)])
    return all_six[0::2], all_six[1::2]


def _matrix(nodes, segment, near, far):
    first, last = (order.outer(np.arange(nodes), np.arange(nodes)) for order in (np.minimum, np.maximum))
    return (near + segment * first.astype(segment.dtype)) * (1 - _share(last, nodes, segment, near, far))


def _share(at, nodes, segment, near, far):
    """p / T at nodes numbered from the near terminal."""
    total = near + segment * (nodes - 1) + far
    known = total > 0
    at = at.astype(segment.dtype)
    return jnp.where(known, (near + segment * at) / jnp.where(known, total, 1), (at + 1) / (nodes + 1))
