"""The exact circuit, solved iteratively: conjugate gradients on the bitlines, with the wordlines eliminated.

With the wordline solve W = (T_w + D)^-1 and the bitline solve B = (T_b + D)^-1 of `lines` (T: the wires, D: the cells), the
bitline voltages obey (T_b + D - D W D) b = D W(sources). Conjugate gradients preconditioned by B need 3 to 9 iterations on
arrays of 64 to 512 rows, because all that B leaves out is how the wordlines couple the bitlines.

Two details make float32 enough (errors of 5e-7 instead of 1e-4) and zero resistances ordinary:
`lines` never subtracts or divides by a resistance, and (T_b + D) p is carried along by recurrence, since B's input is known,
instead of being computed from conductances 1/r that would cancel.

The problem is symmetric: `run` takes sources of every kind, so that the adjoint problem of a gradient is one more run.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from imcjax.crossbar.lines import factor, solve_line
from imcjax.crossbar.wires import Wiring


class Sources(NamedTuple):
    """What drives the network; None stands for zeros. A gradient's adjoint run uses all four."""

    driver: Float[Array, "arrays inputs rows"] | None = None  # volts at the driver ends of the wordlines
    sense: Float[Array, "arrays inputs cols"] | None = None  # volts at the sense ends of the bitlines
    wordline: Float[Array, "arrays inputs rows cols"] | None = None  # amperes into the wordline nodes
    bitline: Float[Array, "arrays inputs rows cols"] | None = None  # amperes into the bitline nodes


class State(NamedTuple):
    """The solved network."""

    currents: Float[Array, "arrays inputs cols"]  # A, out of the bitlines into the sense ends
    source_currents: Float[Array, "arrays inputs rows"]  # A, out of the drivers into the wordlines
    wordline_v: Float[Array, "arrays inputs rows cols"]  # V
    bitline_v: Float[Array, "arrays inputs rows cols"]  # V
    residual: Float[Array, "arrays inputs"]  # relative, in the norm of the preconditioner
    iterations: Int[Array, "arrays inputs"]


def default_rtol(dtype: jnp.dtype) -> float:
    """Relative tolerance that the rounding of `dtype` leaves reachable: 5e-7 in float32, 1e-13 in float64."""
    return 5e-7 if jnp.finfo(dtype).bits == 32 else 1e-13


def run(g: Float[Array, "arrays rows cols"], wiring: Wiring, sources: Sources, rtol: float) -> State:
    """Solve every input of every array, all at once. Systems that fail come out as NaN."""
    rows, cols = g.shape[1:]
    wordline, bitline, driver, sense = wiring.ohms
    along_wordline, along_bitline = jnp.broadcast_to(wordline, cols - 1), jnp.broadcast_to(bitline, rows - 1)
    if wiring.paired:
        along_bitline = along_bitline.at[::2].set(0)
    floating_w, floating_b = (None, None) if wiring.floating is None else wiring.floating
    # One axis of the array leads (the lines run along it), then arrays, inputs, the other axis of the array.
    g_w, g_b = jnp.moveaxis(g, 2, 0)[:, :, None, :], jnp.moveaxis(g, 1, 0)[:, :, None, :]
    lines_w = factor(g_w, along_wordline, driver, forward=True, floating=floating_w)
    lines_b = factor(g_b, along_bitline, sense, forward=False, floating=floating_b)
    injected_w = None if sources.wordline is None else jnp.transpose(sources.wordline, (3, 0, 1, 2))
    injected_b = None if sources.bitline is None else jnp.transpose(sources.bitline, (2, 0, 1, 3))

    def wordlines(b, terminal=None, injected=None):
        x = _turn(g_b * b)
        return solve_line(lines_w, x if injected is None else x + injected, terminal)

    def bitlines(w, terminal=None, injected=None):
        x = _turn(g_w * w)
        return solve_line(lines_b, x if injected is None else x + injected, terminal)

    def precondition(r):
        return solve_line(lines_b, r)[0]

    def apply_coupling(p):
        return g_b * _turn(wordlines(p)[0])

    given = next(source for source in sources if source is not None)
    batch = jnp.broadcast_shapes((*g.shape[:1], 1), given.shape[:2])
    b0 = jnp.zeros((g.shape[1], *batch, g.shape[2]), g.dtype)
    if sources.sense is not None or injected_b is not None:
        b0 = solve_line(lines_b, b0 if injected_b is None else b0 + injected_b, sources.sense)[0]
    w0 = wordlines(b0, sources.driver, injected_w)[0]
    limit = _iteration_limit(g, wiring, rtol)
    change, residual, iterations = _conjugate_gradients(precondition, apply_coupling, g_b * _turn(w0), rtol, limit)

    # One more sweep over the lines: the outputs agree with each other, and the error shrinks once more.
    w, out = wordlines(b0 + change, sources.driver, injected_w)
    b, currents = bitlines(w, sources.sense, injected_b)
    failed = jnp.where(residual <= rtol, 0, jnp.nan).astype(g.dtype)[:, :, None]
    return State(
        currents + failed,
        failed - out,
        jnp.transpose(w, (1, 2, 3, 0)) + failed[..., None],
        jnp.transpose(b, (1, 2, 0, 3)) + failed[..., None],
        residual,
        iterations,
    )


