"""The public functions: check what was given, arrange the batch, call the solver."""

from functools import wraps
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from imcjax.crossbar import gate_input, nonlinear
from imcjax.crossbar.batching import Batch, batch_of
from imcjax.crossbar.bias import Bias
from imcjax.crossbar.cells import Cell, check_cell
from imcjax.crossbar.checks import check_array, check_circuit
from imcjax.crossbar.schur_pcg import Sources, default_rtol
from imcjax.crossbar.solution import Solution
from imcjax.crossbar.solvers import (
    SOLVERS,
    check_solver,
    pick_able,
    pick_solve,
    pick_transfer,
    prefers_transfer,
)
from imcjax.crossbar.wires import Wires, Wiring
from imcjax.errors import UserError, concrete
from imcjax.xla import jit_quickly


def currents(
    g: Float[ArrayLike, "*#batch rows cols"],
    v: Float[ArrayLike, "*#batch rows"] | Bias,
    wires: Wires,
    *,
    topology: str = "input_source",
    solver: str = "auto",
    rtol: float | None = None,
    cell: Cell | None = None,
) -> Float[Array, "*batch cols"]:
    """Currents out of the bitlines of resistive crossbar arrays.

    Leading axes broadcast as in NumPy; an array that serves many inputs (a missing or size-1 axis of `g`) is solved once.

    Args:
      g: (..., rows, cols) cell conductances, S. 0 is an open cell. With topology `interleaved`, (..., 2, rows, cols).
      v: (..., rows) input voltages, V; or a `Bias`, which also says what the bitlines are held at and which lines float.
      wires: resistances, ohm.
      topology: `input_source`: wordlines driven at column 0, bitlines sensed below the last row, far ends open.
        `gate_input`: the inputs (0 or one read voltage) switch the cells of their rows; a source line beside each bitline is
        driven at row 0; it has no far ends.
        `interleaved`: as `input_source`, but every row has two wordlines, driven with v and -v, whose cells g[..., 0, i, j]
        and g[..., 1, i, j] meet at one node of the bitline: what differs between the two is all that flows on.
      solver: a name in `imcjax.crossbar.SOLVERS`, or `auto`: exact, the fastest for these shapes. `gate_input` has one direct
        method, `auto`.
      rtol: relative tolerance of iterative solvers, for each input by itself, or, where it is faster to make the matrix, for
        each of its rows or columns; by default what the precision allows.
      cell: how the current of a cell depends on its voltage, a record of `imcjax.crossbar.cells`; None: i = g u. With a record,
        `solver` is `auto`, `schur_pcg` or `dense_cg`, no line floats, and `solve` counts the iterations of all steps of
        Newton's method.

    Returns:
      (..., cols) currents, A, in float64 if `g` or `v` is, else in float32. NaN where a solver did not converge.

    Differentiable in reverse mode, any order, in `g`, `v`, every resistance, also at zero, and the numbers of `cell`.
    Forward mode (jvp) exists for `pade` and `ideal` only.

    Raises:
      UserError: shapes that do not fit, values that are not finite or negative, unknown names.
    """
    g, bias, settings = _prepare(g, v, wires, topology, solver, rtol, cell)
    return _currents(g, bias, wires, cell, **settings)


def solve(
    g: Float[ArrayLike, "*#batch rows cols"],
    v: Float[ArrayLike, "*#batch rows"] | Bias,
    wires: Wires,
    *,
    topology: str = "input_source",
    solver: str = "auto",
    rtol: float | None = None,
    cell: Cell | None = None,
) -> Solution:
    """All voltages and currents of the array, and how well they were solved; arguments and errors as for `currents`.

    With topology `interleaved` `wordline_v` is (..., 2, rows, cols) and `source_currents` (..., 2, rows). With a `Bias`,
    `source_currents` of floating lines and `currents` of floating bitlines are 0; a floating line without cells is at 0 V.
    With topology `gate_input` every column has its source line: `wordline_v` holds its nodes, and `source_currents` is
    (..., cols), equal to `currents`, as a column has no other ends. `residual` and `iterations` are 0: the method is direct.
    """
    g, bias, settings = _prepare(g, v, wires, topology, solver, rtol, cell)
    if topology != "gate_input":
        pick_solve(settings["solver"])
    return _solve(g, bias, wires, cell, **settings)


