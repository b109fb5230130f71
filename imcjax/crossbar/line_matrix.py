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

from imcjax.crossbar.wires import Wiring


def matrices(wiring: Wiring, rows: int, cols: int) -> tuple[Float[Array, "cols cols"], Float[Array, "rows rows"]]:
    """R (ohm) of wordlines and bitlines: cell currents c lower the wordlines by c @ R_w and raise the bitlines by R_b @ c."""
    ohms = jnp.concatenate([wiring.ohms, jnp.full(6 - wiring.ohms.size, jnp.inf, wiring.ohms.dtype)])
    at_one_node = 2 if wiring.paired else 1
    of_bitline = _matrix(rows // at_one_node, *ohms[1::2])[::-1, ::-1]
    return _matrix(cols, *ohms[0::2]), jnp.repeat(jnp.repeat(of_bitline, at_one_node, 0), at_one_node, 1)


def _matrix(nodes, segment, near, far):
    first, last = (order.outer(np.arange(nodes), np.arange(nodes)) for order in (np.minimum, np.maximum))
    return (near + segment * first.astype(segment.dtype)) * (1 - _share(last, nodes, segment, near, far))


def _share(at, nodes, segment, near, far):
    """p / T at nodes numbered from the near terminal."""
    total = near + segment * (nodes - 1) + far
    known = total > 0
    at = at.astype(segment.dtype)
    return jnp.where(known, (near + segment * at) / jnp.where(known, total, 1), (at + 1) / (nodes + 1))
