"""The solved network as a differentiable function: its gradient is one more solve of the same symmetric network.

Write K x = s(V) for the nodal equations. K is symmetric: the adjoint K a = dL/dx is the same array, driven by the cotangents;
a cotangent of a sense current acts as a voltage at that sense end, one of a node voltage as a current into that node.
With u = w - b across each cell and J the current through each wire segment, in the array and in its adjoint,

    dL/dg = - u_adjoint u        dL/dr = sum over the segments of J_adjoint J        dL/dV = - source current of the adjoint.

Segment currents are sums of cell currents, so nothing is divided by a resistance: all of this is regular at r = 0 and at g = 0.
The rule is made of differentiable pieces, so higher reverse-mode derivatives work; forward mode (jvp) does not.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from imcjax.crossbar.line_matrix import far_shares
from imcjax.crossbar.schur_pcg import Sources, State


def network(
    g: Float[Array, "arrays rows cols"],
    wires: Float[Array, "4"] | Float[Array, "6"],
    sources: Sources,
    rtol: float,
    run: Callable[..., State],
) -> State:
    """`run` (of `schur_pcg` or `dense_cg`) with gradients for `g`, `wires` and every given source.

    `residual` and `iterations` have none.
    """
    return _network(g, wires, sources, rtol, run)


def _solve(g, wires, sources, rtol, run):
    return run(g, wires, sources, rtol)


_network: Any = jax.custom_vjp(_solve, nondiff_argnums=(3, 4))


def _forward(g, wires, sources, rtol, run):
    g, wires, sources = jax.tree.map(
        lambda primal: primal.value, (g, wires, sources), is_leaf=lambda x: hasattr(x, "perturbed")
    )
    state = network(g, wires, sources, rtol, run)
    return state, (g, wires, sources, state.wordline_v, state.bitline_v)


def _backward(rtol, run, saved, cotangent):
    g, wires, sources, w, b = saved
    driven = adjoint_sources(cotangent)
    if driven is None:
        return jnp.zeros_like(g), jnp.zeros_like(wires), jax.tree.map(jnp.zeros_like, sources)
    adjoint = network(g, wires, driven, rtol, run)
    to_g, to_wires = sensitivities(g, wires, (w, b, sources), (adjoint.wordline_v, adjoint.bitline_v, driven))
    to_sources = Sources(-adjoint.source_currents, adjoint.currents, adjoint.wordline_v, adjoint.bitline_v)
    to_sources = Sources(*(None if source is None else c for source, c in zip(sources, to_sources, strict=True)))
    return jnp.sum(to_g, 1), jnp.sum(to_wires, (0, 1)), to_sources


_network.defvjp(_forward, _backward, symbolic_zeros=True)


def adjoint_sources(cotangent: State) -> Sources | None:
    """What drives the adjoint network for a cotangent of `State`; None where no field has one."""
    sense, driver, wordline, bitline, _, _ = (None if isinstance(c, SymbolicZero) else c for c in cotangent)
    if sense is None and driver is None and wordline is None and bitline is None:
        return None
    return Sources(None if driver is None else -driver, sense, wordline, bitline)


def sensitivities(g, wires, primal, adjoint):
    """dL/dg (arrays, inputs, rows, cols), dL/dr (arrays, inputs, 4 or 6); each network is (wordline_v, bitline_v, Sources)."""
    u, u_adjoint = primal[0] - primal[1], adjoint[0] - adjoint[1]
    cell, cell_adjoint = g[:, None] * u, g[:, None] * u_adjoint
    return -u * u_adjoint, to_resistances(wires, (cell, primal[2]), (cell_adjoint, adjoint[2]))


def to_resistances(wires, primal, adjoint):
    """dL/dr (arrays, inputs, 4 or 6); each network is (cell currents, Sources)."""
    along = [a * b for a, b in zip(_segment_currents(wires, *primal), _segment_currents(wires, *adjoint), strict=True)]
    to_driver, to_sense, *far = along
    to_wires = [jnp.sum(to_driver[..., 1:], (2, 3)), jnp.sum(to_sense[..., :-1, :], (2, 3))]
    to_wires += [jnp.sum(to_driver[..., 0], 2), jnp.sum(to_sense[..., -1, :], 2)]
    return jnp.stack([*to_wires, *(jnp.sum(current, 2) for current in far)], -1)


def _segment_currents(wires, cell, sources):
    """Current in the segment before each wordline node and after each bitline node, and in the far ends where there are."""
    from_wordline = cell if sources.wordline is None else cell - sources.wordline
    into_bitline = cell if sources.bitline is None else cell + sources.bitline
    to_driver, to_sense = jax.lax.cumsum(from_wordline, 3, reverse=True), jax.lax.cumsum(into_bitline, 2)
    if wires.size == 4:
        return to_driver, to_sense
    of_wordline, of_bitline = far_shares(wires, *cell.shape[2:])
    from_far = jnp.einsum("aimn,n->aim", from_wordline, of_wordline, precision=jax.lax.Precision.HIGHEST)
    into_far = jnp.einsum("aimn,m->ain", into_bitline, of_bitline, precision=jax.lax.Precision.HIGHEST)
    return to_driver - from_far[..., None], to_sense - into_far[..., None, :], from_far, into_far
