"""The voltages of an array's bitlines when no current is drawn from any of them, wires included.

Without wires each column is a divider of its own. With them the columns meet through the wordlines: cells of one column draw
current from a wordline and so lower what the others see. The exact answer is the nodal solution with all bitlines floating,
which `imcjax.crossbar`'s conjugate gradients on the bitlines (`schur_pcg`) know; one solve a row makes the matrix.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar import Wires
from imcjax.crossbar.checks import check_array
from imcjax.crossbar.chunks import in_chunks
from imcjax.crossbar.exact import METHODS
from imcjax.crossbar.network import network
from imcjax.crossbar.schur_pcg import Sources, default_rtol
from imcjax.crossbar.solvers import check_solver
from imcjax.crossbar.wires import Wiring
from imcjax.errors import UserError


KNOWING = ("auto", "schur_pcg", "ideal")
"""The solvers that make an open-circuit matrix; `auto` is `schur_pcg`."""


def open_circuit_matrix(g: Float[Array, "... r c"], wires: Wires, *, solver: str = "auto") -> Float[Array, "... r c"]:
    """M with V = v @ M, the voltages (..., c) at the sense ends of floating bitlines for v (..., r) at the drivers.

    Args:
      g: (..., r, c) cell conductances, S.
      wires: resistances, ohm; no current flows through `sense`.
      solver: "auto" or "schur_pcg": exact; "ideal": leaves out all but the access resistance of the cells.

    Returns:
      (..., r, c) volt per volt: nonnegative, columns add up to 1, or to 0 where a column has no cells. NaN where the solver did
      not converge. Differentiable in reverse mode in `g` and every resistance, also at zero.

    Raises:
      UserError: shapes that do not fit, negative values, far ends, a solver that knows no floating lines.
    """
    check_open_circuit(wires, solver)
    g = check_array(g, wires, "input_source")
    if solver == "ideal":
        return share_of_sum(wires.behind_access(g))
    return _solved(g, wires, rtol=default_rtol(g.dtype))


def check_open_circuit(wires: Wires, solver: str) -> None:
    """Refuse what has no open-circuit matrix.

    Raises:
      UserError: saying what to do.
    """
    check_solver(solver)
    if solver not in KNOWING:
        raise UserError(f"solver {solver!r} knows no floating bitlines, which a voltage readout has; give one of {KNOWING}.")
    if isinstance(wires, Wires) and wires.both_ends:
        raise UserError("wires has a driver_far or a sense_far, which a voltage readout does not know; leave them None.")


def share_of_sum(x: Float[Array, "... r c"]) -> Float[Array, "... r c"]:
    """Each entry's share of its column's sum; 0, with gradient 0, where that is not above zero."""
    total = jnp.sum(x, -2, keepdims=True)
    return jnp.where(total > 0, x / jnp.where(total > 0, total, 1), 0)


@partial(jax.jit, static_argnames="rtol")
def _solved(g, wires, *, rtol):
    g = wires.behind_access(g)
    joined = g.reshape(-1, *g.shape[-2:])
    count, rows, cols = joined.shape
    ohms = wires.vector(g.dtype).at[3].set(0)
    floating = jnp.zeros((count, 1, rows), bool), jnp.ones((count, 1, cols), bool)
    units = jnp.broadcast_to(jnp.eye(rows, dtype=g.dtype), (count, rows, rows))

    def arrays(g, floating):
        run = network(g, Wiring(ohms, floating), rtol, METHODS["schur_pcg"])
        # Solved once more for gradients: the voltages of all nodes, for every row of every array, would fill the memory.
        return jax.checkpoint(lambda v: ((), run(Sources(driver=v)).bitline_v[..., -1, :]))

    found = in_chunks(arrays, (joined, floating), units)[1].reshape(g.shape)
    return jnp.where(jnp.sum(g, -2, keepdims=True) > 0, found, 0)
