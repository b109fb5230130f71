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

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from imcjax.crossbar.lines import Line, factor, shared_currents, solve_line
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
    residual: Float[Array, "arrays inputs"]  # relative, in the norm in which the method stops
    iterations: Int[Array, "arrays inputs"]


def default_rtol(dtype: jnp.dtype) -> float:
    """Relative tolerance that the rounding of `dtype` leaves reachable: 5e-7 in float32, 1e-13 in float64."""
    return 5e-7 if jnp.finfo(dtype).bits == 32 else 1e-13


class Factors(NamedTuple):
    """The factorised lines of arrays (arrays, rows, cols), for any number of inputs."""

    wordlines: Line  # (cols, arrays, 1, rows)
    bitlines: Line  # (rows, arrays, 1, cols)
    limit: Int[Array, ""]  # of iterations
    floating: tuple[Bool[Array, "arrays 1 rows"], Bool[Array, "arrays 1 cols"]] | None


def prepare(g: Float[Array, "arrays rows cols"], wiring: Wiring, rtol: float) -> Factors:
    """What the solvers need to know of the arrays."""
    floating_w, floating_b = (None, None) if wiring.floating is None else wiring.floating
    rho_w, rho_b = _segments(wiring.ohms, wiring, *g.shape[1:])
    g_w, g_b = _along_lines(g)
    return Factors(
        factor(g_w, rho_w, forward=True, floating=floating_w),
        factor(g_b, rho_b, forward=False, floating=floating_b),
        _iteration_limit(g, wiring, rtol),
        wiring.floating,
    )


def _segments(ohms, wiring, rows, cols):
    """Ohm from each node of a wordline, and of a bitline, to the next one towards the terminal."""
    wordline, bitline, driver, sense = ohms
    along_bitline = jnp.broadcast_to(bitline, rows)
    if wiring.paired:
        along_bitline = along_bitline.at[::2].set(0)
    return jnp.broadcast_to(wordline, cols).at[0].set(driver), along_bitline.at[-1].set(sense)


def run(g: Float[Array, "arrays rows cols"], factors: Factors, sources: Sources, rtol: float) -> State:
    """Solve every input of every array, all at once. Systems that fail come out as NaN."""
    sources = _at_lines(sources)
    b, _, failed, residual, iterations = _solve(g, factors, sources, rtol)
    # One more sweep over the lines: the outputs agree with each other, and the error shrinks once more.
    w, out = _wordlines(g, factors, sources, b)
    b, currents = _bitlines(g, factors, sources, w)
    if factors.floating is not None:
        w, b, out, currents, lost = _balanced(g, factors, sources, w, b)
        failed += lost
    failed = failed[..., None]
    return State(
        currents + failed,
        failed - out,
        jnp.transpose(w, (1, 2, 3, 0)) + failed[..., None],
        jnp.transpose(b, (1, 2, 0, 3)) + failed[..., None],
        residual,
        iterations,
    )


def run_adjoint(g: Float[Array, "arrays rows cols"], factors: Factors, sources: Sources, rtol: float) -> State:
    """`run` without its last sweep, which gradients can do without."""
    at_lines = _at_lines(sources)
    b, w, failed, residual, iterations = _solve(g, factors, at_lines, rtol)
    if factors.floating is not None:
        w, b, _, _, lost = _balanced(g, factors, at_lines, w, b)
        failed += lost
    failed = failed[..., None, None]
    w, b = jnp.transpose(w, (1, 2, 3, 0)) + failed, jnp.transpose(b, (1, 2, 0, 3)) + failed
    out_of, into = leaving(g[:, None] * (w - b), sources)
    return State(jnp.sum(into, 2), jnp.sum(out_of, 3), w, b, residual, iterations)


def across(
    g: Float[Array, "arrays rows cols"], factors: Factors, d: Float[Array, "arrays inputs rows cols"], rtol: float
) -> tuple[Float[Array, "arrays inputs rows cols"], Int[Array, "arrays inputs"]]:
    """Voltages across the cells for voltage sources `d` in series with them, nothing else; and the iterations it took."""
    driven = g[:, None] * d
    b, w, _, _, iterations = _solve(g, factors, _at_lines(Sources(wordline=-driven, bitline=driven)), rtol)
    return jnp.transpose(_turn(w) - b, (1, 2, 0, 3)) + d, iterations


