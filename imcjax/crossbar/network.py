"""The solved network as a differentiable function: its gradient is one more solve of the same symmetric network.

Write K x = s(V) for the nodal equations. K is symmetric: the adjoint K a = dL/dx is the same array, driven by the cotangents;
a cotangent of a sense current acts as a voltage at that sense end, one of a node voltage as a current into that node.
With u = w - b across each cell and J the current through each wire segment, in the array and in its adjoint,

    dL/dg = - u_adjoint u        dL/dr = sum over the segments of J_adjoint J        dL/dV = - source current of the adjoint.

Segment currents are sums of cell currents, so nothing is divided by a resistance: all of this is regular at r = 0 and at g = 0.
The rule is made of differentiable pieces, so higher reverse-mode derivatives work; forward mode (jvp) does not.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from imcjax.crossbar.schur_pcg import Sources, State, run


def network(g: Float[Array, "arrays rows cols"], wires: Float[Array, "4"], sources: Sources, rtol: float) -> State:
    """`schur_pcg.run` with gradients for `g`, `wires` and every given source; `residual` and `iterations` have none."""
    return _network(g, wires, sources, rtol)


_network: Any = jax.custom_vjp(run, nondiff_argnums=(3,))


def _forward(g, wires, sources, rtol):
    g, wires, sources = jax.tree.map(
        lambda primal: primal.value, (g, wires, sources), is_leaf=lambda x: hasattr(x, "perturbed")
    )
    state = network(g, wires, sources, rtol)
    return state, (g, wires, sources, state.wordline_v, state.bitline_v)


def _backward(rtol, saved, cotangent):
    g, wires, sources, w, b = saved
    sense, driver, wordline, bitline, _, _ = (None if isinstance(c, SymbolicZero) else c for c in cotangent)
    if sense is None and driver is None and wordline is None and bitline is None:
        return jnp.zeros_like(g), jnp.zeros_like(wires), jax.tree.map(jnp.zeros_like, sources)
    driven = Sources(None if driver is None else -driver, sense, wordline, bitline)
    adjoint = network(g, wires, driven, rtol)
    to_g, to_wires = sensitivities(g, (w, b, sources), (adjoint.wordline_v, adjoint.bitline_v, driven))
    to_sources = Sources(-adjoint.source_currents, adjoint.currents, adjoint.wordline_v, adjoint.bitline_v)
    to_sources = Sources(*(None if source is None else c for source, c in zip(sources, to_sources, strict=True)))
    return jnp.sum(to_g, 1), jnp.sum(to_wires, (0, 1)), to_sources


_network.defvjp(_forward, _backward, symbolic_zeros=True)


def sensitivities(g, primal, adjoint):
    """dL/dg (arrays, inputs, rows, cols) and dL/dr (arrays, inputs, 4); each network is (wordline_v, bitline_v, Sources)."""
    u, to_driver, to_sense = _segment_currents(g, *primal)
    u_adjoint, to_driver_adjoint, to_sense_adjoint = _segment_currents(g, *adjoint)
    along = jnp.sum(to_driver * to_driver_adjoint, 2), jnp.sum(to_sense * to_sense_adjoint, 3)
    to_wires = [jnp.sum(along[0][..., 1:], 2), jnp.sum(along[1][..., :-1], 2), along[0][..., 0], along[1][..., -1]]
    return -u * u_adjoint, jnp.stack(to_wires, -1)


def _segment_currents(g, w, b, sources):
    """Voltage across each cell, current in the wordline segment before it and in the bitline segment after it."""
    u = w - b
    cell = g[:, None] * u
    from_wordline = cell if sources.wordline is None else cell - sources.wordline
    into_bitline = cell if sources.bitline is None else cell + sources.bitline
    return u, jax.lax.cumsum(from_wordline, 3, reverse=True), jax.lax.cumsum(into_bitline, 2)