def transfer_matrix(
    g: Float[ArrayLike, "*batch rows cols"],
    wires: Wires,
    *,
    topology: str = "input_source",
    solver: str = "auto",
    rtol: float | None = None,
) -> Float[Array, "*batch rows cols"]:
    """The matrix that an array multiplies with: `currents(g, v, wires) == v @ S`.

    Args:
      g: (..., rows, cols) cell conductances, S; with topology `interleaved` (..., 2, rows, cols).
      wires: resistances, ohm.
      topology: `input_source` or `interleaved`; an array whose inputs switch its cells is not linear in them.
      solver: as for `currents`. `pade` is a close approximation fast enough for every training step; `port_merge` is four times
        as fast as `schur_pcg` at 128 x 128 and takes seconds longer to compile: choose it for programs that run often.
      rtol: as for `currents`.

    Returns:
      (..., rows, cols) S in siemens; for ideal wires the conductances of cells with their access resistance, or the differences
      of pairs. Differentiable as `currents`.

    Raises:
      UserError: as for `currents`.
    """
    if topology == "gate_input":
        raise UserError("Topology 'gate_input' has no transfer matrix, its inputs switch cells; use `currents`.")
    check_solver(solver)
    g = check_array(g, wires, topology)
    return _transfer_matrix(g, wires, **_settings(g, wires, topology, solver, rtol, {}))


def _program(function):
    """Compiled for each of the static settings."""
    static = ("topology", "solver", "rtol")
    plain, quick = jax.jit(function, static_argnames=static), jit_quickly(function, static_argnames=static)

    @wraps(function)
    def call(*arguments, solver, **settings):
        # Port merge takes long to compile; iterative solvers run a seventh slower when compiled quickly.
        return (quick if solver == "port_merge" else plain)(*arguments, solver=solver, **settings)

    return call


@_program
def _currents(g, bias, wires, cell, *, topology, solver, rtol):
    if cell is None and all(x is None for x in bias[1:]):
        v, g_whole = bias.wordline_v, _whole(g, topology)
        batch = batch_of(g_whole.shape[:-2], v.shape[:-1])
        arrays, inputs = batch.counts
        if topology == "gate_input":
            g = batch.join_g(wires.behind_access(g))
            return batch.split(gate_input.currents(g, batch.join_v(v), wires.vector(g.dtype)))
        if prefers_transfer(solver, arrays, g_whole.shape[-2], g_whole.shape[-1], inputs):
            s = batch.join_g(_transfer_matrix(g, wires, topology=topology, solver=solver, rtol=rtol))
            return batch.split(jnp.matmul(batch.join_v(v), s, precision=lax.Precision.HIGHEST))
    batch, solution = _solved(g, bias, wires, cell, topology, solver, rtol)
    return batch.split(solution.currents)


@_program
def _solve(g, bias, wires, cell, *, topology, solver, rtol):
    batch, solution = _solved(g, bias, wires, cell, topology, solver, rtol)
    solution = jax.tree.map(batch.split, solution)
    if topology != "interleaved":
        return solution
    pairs = jnp.stack([solution.wordline_v[..., ::2, :], solution.wordline_v[..., 1::2, :]], -3)
    drawn = jnp.stack([solution.source_currents[..., ::2], solution.source_currents[..., 1::2]], -2)
    return solution._replace(wordline_v=pairs, bitline_v=solution.bitline_v[..., ::2, :], source_currents=drawn)