def leaving(cell: Float[Array, "..."], sources: Sources) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """A, out of the wordlines and into the bitlines at each node: `cell` currents and injected ones."""
    out_of = cell if sources.wordline is None else cell - sources.wordline
    return out_of, cell if sources.bitline is None else cell + sources.bitline


def to_ohms(wiring: Wiring, one: tuple, other: tuple) -> Float[Array, "arrays ohms"]:
    """Sum over the segments of the products of two networks' currents, for each resistance of the wiring.

    Each network is (out of the wordline nodes, into the bitline nodes), A, (arrays, inputs, rows, cols).
    """
    rows, cols = one[0].shape[2:]
    of_wordlines = shared_currents(*(jnp.transpose(pair[0], (3, 0, 1, 2)) for pair in (one, other)), forward=True)
    of_bitlines = shared_currents(*(jnp.transpose(pair[1], (2, 0, 1, 3)) for pair in (one, other)), forward=False)
    _, back = jax.vjp(lambda ohms: _segments(ohms, wiring, rows, cols), wiring.ohms)
    return jax.vmap(lambda *segments: back(segments)[0], 1)(of_wordlines, of_bitlines)


def _solve(g, factors, sources, rtol):
    """b and w along their lines, 0 or NaN for a system that failed, residual and iterations."""
    g_b = _along_lines(g)[1]
    fields = [x[None] for x in sources[:2] if x is not None] + [x for x in sources[2:] if x is not None]
    batch = jnp.broadcast_shapes((*g.shape[:1], 1), fields[0].shape[1:3])
    b0 = jnp.zeros((g.shape[1], *batch, g.shape[2]), g.dtype)
    if sources.sense is not None:
        b0 = solve_line(factors.bitlines, b0, sources.sense)[0]
    w0 = _wordlines(g, factors, sources, b0)[0]
    f = g_b * _turn(w0)
    f = f if sources.bitline is None else f + sources.bitline
    b, w, failed, residual, iterations = _conjugate_gradients(g, factors, f, rtol, b0)
    return b0 + b, w0 + w, failed, residual, iterations


def _balanced(g, factors, sources, w, b):
    """The solution with the floating lines at the common voltage at which as much flows into all of them as out.

    Where they hold each other far better than anything else holds them, that voltage is lost in the rounding of D - D W D; but
    the currents of the cells between them and the other lines tell it. Also returns the currents of the drivers and the sense
    ends, and NaN where the voltage is still not found.
    """
    g_b = _along_lines(g)[1]
    floats_w, floats_b = factors.floating
    floats_w_here = jnp.moveaxis(floats_w, 2, 0)[..., None]
    inwards = jnp.where(floats_w_here, jnp.where(floats_b, 0, -g_b), jnp.where(floats_b, g_b, 0))
    held = jnp.sum(jnp.abs(inwards), (0, 3))
    extra = jnp.zeros(())
    if sources.wordline is not None:
        extra += jnp.sum(jnp.where(floats_w, sources.wordline, 0), (0, 3))
    if sources.bitline is not None:
        extra += jnp.sum(jnp.where(floats_b, sources.bitline, 0), (0, 3))

    def shifted(w, b):
        missing = jnp.sum(inwards * (_turn(w) - b), (0, 3)) + extra
        shift = jnp.where(held > 0, missing / jnp.where(held > 0, held, 1), 0)
        return jnp.where(floats_w, w + shift[..., None], w), jnp.where(floats_b, b + shift[..., None], b), shift

    w, b, _ = shifted(w, b)
    w = _wordlines(g, factors, sources, b)[0]
    b = _bitlines(g, factors, sources, w)[0]
    w, b, shift = shifted(w, b)
    cell = g_b * (_turn(w) - b)
    into = cell if sources.bitline is None else cell + sources.bitline
    out_of = _turn(cell) if sources.wordline is None else _turn(cell) - sources.wordline
    highest = jnp.maximum(jnp.max(jnp.abs(w), (0, 3)), jnp.max(jnp.abs(b), (0, 3)))
    lost = jnp.where(jnp.abs(shift) <= 1e-2 * highest, 0, jnp.nan).astype(g.dtype)
    return w, b, -jnp.sum(out_of, 0), jnp.sum(into, 0), lost


