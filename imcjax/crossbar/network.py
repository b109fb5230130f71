"""The solved network as a differentiable function: its gradient is one more solve of the same symmetric network.

Write K x = s(V) for the nodal equations. K is symmetric: the adjoint K a = dL/dx is the same array, driven by the cotangents;
a cotangent of a sense current acts as a voltage at that sense end, one of a node voltage as a current into that node.
With u = w - b across each cell and J the current through each wire segment, in the array and in its adjoint,

    dL/dg = - u_adjoint u        dL/dr = sum over the segments of J_adjoint J        dL/dV = - source current of the adjoint.

Segment currents are sums of cell currents c, which makes dL/dr = c_adjoint . (dR/dr) c with the matrices R of `line_matrix`.
Nothing is divided by a resistance: all of this is regular at r = 0 and at g = 0.
The rule is made of differentiable pieces, so higher reverse-mode derivatives work; forward mode (jvp) does not.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from imcjax.crossbar.line_matrix import matrices
from imcjax.crossbar.schur_pcg import Sources, State
from imcjax.crossbar.wires import Wiring


def network(
    g: Float[Array, "arrays rows cols"],
    wiring: Wiring,
    sources: Sources,
    rtol: float,
    run: Callable[..., State],
) -> State:
    """`run` (of `schur_pcg` or `dense_cg`) with gradients for `g`, the resistances and every given source.

    `residual` and `iterations` have none.
    """
    return _network(g, wiring, sources, rtol, run)


def _solve(g, wiring, sources, rtol, run):
    return run(g, wiring, sources, rtol)


_network: Any = jax.custom_vjp(_solve, nondiff_argnums=(3, 4))


def _forward(g, wiring, sources, rtol, run):
    g, wiring, sources = jax.tree.map(
        lambda primal: primal.value, (g, wiring, sources), is_leaf=lambda x: hasattr(x, "perturbed")
    )
    state = network(g, wiring, sources, rtol, run)
    return state, (g, wiring, sources, state.wordline_v, state.bitline_v)


def _backward(rtol, run, saved, cotangent):
    g, wiring, sources, w, b = saved
    driven = adjoint_sources(cotangent)
    if driven is None:
        return None, None, None
    adjoint = network(g, wiring, driven, rtol, run)
    to_g, to_ohms = sensitivities(g, wiring, (w, b, sources), (adjoint.wordline_v, adjoint.bitline_v, driven))
    to_sources = Sources(-adjoint.source_currents, adjoint.currents, adjoint.wordline_v, adjoint.bitline_v)
    to_sources = Sources(*(None if source is None else c for source, c in zip(sources, to_sources, strict=True)))
    return to_g, dataclasses.replace(wiring, ohms=jnp.sum(to_ohms, 0), floating=None), to_sources


_network.defvjp(_forward, _backward, symbolic_zeros=True)


def adjoint_sources(cotangent: State) -> Sources | None:
    """What drives the adjoint network for a cotangent of `State`; None where no field has one."""
    sense, driver, wordline, bitline, _, _ = (None if isinstance(c, SymbolicZero) else c for c in cotangent)
    if sense is None and driver is None and wordline is None and bitline is None:
        return None
    return Sources(None if driver is None else -driver, sense, wordline, bitline)


def sensitivities(g, wiring, primal, adjoint):
    """dL/dg (arrays, rows, cols), dL/dohms (arrays, 4 or 6); each network is (wordline_v, bitline_v, Sources)."""
    u, u_adjoint = primal[0] - primal[1], adjoint[0] - adjoint[1]
    cell, cell_adjoint = g[:, None] * u, g[:, None] * u_adjoint
    return -jnp.sum(u * u_adjoint, 1), to_resistances(wiring, (cell, primal[2]), (cell_adjoint, adjoint[2]))


def to_resistances(wiring: Wiring, primal, adjoint) -> Float[Array, "arrays ohms"]:
    """dL/dohms; each network is (cell currents, Sources)."""
    (out_of, into), (out_of_adjoint, into_adjoint) = _lines_currents(*primal), _lines_currents(*adjoint)
    to_wordline = jnp.einsum("aimj,aimk->ajk", out_of, out_of_adjoint, precision=jax.lax.Precision.HIGHEST)
    to_bitline = jnp.einsum("aijn,aikn->ajk", into, into_adjoint, precision=jax.lax.Precision.HIGHEST)
    rows, cols = out_of.shape[2:]
    _, back = jax.vjp(lambda ohms: matrices(dataclasses.replace(wiring, ohms=ohms), rows, cols), wiring.ohms)
    return jax.vmap(lambda *pair: back(pair)[0])(to_wordline, to_bitline)


def _lines_currents(cell, sources):
    """Currents out of the wordline nodes and into the bitline nodes, without those through the wires."""
    out_of = cell if sources.wordline is None else cell - sources.wordline
    return out_of, cell if sources.bitline is None else cell + sources.bitline
