"""The exact circuit, solved iteratively with nothing but matrix products: for accelerators, where a scan along a line is slow.

With c = D u the cell currents, u the voltages across the cells and D = g, the lines are two constant matrices (`line_matrix`):

    w = V - c R_w        b = R_b c        u + (D u) R_w + R_b (D u) = u0        (u0: what the sources alone would give)

In s = sqrt(D) u this is symmetric, (1 + sqrt(D) R sqrt(D)) s = sqrt(D) u0, with all eigenvalues in [1, 1 + x], x the drop along
loaded lines: conjugate gradients need no preconditioner (6 to 11 iterations where `schur_pcg` takes 3 to 7), and |residual|
is an upper bound of |error|. No conductance and no resistance is divided by. The gradient does not pass through sqrt, whose
slope at g = 0 is infinite: it is that of the circuit (`network`).

Fields lie as (rows, arrays, inputs, cols): both products are then one matrix product over the whole batch.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from imcjax.crossbar.line_matrix import matrices
from imcjax.crossbar.schur_pcg import Sources, State, largest
from imcjax.crossbar.wires import Wiring


class Lines(NamedTuple):
    """The lines of arrays (arrays, rows, cols), for any number of inputs."""

    of_wordline: Float[Array, "cols cols"]  # ohm, of `line_matrix`
    of_bitline: Float[Array, "rows rows"]
    limit: Int[Array, ""]  # of iterations

    def along_wordlines(self, x: Float[Array, "rows ... cols"]) -> Float[Array, "rows ... cols"]:
        """How far currents `x` (A) out of the wordlines lower their nodes, V."""
        return jnp.matmul(x, self.of_wordline, precision=lax.Precision.HIGHEST)

    def along_bitlines(self, x: Float[Array, "rows ... cols"]) -> Float[Array, "rows ... cols"]:
        """How far currents `x` (A) into the bitlines raise their nodes, V."""
        return jnp.tensordot(self.of_bitline, x, 1, precision=lax.Precision.HIGHEST)

    def drop(self, c: Float[Array, "rows ... cols"]) -> Float[Array, "rows ... cols"]:
        """What cell currents `c` (A) take from the voltages across the cells, V."""
        return self.along_wordlines(c) + self.along_bitlines(c)


def prepare(g: Float[Array, "arrays rows cols"], wiring: Wiring, rtol: float) -> Lines:
    """What `run` needs to know of the arrays. No line may float."""
    lines = Lines(*matrices(wiring, *g.shape[1:]), jnp.zeros((), jnp.int32))
    g = jnp.where(jnp.isfinite(g), g, 0)  # a bad array is its own business
    return lines._replace(limit=_iteration_limit(jnp.max(lines.drop(_rows_first(g))), rtol))


def run(g: Float[Array, "arrays rows cols"], lines: Lines, sources: Sources, rtol: float) -> State:
    """Solve every input of every array, all at once. Systems that fail come out as NaN."""
    conductance = _rows_first(g)
    given = next(source for source in sources if source is not None)
    batch = jnp.broadcast_shapes((*g.shape[:1], 1), given.shape[:2])
    nothing = jnp.zeros((g.shape[1], *batch, g.shape[2]), g.dtype)
    driven = nothing if sources.driver is None else nothing + jnp.moveaxis(sources.driver, 2, 0)[..., None]
    sensed = nothing if sources.sense is None else nothing + sources.sense
    injected_w = nothing if sources.wordline is None else jnp.moveaxis(sources.wordline, 2, 0)
    injected_b = nothing if sources.bitline is None else jnp.moveaxis(sources.bitline, 2, 0)

    root = jnp.sqrt(conductance)
    u0 = driven - sensed + lines.along_wordlines(injected_w) - lines.along_bitlines(injected_b)
    s, failed, residual, iterations = _conjugate_gradients(root, lines, u0, rtol)

    cell = root * s
    into_w, into_b = injected_w - cell, injected_b + cell
    failed = failed[..., None]
    return State(
        jnp.sum(into_b, 0) + failed,
        failed - jnp.moveaxis(jnp.sum(into_w, 3), 0, 2),
        jnp.moveaxis(driven + lines.along_wordlines(into_w), 0, 2) + failed[..., None],
        jnp.moveaxis(sensed + lines.along_bitlines(into_b), 0, 2) + failed[..., None],
        residual,
        iterations,
    )


def across(
    g: Float[Array, "arrays rows cols"], lines: Lines, d: Float[Array, "arrays inputs rows cols"], rtol: float
) -> tuple[Float[Array, "arrays inputs rows cols"], Int[Array, "arrays inputs"]]:
    """Voltages across the cells for voltage sources `d` in series with them, nothing else; and the iterations it took."""
    root, d = jnp.sqrt(_rows_first(g)), jnp.moveaxis(d, 2, 0)
    s, _, _, iterations = _conjugate_gradients(root, lines, d, rtol)
    return jnp.moveaxis(d - lines.drop(root * s), 0, 2), iterations


def to_ohms(wiring: Wiring, one: tuple, other: tuple) -> Float[Array, "arrays ohms"]:
    """As that of `schur_pcg`: with R of `line_matrix` and x, y the currents of the two networks, x (dR/dr) y."""
    highest = lax.Precision.HIGHEST
    of_wordlines = jnp.einsum("aimj,aimk->ajk", one[0], other[0], precision=highest)
    of_bitlines = jnp.einsum("aijn,aikn->ajk", one[1], other[1], precision=highest)
    rows, cols = one[0].shape[2:]
    _, back = jax.vjp(lambda ohms: matrices(dataclasses.replace(wiring, ohms=ohms), rows, cols), wiring.ohms)
    return jax.vmap(lambda *pair: back(pair)[0])(of_wordlines, of_bitlines)


def _rows_first(g):
    return jnp.moveaxis(g, 1, 0)[:, :, None, :]


def _iteration_limit(x, rtol):
    """Four times the iterations that theory asks for: the largest sum of a row of R D bounds its eigenvalues."""
    needed = 0.5 * jnp.sqrt(1 + x) * jnp.log(2 / rtol)
    return 20 + 4 * jnp.minimum(needed, 25_000).astype(jnp.int32)


def _conjugate_gradients(root, lines, u0, rtol):
    """s for each system of the axes 1 and 2, to |residual| <= rtol |s|, and 0 or NaN for one that failed.

    Each system stops by itself.
    """
    f = root * u0
    scale = largest(f)
    scale = jnp.where(scale > 0, scale, 1)
    f = f / scale

    def dot(a, b):
        return jnp.sum(a * b, (0, 3), keepdims=True)

    def active(state):
        # A NaN counts as done, and is reported.
        return (state[3] > rtol**2 * state[4]) & (state[5] < lines.limit)

    def step(state):
        s, r, p, rr, _, iterations = state
        going = active(state)
        ap = p + root * lines.drop(root * p)
        length = jnp.where(going, rr / jnp.where(going, dot(p, ap), 1), 0)
        s, r = s + length * p, r - length * ap
        new = dot(r, r)
        turn = jnp.where(going, new / jnp.where(going, rr, 1), 0)
        return s, r, r + turn * p, new, dot(s, s), iterations + going

    ff = dot(f, f)
    start = (jnp.zeros_like(f), f, f, ff, jnp.zeros_like(ff), jnp.zeros(ff.shape, jnp.int32))
    s, r, _, rr, ss, iterations = lax.while_loop(lambda state: jnp.any(active(state)), step, start)
    failed = jnp.where(rr <= rtol**2 * ss, 0, jnp.nan).astype(f.dtype)
    residual = jnp.sqrt(rr / jnp.where(ss > 0, ss, 1))
    # The error is r divided by an eigenvalue, which is at least 1: with half of r added, it is at most half of r.
    return (s + 0.5 * r) * scale, failed[0, :, :, 0], residual[0, :, :, 0], iterations[0, :, :, 0]
