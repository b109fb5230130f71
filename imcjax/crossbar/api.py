"""The public functions: check what was given, arrange the batch, call the solver."""

from functools import partial
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from imcjax.crossbar import gate_input, nonlinear
from imcjax.crossbar.batching import batch_of
from imcjax.crossbar.cells import Cell, check_cell
from imcjax.crossbar.checks import check_circuit
from imcjax.crossbar.schur_pcg import default_rtol
from imcjax.crossbar.solution import Solution
from imcjax.crossbar.solvers import (
    SOLVERS,
    check_solver,
    pick_iterative,
    pick_solve,
    pick_transfer,
    prefers_transfer,
    with_both_ends,
)
from imcjax.crossbar.wires import Wires
from imcjax.errors import UserError


def currents(
    g: Float[ArrayLike, "*#batch rows cols"],
    v: Float[ArrayLike, "*#batch rows"],
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
      g: (..., rows, cols) cell conductances, S. 0 is an open cell.
      v: (..., rows) input voltages, V.
      wires: resistances, ohm.
      topology: `input_source`: wordlines driven at column 0, bitlines sensed below the last row, far ends open.
        `gate_input`: the inputs (0 or one read voltage) switch the cells of their rows; a source line beside each bitline is
        driven at row 0; it has no far ends.
      solver: a name in `imcjax.crossbar.SOLVERS`, or `auto`: exact, the fastest for these shapes. `gate_input` has one direct
        method, `auto`.
      rtol: relative tolerance of iterative solvers, for each input by itself; by default what the precision allows.
      cell: how the current of a cell depends on its voltage, a record of `imcjax.crossbar.cells`; None: i = g u. With a record,
        `solver` is `auto`, `schur_pcg` or `dense_cg`, and `solve` counts the iterations of all steps of Newton's method.

    Returns:
      (..., cols) currents, A, in float64 if `g` or `v` is, else in float32. NaN where a solver did not converge.

    Differentiable in reverse mode, any order, in `g`, `v`, every resistance, also at zero, and the numbers of `cell`.
    Forward mode (jvp) exists for `pade` and `ideal` only.

    Raises:
      UserError: shapes that do not fit, values that are not finite or negative, unknown names.
    """
    g, v, settings = _prepare(g, v, wires, topology, solver, rtol, cell)
    return _currents(g, v, wires, cell, **settings)


def solve(
    g: Float[ArrayLike, "*#batch rows cols"],
    v: Float[ArrayLike, "*#batch rows"],
    wires: Wires,
    *,
    topology: str = "input_source",
    solver: str = "auto",
    rtol: float | None = None,
    cell: Cell | None = None,
) -> Solution:
    """All voltages and currents of the array, and how well they were solved; arguments and errors as for `currents`.

    With topology `gate_input` every column has its source line: `wordline_v` holds its nodes, and `source_currents` is
    (..., cols), equal to `currents`, as a column has no other ends. `residual` and `iterations` are 0: the method is direct.
    """
    g, v, settings = _prepare(g, v, wires, topology, solver, rtol, cell)
    if topology == "input_source":
        pick_solve(solver)
    return _solve(g, v, wires, cell, **settings)


def transfer_matrix(
    g: Float[ArrayLike, "*batch rows cols"], wires: Wires, *, solver: str = "auto", rtol: float | None = None
) -> Float[Array, "*batch rows cols"]:
    """The matrix that an array of topology `input_source` multiplies with: `currents(g, v, wires) == v @ S`.

    Args:
      g: (..., rows, cols) cell conductances, S.
      wires: resistances, ohm.
      solver: as for `currents`. `pade` is a close approximation fast enough for every training step; `port_merge` is four times
        as fast as `schur_pcg` at 128 x 128 and takes seconds longer to compile: choose it for programs that run often.
      rtol: as for `currents`.

    Returns:
      (..., rows, cols) S in siemens, with S = g for ideal wires. Differentiable as `currents`.

    Raises:
      UserError: as for `currents`.
    """
    g, _, settings = _prepare(g, None, wires, "input_source", solver, rtol)
    return _transfer_matrix(g, wires, solver=settings["solver"], rtol=settings["rtol"])


@partial(jax.jit, static_argnames=("topology", "solver", "rtol"))
def _currents(g, v, wires, cell, *, topology, solver, rtol):
    batch = batch_of(g.shape[:-2], v.shape[:-1])
    g, v = batch.join_g(g), batch.join_v(v)
    if cell is not None:
        return batch.split(nonlinear.solve(g, v, wires.vector(g.dtype), cell, rtol, solver).currents)
    if topology == "gate_input":
        return batch.split(gate_input.currents(g, v, wires.vector(g.dtype)))
    if prefers_transfer(solver, g.shape[0], g.shape[1], g.shape[2], v.shape[1]):
        s = SOLVERS[pick_transfer(solver, *g.shape)].transfer(g, wires.vector(g.dtype), rtol)
        return batch.split(jnp.matmul(v, s, precision=lax.Precision.HIGHEST))
    return batch.split(pick_solve(solver)(g, v, wires.vector(g.dtype), rtol).currents)


@partial(jax.jit, static_argnames=("topology", "solver", "rtol"))
def _solve(g, v, wires, cell, *, topology, solver, rtol):
    batch = batch_of(g.shape[:-2], v.shape[:-1])
    g, v, ohms = batch.join_g(g), batch.join_v(v), wires.vector(g.dtype)
    if topology == "gate_input":
        solution = gate_input.solve(g, v, ohms)
    elif cell is not None:
        solution = nonlinear.solve(g, v, ohms, cell, rtol, solver)
    else:
        solution = pick_solve(solver)(g, v, ohms, rtol)
    return jax.tree.map(batch.split, solution)


@partial(jax.jit, static_argnames=("solver", "rtol"))
def _transfer_matrix(g, wires, *, solver, rtol):
    joined = g.reshape(-1, *g.shape[-2:])
    found = SOLVERS[pick_transfer(solver, *joined.shape)]
    return found.transfer(joined, wires.vector(g.dtype), rtol).reshape(g.shape)


def _prepare(g: Any, v: Any, wires: Wires, topology: str, solver: str, rtol: float | None, cell: Cell | None = None):
    """(g, v, static settings) in one precision, after refusing what is wrong and can be seen now."""
    check_solver(solver)
    if topology == "gate_input" and solver != "auto":
        raise UserError(f"solver {solver!r} does not solve topology 'gate_input'; give 'auto'.")
    g, v = check_circuit(g, v, wires, topology)
    if wires.both_ends:
        solver = with_both_ends(solver)
    if cell is not None:
        if topology != "input_source":
            raise UserError(f"topology {topology!r} knows linear cells only; leave cell None.")
        check_cell(cell, v)
        solver = pick_iterative(solver)
    if rtol is None:
        rtol = default_rtol(g.dtype)
    elif isinstance(rtol, jax.core.Tracer):
        raise UserError("rtol is traced; give a plain number, it decides which program is compiled.")
    elif not 0 < float(rtol) < 1:
        raise UserError(f"rtol is {rtol!r}; give a number between 0 and 1.")
    return g, v, {"topology": topology, "solver": solver, "rtol": float(rtol)}
