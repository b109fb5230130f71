"""The solved network as a differentiable function: its gradient is one more solve of the same symmetric network.

Write K x = s(V) for the nodal equations. K is symmetric: the adjoint K a = dL/dx is the same array, driven by the cotangents;
a cotangent of a sense current acts as a voltage at that sense end, one of a node voltage as a current into that node.
With u = w - b across each cell and J the current through each wire segment, in the array and in its adjoint,

    dL/dg = - u_adjoint u        dL/dr = sum over the segments of J_adjoint J        dL/dV = - source current of the adjoint.

Segment currents are sums of cell currents: nothing is divided by a resistance, and all of this is regular at r = 0 and g = 0.
The rule is made of differentiable pieces, so higher reverse-mode derivatives work; forward mode (jvp) does not.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from imcjax.crossbar.schur_pcg import Sources, State, leaving
from imcjax.crossbar.wires import Wiring


class Method(NamedTuple):
    """A solver of the linear network: `schur_pcg` or `dense_cg`."""

    prepare: Callable[..., Any]
    """(g, wiring, rtol) -> what the others take as `prepared`, any tree of arrays."""
    run: Callable[..., State]
    """(g, prepared, sources, rtol) -> State"""
    run_adjoint: Callable[..., State]
    """The same, as accurate as gradients need it."""
    across: Callable[..., tuple[Array, Array]]
    """(g, prepared, d, rtol) -> voltages across the cells for sources `d` in series with them, and iterations."""
    to_ohms: Callable[..., Array]
    """(wiring, one, other) -> sums over the segments of the products of two networks' currents."""


def network(g: Float[Array, "arrays rows cols"], wiring: Wiring, rtol: float, method: Method) -> Callable[[Sources], State]:
    """The network solved by `method`, for any number of sources; with gradients for `g`, the resistances and every source.

    `residual` and `iterations` have none.
    """
    prepared = method.prepare(*jax.lax.stop_gradient((g, wiring)), rtol)
    return lambda sources: _network(g, wiring, prepared, sources, rtol, method)


def _solve(g, wiring, prepared, sources, rtol, method):
    return method.run(g, prepared, sources, rtol)


_network: Any = jax.custom_vjp(_solve, nondiff_argnums=(4, 5))


def _forward(g, wiring, prepared, sources, rtol, method):
    given = plain((g, wiring, prepared, sources))
    state = _network(*given, rtol, method)
    return state, (*given, state.wordline_v, state.bitline_v)


def _backward(rtol, method, saved, cotangent):
    g, wiring, prepared, sources, w, b = saved
    driven = adjoint_sources(cotangent)
    if driven is None:
        return None, None, None, None
    adjoint = _network(g, wiring, prepared, driven, rtol, method._replace(run=method.run_adjoint))
    to_g, to_ohms = sensitivities(g, wiring, (w, b, sources), (adjoint.wordline_v, adjoint.bitline_v, driven), method)
    to_sources = Sources(-adjoint.source_currents, adjoint.currents, adjoint.wordline_v, adjoint.bitline_v)
    to_sources = Sources(*(None if source is None else c for source, c in zip(sources, to_sources, strict=True)))
    # What was prepared depends on g and the wires, of which the derivatives are whole already.
    return to_g, dataclasses.replace(wiring, ohms=jnp.sum(to_ohms, 0), floating=None), None, to_sources


_network.defvjp(_forward, _backward, symbolic_zeros=True)


def plain(primals: Any) -> Any:
    """The values that a forward rule with symbolic zeros is given."""
    return jax.tree.map(lambda primal: primal.value, primals, is_leaf=lambda x: hasattr(x, "perturbed"))


def adjoint_sources(cotangent: State) -> Sources | None:
    """What drives the adjoint network for a cotangent of `State`; None where no field has one."""
    sense, driver, wordline, bitline, _, _ = (None if isinstance(c, SymbolicZero) else c for c in cotangent)
    if sense is None and driver is None and wordline is None and bitline is None:
        return None
    return Sources(None if driver is None else -driver, sense, wordline, bitline)


def sensitivities(g, wiring, primal, adjoint, method):
    """dL/dg (arrays, rows, cols), dL/dohms (arrays, 4 or 6); each network is (wordline_v, bitline_v, Sources)."""
    u, u_adjoint = primal[0] - primal[1], adjoint[0] - adjoint[1]
    currents = (leaving(g[:, None] * volts, sources) for volts, sources in ((u, primal[2]), (u_adjoint, adjoint[2])))
    return -jnp.sum(u * u_adjoint, 1), method.to_ohms(wiring, *currents)