def _solved(g, bias, wires, cell, topology, solver, rtol) -> tuple[Batch, Solution]:
    """The solution of (arrays, inputs), and how these are to be split."""
    bare, g = g, wires.behind_access(g)
    if topology == "gate_input":
        batch = batch_of(g.shape[:-2], bias.wordline_v.shape[:-1])
        return batch, gate_input.solve(batch.join_g(g), batch.join_v(bias.wordline_v), wires.vector(g.dtype))
    g = _whole(bare if cell is not None else g, topology)
    v, bitline_v = bias.wordline_v, bias.bitline_v
    if bias.floating_wordlines is not None:
        v = jnp.where(bias.floating_wordlines, 0, v)
    if bias.floating_bitlines is not None and bitline_v is not None:
        bitline_v = jnp.where(bias.floating_bitlines, 0, bitline_v)
    if topology == "interleaved":
        v = jnp.stack([v, -v], -1).reshape(*v.shape[:-1], -1)
    leading = np.broadcast_shapes(*(x.shape[:-1] for x in bias if x is not None))
    if bias.floats:
        # Which lines float decides the matrix: every input has an array of its own.
        g = jnp.broadcast_to(g, (*np.broadcast_shapes(g.shape[:-2], leading), *g.shape[-2:]))
    batch, floating = batch_of(g.shape[:-2], leading), None
    if bias.floats:
        masks = zip((bias.floating_wordlines, bias.floating_bitlines), g.shape[-2:], strict=True)
        floating = tuple(batch.join_v(jnp.zeros(size, bool) if which is None else which) for which, size in masks)
    wiring = Wiring(wires.vector(g.dtype), floating, topology == "interleaved")
    sources = Sources(batch.join_v(v), None if bitline_v is None else batch.join_v(bitline_v))
    g = batch.join_g(g)
    if cell is not None:
        access = jnp.asarray(wires.access, g.dtype)
        return batch, nonlinear.solve(g, sources, wiring, cell, access, rtol, solver)
    return batch, pick_solve(solver)(g, sources, wiring, rtol)


@_program
def _transfer_matrix(g, wires, *, topology, solver, rtol):
    g = _whole(wires.behind_access(g), topology)
    joined = g.reshape(-1, *g.shape[-2:])
    wiring = Wiring(wires.vector(g.dtype), paired=topology == "interleaved")
    s = SOLVERS[pick_transfer(solver, *joined.shape)].transfer(joined, wiring, rtol).reshape(g.shape)
    return s[..., ::2, :] - s[..., 1::2, :] if wiring.paired else s


def _whole(g, topology):
    """(..., 2, rows, cols) of interleaved pairs -> (..., 2 rows, cols), both cells of a pair in neighbouring rows."""
    if topology != "interleaved":
        return g
    return jnp.swapaxes(g, -3, -2).reshape(*g.shape[:-3], 2 * g.shape[-2], g.shape[-1])


def _prepare(g: Any, v: Any, wires: Wires, topology: str, solver: str, rtol: float | None, cell: Cell | None = None):
    """(g, Bias, static settings) in one precision, after refusing what is wrong and can be seen now."""
    check_solver(solver)
    if topology == "gate_input" and solver != "auto":
        raise UserError(f"solver {solver!r} does not solve topology 'gate_input'; give 'auto'.")
    g, bias = check_circuit(g, v, wires, topology)
    if cell is not None:
        if topology == "gate_input":
            raise UserError(f"topology {topology!r} knows linear cells only; leave cell None.")
        check_cell(cell, _all_volts(bias, topology))
    if bias.floats and cell is not None:
        raise UserError("Lines float and cells are nonlinear, which is not known together; hold the lines, or leave cell None.")
    needed = {"bitline_v": bias.bitline_v is not None, "floating": bias.floats, "nonlinear": cell is not None}
    return g, bias, _settings(g, wires, topology, solver, rtol, needed)


def _settings(g, wires: Wires, topology: str, solver: str, rtol: Any, needed: dict[str, bool]) -> dict[str, Any]:
    """The static arguments of a program, for an array that also has what is `needed` of `FEATURES`."""
    needed = needed | {"both_ends": wires.both_ends, "interleaved": topology == "interleaved"}
    solver = pick_able(solver, {name for name, wanted in needed.items() if wanted})
    if rtol is None:
        rtol = default_rtol(g.dtype)
    if isinstance(rtol, jax.core.Tracer):
        raise UserError("rtol is traced; give a plain number, it decides which program is compiled.")
    if not isinstance(rtol, int | float | np.number) or not 0 < float(rtol) < 1:
        raise UserError(f"rtol is {rtol!r}; give a number between 0 and 1.")
    return {"topology": topology, "solver": solver, "rtol": float(rtol)}


def _all_volts(bias, topology):
    """Every voltage that a line is held at, or None where one is not known yet."""
    given = [x for x in bias[:2] if x is not None]
    known = [x for x in map(concrete, given) if x is not None]
    if len(known) < len(given):
        return None
    volts = np.concatenate([x.ravel() for x in known])
    return np.concatenate([volts, -volts]) if topology == "interleaved" else volts
