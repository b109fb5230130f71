"""Arrays of nonlinear cells: Newton's method with the linear solvers inside, and a gradient by one linear solve.

With c(u) the cell currents, a the resistance in series with each cell and R the matrices of the lines (`line_matrix`), the
voltages u across the cells obey

    d(u) = u0 - c R_w - R_b c - a c - u = 0        Newton:  (1 + a D + R D) du = d,   D = dc/du

which is the linear array with conductances D / (1 + a D), other ones for every input, and a voltage source d in series with
each cell: one more problem for `schur_pcg` or `dense_cg`, whose u is (1 + a D) du. Far from the solution Newton's step is
rough itself, so there it is solved roughly. Three to five steps are enough; the first, from u = 0, is the linear array.
Nothing is divided by a resistance or a conductance.

The adjoint network is linear: the array with conductances D / (1 + a D) at the solution. Everything in `network` about
gradients holds there, with c for the cell currents, and one more line for the cell's own numbers.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.crossbar.cells import Cell, current_and_slope
from imcjax.crossbar.chunks import in_chunks
from imcjax.crossbar.exact import METHODS, as_solution
from imcjax.crossbar.line_matrix import matrices
from imcjax.crossbar.network import Method, adjoint_sources, network, plain
from imcjax.crossbar.schur_pcg import Sources, State, leaving
from imcjax.crossbar.solution import Solution
from imcjax.crossbar.wires import Wiring


_STEPS = 60
_INNER = 400
"""Iterations inside a step: what a rough solution needs, unless slopes are so steep that no step from here is worth more."""


def solve(
    g: Float[Array, "arrays rows cols"],
    sources: Sources,
    wiring: Wiring,
    cell: Cell,
    access: Float[Array, ""],
    rtol: float,
    name: str,
) -> Solution:
    """The solved circuit, by the solver `name` of `METHODS`; differentiable in everything but `rtol`.

    `sources` has drivers, and voltages at the sense ends or None; no line floats. `iterations` counts those of the linear
    solver, over all steps; `residual` is |d| / |u0|, cells weighted by `g`.
    """
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, g.dtype), cell)
    assert sources.driver is not None
    assert wiring.floating is None
    if sources.sense is None:
        sources = sources._replace(sense=jnp.zeros((*sources.driver.shape[:-1], g.shape[2]), g.dtype))

    def arrays(g):
        return lambda sources: ((), as_solution(_solve(g, wiring, sources, cell, access, rtol, METHODS[name])[0]))

    return in_chunks(arrays, (g,), sources)[1]


def _newton(g, wiring, sources, cell, access, rtol, method: Method) -> tuple[State, Float[Array, "..."]]:
    """The solved circuit, and the voltages across the cells without what is in series with them."""
    of_wordline, of_bitline = matrices(wiring, *g.shape[1:])
    cells, limit = g[:, None], cell.step()
    u0 = sources.driver[..., :, None] - sources.sense[..., None, :]
    nothing = jnp.zeros_like(u0)
    scale = jnp.max(jnp.abs(u0), (2, 3), keepdims=True)
    scale = jnp.where(scale > 0, scale, 1)

    def size(u):
        return jnp.sqrt(jnp.sum(cells * (u / scale) ** 2, (2, 3)))

    whole = size(u0)

    def voltages(c):
        w = sources.driver[..., :, None] - jnp.matmul(c, of_wordline, precision=lax.Precision.HIGHEST)
        return w, sources.sense[..., None, :] + jnp.matmul(of_bitline, c, precision=lax.Precision.HIGHEST)

    def missing(u, c):
        w, b = voltages(c)
        return w - b - access * c - u

    def active(state):
        # A NaN counts as done, and is reported.
        *_, residual, _, steps = state
        return (residual > rtol) & (steps < _STEPS)

    def step(state):
        u, d, slope, residual, iterations, steps = state
        going = active(state)
        rough = jnp.clip(0.1 * jnp.max(jnp.where(going, residual, 0)), 1e-3, 0.1)
        d = jnp.where(going[..., None, None], d, 0)
        behind = 1 + access * slope
        # Each input becomes an array of its own.
        linear = (slope / behind).reshape(-1, *g.shape[1:])
        prepared = method.prepare(linear, wiring, rough)
        prepared = prepared._replace(limit=jnp.minimum(prepared.limit, _INNER))
        change, inner = method.across(linear, prepared, _apart(d), rough)
        u = u + jnp.clip(change.reshape(u.shape) / behind, -limit, limit)
        c, slope = current_and_slope(cell, cells, u)
        d = missing(u, c)
        residual = size(d) / jnp.where(whole > 0, whole, 1)
        return u, d, slope, residual, iterations + inner.reshape(going.shape), steps + going

    slope = current_and_slope(cell, cells, nothing)[1]
    count = jnp.zeros(whole.shape, jnp.int32)
    state = nothing, u0, slope, jnp.where(whole == 0, whole, whole / whole), count, count
    u, _, _, residual, iterations, _ = lax.while_loop(lambda state: jnp.any(active(state)), step, state)
    c = cell.current(cells, u)
    w, b = voltages(c)
    failed = jnp.where(residual <= rtol, 0, jnp.nan).astype(g.dtype)[..., None]
    solved = State(
        jnp.sum(c, 2) + failed, jnp.sum(c, 3) + failed, w + failed[..., None], b + failed[..., None], residual, iterations
    )
    return solved, u


def _apart(field):
    """(arrays, inputs, ...) -> (arrays * inputs, 1, ...): each input becomes an array of its own."""
    return field.reshape(-1, 1, *field.shape[2:])


_solve: Any = jax.custom_vjp(_newton, nondiff_argnums=(5, 6))


def _forward(g, wiring, sources, cell, access, rtol, method):
    given = plain((g, wiring, sources, cell, access))
    state, u = _solve(*given, rtol, method)
    between_lines = state.wordline_v - state.bitline_v
    return (state, u), (*given, between_lines, u + 0 * between_lines)  # NaN with them


def _backward(rtol, method, saved, cotangent):
    g, wiring, sources, cell, access, between_lines, u = saved
    driven = adjoint_sources(cotangent[0])
    if driven is None:
        return (None,) * 5
    u = _voltage_of_cells(u, between_lines, g, cell, access)
    c, slope = current_and_slope(cell, g[:, None], u)
    behind = 1 + access * slope
    run = network(_apart(slope / behind)[:, 0], wiring, rtol, method._replace(run=method.run_adjoint))
    adjoint = run(jax.tree.map(_apart, driven))
    across_adjoint = (adjoint.wordline_v - adjoint.bitline_v).reshape(u.shape)
    c_adjoint = slope / behind * across_adjoint
    to_ohms = method.to_ohms(wiring, (c, c), leaving(c_adjoint, driven))
    _, back = jax.vjp(lambda g, cell: cell.current(g[:, None], u), g, cell)
    to_g, to_cell = back(-across_adjoint / behind)
    to_sources = Sources(-adjoint.source_currents, adjoint.currents)
    to_sources = jax.tree.map(lambda to, source: to.reshape(source.shape), to_sources, sources)
    return to_g, dataclasses.replace(wiring, ohms=jnp.sum(to_ohms, 0)), to_sources, to_cell, jnp.sum(c * c_adjoint)


_solve.defvjp(_forward, _backward, symbolic_zeros=True)


@jax.custom_jvp
def _voltage_of_cells(u, between_lines, g, cell, access):
    """The known solution u of u + a c(u) = `between_lines`, as a function of all that is in it."""
    return u


@_voltage_of_cells.defjvp
def _tangent_of_voltage(primals, tangents):
    known, between_lines, g, cell, access = primals
    _, between_lines_dot, g_dot, cell_dot, access_dot = tangents
    u = _voltage_of_cells(known, between_lines, g, cell, access)
    c, slope = current_and_slope(cell, g[:, None], u)
    _, c_dot = jax.jvp(lambda g, cell: cell.current(g[:, None], u), (g, cell), (g_dot, cell_dot))
    return u, (between_lines_dot - access_dot * c - access * c_dot) / (1 + access * slope)