def _wordlines(g, factors, sources, b):
    """Voltages of the wordlines between bitlines of `b` volts, and the currents into their drivers."""
    x = _turn(_along_lines(g)[1] * b)
    return solve_line(factors.wordlines, x if sources.wordline is None else x + sources.wordline, sources.driver)


def _bitlines(g, factors, sources, w):
    """Voltages of the bitlines between wordlines of `w` volts, and the currents into their sense ends."""
    x = _turn(_along_lines(g)[0] * w)
    return solve_line(factors.bitlines, x if sources.bitline is None else x + sources.bitline, sources.sense)


def _at_lines(sources):
    """Injected currents as the lines take them."""
    wordline = None if sources.wordline is None else jnp.transpose(sources.wordline, (3, 0, 1, 2))
    bitline = None if sources.bitline is None else jnp.transpose(sources.bitline, (2, 0, 1, 3))
    return sources._replace(wordline=wordline, bitline=bitline)


def _along_lines(g):
    """g with one axis of the array leading (the lines run along it), then arrays, inputs, the other axis of the array."""
    return jnp.moveaxis(g, 2, 0)[:, :, None, :], jnp.moveaxis(g, 1, 0)[:, :, None, :]


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
    g = jnp.where(jnp.isfinite(g), g, 0)  # a bad array is its own business
    x = jnp.maximum(jnp.max(jnp.sum(g, 2)) * (wordline * cols + driver), jnp.max(jnp.sum(g, 1)) * (bitline * rows + sense))
    if wiring.floating is not None:
        x += rows + cols  # floating lines hold each other only through the few lines that do not float
    needed = 0.5 * jnp.sqrt(1 + 0.5 * x) * jnp.log(2 / rtol)
    return 20 + 4 * jnp.minimum(needed, 25_000).astype(jnp.int32)


def _conjugate_gradients(g, factors, f, rtol, known):
    """Solve (P - C) b = f, P the matrix of the bitlines and C their coupling, for each system of the axes 1 and 2.

    Each system stops by itself: once its residual is down to `rtol` of the solution, of which the part `known` is not in b, its
    step length is zero. Returns b, the wordline voltages W D b, 0 or NaN for a system that failed, the relative residual and
    the iterations.
    """
    g_b = _along_lines(g)[1]
    scale = largest(f)
    scale = jnp.where(scale > 0, scale, 1)
    f = f / scale

    def precondition(r):
        return solve_line(factors.bitlines, r)[0]

    def dot(a, b):
        return jnp.sum(a * b, (0, 3), keepdims=True)

    r = f
    p = precondition(r)
    rz = dot(r, p)
    whole = rz + dot(g_b * (known / scale), known / scale)

    def active(state):
        # A NaN counts as done, and is reported.
        return (state[5] > rtol**2 * whole) & (state[6] < factors.limit)

    def step(state):
        x, xw, r, p, tp, rz, iterations = state
        going = active(state)
        w = solve_line(factors.wordlines, _turn(g_b * p))[0]
        ap = tp - g_b * _turn(w)
        length = jnp.where(going, rz / jnp.where(going, dot(p, ap), 1), 0)
        x, xw, r = x + length * p, xw + length * w, r - length * ap
        z = precondition(r)
        new = jnp.maximum(dot(r, z), 0)  # where all that is left is rounding, even its sign is
        turn = jnp.where(going, new / jnp.where(going, rz, 1), 0)
        return x, xw, r, z + turn * p, r + turn * tp, new, iterations + going

    start = (jnp.zeros_like(f), jnp.zeros_like(_turn(f)), r, p, r, rz, jnp.zeros(rz.shape, jnp.int32))
    x, xw, _, _, _, rz, iterations = lax.while_loop(lambda state: jnp.any(active(state)), step, start)
    failed = jnp.where(rz <= rtol**2 * whole, 0, jnp.nan).astype(f.dtype)
    residual = jnp.sqrt(rz / jnp.where(whole > 0, whole, 1))
    return x * scale, xw * scale, failed[0, :, :, 0], residual[0, :, :, 0], iterations[0, :, :, 0]
