"""The iterative solvers on whole batches: the solved circuit of given inputs, and the transfer matrix.

The transfer matrix S takes unit inputs on the side of the array that has fewer lines. Driving wordline i with 1 V gives row i
of S as sense currents. By reciprocity, 1 V at the sense end of bitline j gives column j as the currents into the drivers.

Its gradient solves both problems again, piece by piece, so it needs no more memory than the forward pass: with a cotangent C
of S, sum_ij C_ij S_ij is a sum over the rows (or columns) of C of the currents of one driven array each.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar import dense_cg, schur_pcg
from imcjax.crossbar.chunks import in_chunks
from imcjax.crossbar.network import Method, network, sensitivities
from imcjax.crossbar.schur_pcg import Sources
from imcjax.crossbar.solution import Solution
from imcjax.crossbar.wires import Wiring


METHODS = {
    "schur_pcg": Method(schur_pcg.prepare, schur_pcg.run, schur_pcg.run_adjoint, schur_pcg.across, schur_pcg.to_ohms),
    "dense_cg": Method(dense_cg.prepare, dense_cg.run, dense_cg.run, dense_cg.across, dense_cg.to_ohms),
}


def preferred() -> str:
    """The name of the iterative solver for this machine, a static choice."""
    # At 128 x 128 `schur_pcg` does a twentieth of the arithmetic of `dense_cg`, which decides on a CPU. Elsewhere its scans are
    # hundreds of small launches one after the other in each iteration, and matrix products are what the machine is made for.
    return "schur_pcg" if jax.default_backend() == "cpu" else "dense_cg"


def solver(name: str) -> Callable[..., Solution]:
    """The solved circuit by a method of `METHODS`."""
    method = METHODS[name]

    def solve(g: Float[Array, "arrays rows cols"], sources: Sources, wiring: Wiring, rtol: float) -> Solution:
        """The solved circuit; differentiable in `g`, `sources` and `wiring`."""

        def arrays(g, floating):
            run = network(g, dataclasses.replace(wiring, floating=floating), rtol, method)
            return lambda sources: ((), as_solution(run(sources)))

        return in_chunks(arrays, (g, wiring.floating), sources)[1]

    return solve


def as_solution(state: schur_pcg.State) -> Solution:
    """The same fields in the public order."""
    return Solution(state.currents, state.wordline_v, state.bitline_v, state.source_currents, state.residual, state.iterations)


def transferrer(name: str) -> Callable:
    """The transfer matrix by a method of `METHODS`."""
    method = METHODS[name]

    def transfer(g: Float[Array, "arrays rows cols"], wiring: Wiring, rtol: float) -> Float[Array, "arrays rows cols"]:
        """S (siemens) with currents = v @ S; differentiable in `g` and `wiring`."""

        def from_drivers(g):
            run = network(g, wiring, rtol, method)
            return lambda v: ((), run(Sources(driver=v)).currents)

        def from_sense_ends(g):
            run = network(g, wiring, rtol, method)
            return lambda v: ((), -run(Sources(sense=v)).source_currents)

        if g.shape[1] <= g.shape[2]:
            return in_chunks(from_drivers, (g,), _units(g))[1]
        return jnp.swapaxes(in_chunks(from_sense_ends, (g,), _units(g))[1], 1, 2)

    differentiable = jax.custom_vjp(transfer, nondiff_argnums=(2,))
    differentiable.defvjp(
        lambda g, wiring, rtol: (differentiable(g, wiring, rtol), (g, wiring)), lambda *back: _backward(method, *back)
    )
    return differentiable


def _units(g):
    count = min(g.shape[1:])
    return jnp.broadcast_to(jnp.eye(count, dtype=g.dtype), (g.shape[0], count, count))


def _backward(method, rtol, saved, cotangent):
    g, wiring = saved
    pair = (_units(g), cotangent) if g.shape[1] <= g.shape[2] else (jnp.swapaxes(cotangent, 1, 2), _units(g))

    def arrays(g):
        run = network(g, wiring, rtol, method._replace(run=method.run_adjoint))

        def solve(pair):
            driven, sensed = Sources(driver=pair[0]), Sources(sense=pair[1])
            primal, adjoint = run(driven), run(sensed)
            one, other = (primal.wordline_v, primal.bitline_v, driven), (adjoint.wordline_v, adjoint.bitline_v, sensed)
            return sensitivities(g, wiring, one, other, method), ()

        return solve

    (to_g, to_ohms), _ = in_chunks(arrays, (g,), pair)
    return to_g, dataclasses.replace(wiring, ohms=jnp.sum(to_ohms, 0))
