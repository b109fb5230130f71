"""The exact circuit, solved iteratively with nothing but matrix products: for accelerators, where a scan along a line is slow.

With c = D u the cell currents, u the voltages across the cells and D = g, the lines are two constant matrices (`line_matrix`):

    w = V - c R_w        b = R_b c        u + (D u) R_w + R_b (D u) = u0        (u0: what the sources alone would give)

In s = sqrt(D) u this is symmetric, (1 + sqrt(D) R sqrt(D)) s = sqrt(D) u0, with all eigenvalues in [1, 1 + x], x the drop along
loaded lines: conjugate gradients need no preconditioner (6 to 11 iterations where `schur_pcg` takes 3 to 7), and |residual|
is an upper bound of |error|. No conductance and no resistance is divided by. The gradient does not pass through sqrt, whose
slope at g = 0 is infinite: it is that of the circuit (`network`).

Fields lie as (rows, arrays, inputs, cols): both products are then one matrix product over the whole batch.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.crossbar.line_matrix import matrices
from imcjax.crossbar.schur_pcg import Sources, State, largest
from imcjax.crossbar.wires import Wiring


def run(g: Float[Array, "arrays rows cols"], wiring: Wiring, sources: Sources, rtol: float) -> State:
    """Solve every input of every array, all at once. Systems that fail come out as NaN. No line may float."""
    of_wordline, of_bitline = matrices(wiring, *g.shape[1:])

    def along_wordlines(x):
        return jnp.matmul(x, of_wordline, precision=lax.Precision.HIGHEST)

    def along_bitlines(x):
        return jnp.tensordot(of_bitline, x, 1, precision=lax.Precision.HIGHEST)

    def drop(c):
        return along_wordlines(c) + along_bitlines(c)

    conductance = jnp.moveaxis(g, 1, 0)[:, :, None, :]
    given = next(source for source in sources if source is not None)
    batch = jnp.broadcast_shapes((*g.shape[:1], 1), given.shape[:2])
    nothing = jnp.zeros((g.shape[1], *batch, g.shape[2]), g.dtype)
    driven = nothing if sources.driver is None else nothing + jnp.moveaxis(sources.driver, 2, 0)[..., None]
    sensed = nothing if sources.sense is None else nothing + sources.sense
    injected_w = nothing if sources.wordline is None else jnp.moveaxis(sources.wordline, 2, 0)
    injected_b = nothing if sources.bitline is None else jnp.moveaxis(sources.bitline, 2, 0)

    root = jnp.sqrt(conductance)
    u0 = driven - sensed + along_wordlines(injected_w) - along_bitlines(injected_b)
    limit = _iteration_limit(jnp.max(drop(conductance)), rtol)
    s, residual, iterations = _conjugate_gradients(lambda p: p + root * drop(root * p), root * u0, rtol, limit)

    cell = root * s
    into_w, into_b = injected_w - cell, injected_b + cell
    failed = jnp.where(residual <= rtol, 0, jnp.nan).astype(g.dtype)[:, :, None]
    return State(
        jnp.sum(into_b, 0) + failed,
        failed - jnp.moveaxis(jnp.sum(into_w, 3), 0, 2),
        jnp.moveaxis(driven + along_wordlines(into_w), 0, 2) + failed[..., None],
        jnp.moveaxis(sensed + along_bitlines(into_b), 0, 2) + failed[..., None],
        residual,
        iterations,
    )


def _iteration_limit(x, rtol):
    """Four times the iterations that theory asks for: the largest sum of a row of R D bounds its eigenvalues."""
    needed = 0.5 * jnp.sqrt(1 + x) * jnp.log(2 / rtol)
    return 20 + 4 * jnp.minimum(needed, 25_000).astype(jnp.int32)


def _conjugate_gradients(apply, f, rtol, limit):
    """Solve `apply`(s) = f for each system of the axes 1 and 2, to |residual| <= rtol |s|. Each system stops by itself."""
    scale = largest(f)
    scale = jnp.where(scale > 0, scale, 1)
    f = f / scale

    def dot(a, b):
        return jnp.sum(a * b, (0, 3), keepdims=True)

    def active(state):
        # A NaN counts as done, and is reported.
        return (state[3] > rtol**2 * state[4]) & (state[5] < limit)

    def step(state):
        s, r, p, rr, _, iterations = state
        going = active(state)
        ap = apply(p)
        length = jnp.where(going, rr / jnp.where(going, dot(p, ap), 1), 0)
        s, r = s + length * p, r - length * ap
        new = dot(r, r)
        turn = jnp.where(going, new / jnp.where(going, rr, 1), 0)
        return s, r, r + turn * p, new, dot(s, s), iterations + going

    ff = dot(f, f)
    start = (jnp.zeros_like(f), f, f, ff, jnp.zeros_like(ff), jnp.zeros(ff.shape, jnp.int32))
    s, r, _, rr, ss, iterations = lax.while_loop(lambda state: jnp.any(active(state)), step, start)
    residual = jnp.sqrt(rr / jnp.where(ss > 0, ss, 1))
    # The error is r divided by an eigenvalue, which is at least 1: with half of r added, it is at most half of r.
    return (s + 0.5 * r) * scale, residual[0, :, :, 0], iterations[0, :, :, 0]
