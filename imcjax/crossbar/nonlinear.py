"""Arrays of nonlinear cells: Newton's method with the linear solvers inside, and a gradient by one linear solve.

With c = g phi(u) the cell currents and R the matrices of the lines (`line_matrix`), the voltages u across the cells obey

    d(u) = u0 - c R_w - R_b c - u = 0            Newton:  (1 + R D) du = d,   D = g phi'(u)

which is the linear array with conductances D, other ones for every input, and a voltage source d in series with each cell: one
more problem for `schur_pcg` or `dense_cg`. Far from the solution Newton's step is rough itself, so there it is solved roughly.
Three to five steps are enough; the first, from u = 0, is the linear array. Nothing is divided by a resistance or a conductance.

The adjoint network is linear: the array with conductances D at the solution. Everything in `network` about gradients holds with
c for D u, and one more line for the cell's own numbers.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.crossbar.cells import Cell, current_and_slope
from imcjax.crossbar.chunks import in_chunks
from imcjax.crossbar.exact import RUNS, as_solution
from imcjax.crossbar.line_matrix import matrices
from imcjax.crossbar.network import adjoint_sources, network, to_resistances
from imcjax.crossbar.schur_pcg import Sources, State
from imcjax.crossbar.solution import Solution


_STEPS = 60


def solve(
    g: Float[Array, "arrays rows cols"],
    v: Float[Array, "arrays inputs rows"],
    wires: Float[Array, "..."],
    cell: Cell,
    rtol: float,
    name: str,
) -> Solution:
    """The solved circuit, by the solver `name` of `RUNS`; differentiable in `g`, `v`, `wires` and `cell`.

    `iterations` counts those of the linear solver, over all steps; `residual` is |d| / |u0|, cells weighted by `g`.
    """
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, g.dtype), cell)
    return in_chunks(lambda g, v: ((), as_solution(_solve(g, wires, v, cell, rtol, RUNS[name]))), g, v)[1]


def _newton(g, wires, v, cell, rtol, run: Callable[..., State]) -> State:
    of_wordline, of_bitline = matrices(wires, *g.shape[1:])
    cells, limit = g[:, None], cell.step()
    sources = jnp.broadcast_to(v[..., None], (*v.shape, g.shape[2]))
    nothing = jnp.zeros_like(sources)
    scale = jnp.max(jnp.abs(v), 2)[..., None, None]
    scale = jnp.where(scale > 0, scale, 1)

    def size(u):
        return jnp.sqrt(jnp.sum(cells * (u / scale) ** 2, (2, 3)))

    whole = size(sources)

    def active(state):
        # A NaN counts as done, and is reported.
        *_, residual, _, steps = state
        return (residual > rtol) & (steps < _STEPS)

    def step(state):
        u, w, b, slope, residual, iterations, steps = state
        going = active(state)
        rough = jnp.clip(0.1 * jnp.max(jnp.where(going, residual, 0)), 1e-3, 0.1)
        d = jnp.where(going[..., None, None], w - b - u, 0)
        pushed = _apart(slope * d)
        found = run(_apart(slope)[:, 0], wires, Sources(wordline=-pushed, bitline=pushed), rough)
        change = (found.wordline_v - found.bitline_v).reshape(u.shape) + d
        u = u + jnp.clip(change, -limit, limit)
        c, slope = current_and_slope(cell, cells, u)
        w = sources - jnp.matmul(c, of_wordline, precision=lax.Precision.HIGHEST)
        b = jnp.matmul(of_bitline, c, precision=lax.Precision.HIGHEST)
        residual = size(w - b - u) / jnp.where(whole > 0, whole, 1)
        return u, w, b, slope, residual, iterations + found.iterations.reshape(going.shape), steps + going

    slope = current_and_slope(cell, cells, nothing)[1]
    count = jnp.zeros(v.shape[:2], jnp.int32)
    state = nothing, sources, nothing, slope, jnp.where(whole == 0, whole, whole / whole), count, count
    u, w, b, _, residual, iterations, _ = lax.while_loop(lambda state: jnp.any(active(state)), step, state)
    c = cells * cell.phi(u)
    failed = jnp.where(residual <= rtol, 0, jnp.nan).astype(g.dtype)[..., None]
    return State(
        jnp.sum(c, 2) + failed, jnp.sum(c, 3) + failed, w + failed[..., None], b + failed[..., None], residual, iterations
    )


def _apart(field):
    """(arrays, inputs, ...) -> (arrays * inputs, 1, ...): each input becomes an array of its own."""
    return field.reshape(-1, 1, *field.shape[2:])


_solve: Any = jax.custom_vjp(_newton, nondiff_argnums=(4, 5))


def _forward(g, wires, v, cell, rtol, run):
    g, wires, v, cell = jax.tree.map(
        lambda primal: primal.value, (g, wires, v, cell), is_leaf=lambda x: hasattr(x, "perturbed")
    )
    state = _solve(g, wires, v, cell, rtol, run)
    return state, (g, wires, v, cell, state.wordline_v - state.bitline_v)


def _backward(rtol, run, saved, cotangent):
    g, wires, v, cell, u = saved
    driven = adjoint_sources(cotangent)
    if driven is None:
        return jax.tree.map(jnp.zeros_like, (g, wires, v, cell))
    c, slope = current_and_slope(cell, g[:, None], u)
    adjoint = network(_apart(slope)[:, 0], wires, jax.tree.map(_apart, driven), rtol, run)
    u_adjoint = (adjoint.wordline_v - adjoint.bitline_v).reshape(u.shape)
    to_wires = to_resistances(wires, (c, Sources(driver=v)), (slope * u_adjoint, driven))
    _, back = jax.vjp(lambda g, cell: g[:, None] * cell.phi(u), g, cell)
    to_g, to_cell = back(-u_adjoint)
    return to_g, jnp.sum(to_wires, (0, 1)), -adjoint.source_currents.reshape(v.shape), to_cell


_solve.defvjp(_forward, _backward, symbolic_zeros=True)