def largest(f: Float[Array, "one arrays inputs other"]) -> Float[Array, "1 arrays inputs 1"]:
    """The largest size of the entries of each system."""
    # In this program XLA's own maximum over two axes crashes on a CPU (YNN fusion, jaxlib 0.10.1); another spelling avoids it.
    return lax.reduce(f, jnp.zeros((), f.dtype), lambda a, b: jnp.maximum(jnp.abs(a), jnp.abs(b)), (0, 3))[None, :, :, None]


def _turn(field):
    """From lines along one axis of the array to lines along the other."""
    return jnp.swapaxes(field, 0, 3)


def _iteration_limit(g, wiring, rtol):
    """Four times the iterations that theory asks for: the condition number is about x/2, x the drop along a loaded line."""
    wordline, bitline, driver, sense = wiring.ohms
    rows, cols = g.shape[1:]
    x = jnp.maximum(jnp.max(jnp.sum(g, 2)) * (wordline * cols + driver), jnp.max(jnp.sum(g, 1)) * (bitline * rows + sense))
    if wiring.floating is not None:
        x += rows + cols  # floating lines hold each other only through the few lines that do not float
    needed = 0.5 * jnp.sqrt(1 + 0.5 * x) * jnp.log(2 / rtol)
    return 20 + 4 * jnp.minimum(needed, 25_000).astype(jnp.int32)


def _conjugate_gradients(precondition, apply_coupling, f, rtol, limit):
    """Solve (P - C) x = f, P the preconditioner's matrix, for each system of the axes 1 and 2.

    Each system stops by itself: once its residual is down by `rtol`, its step length is zero.
    """
    scale = largest(f)
    scale = jnp.where(scale > 0, scale, 1)
    f = f / scale

    def dot(a, b):
        return jnp.sum(a * b, (0, 3), keepdims=True)

    r = f
    p = precondition(r)
    rz = first = dot(r, p)

    def active(state):
        # A NaN counts as done, and is reported.
        return (state[4] > rtol**2 * first) & (state[5] < limit)

    def step(state):
        x, r, p, tp, rz, iterations = state
        going = active(state)
        ap = tp - apply_coupling(p)
        length = jnp.where(going, rz / jnp.where(going, dot(p, ap), 1), 0)
        x, r = x + length * p, r - length * ap
        z = precondition(r)
        new = jnp.maximum(dot(r, z), 0)  # where all that is left is rounding, even its sign is
        turn = jnp.where(going, new / jnp.where(going, rz, 1), 0)
        return x, r, z + turn * p, r + turn * tp, new, iterations + going

    start = (jnp.zeros_like(f), r, p, r, rz, jnp.zeros(rz.shape, jnp.int32))
    x, _, _, _, rz, iterations = lax.while_loop(lambda state: jnp.any(active(state)), step, start)
    residual = jnp.sqrt(rz / jnp.where(first > 0, first, 1))
    return x * scale, residual[0, :, :, 0], iterations[0, :, :, 0]
