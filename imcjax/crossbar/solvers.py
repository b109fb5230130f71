"""The solvers by name. Adding one is a file with its functions and a line here."""

from collections.abc import Callable
from typing import NamedTuple

from imcjax.crossbar import exact, ideal, pade, port_merge
from imcjax.errors import UserError, nearest


class Solver(NamedTuple):
    """What a method offers; all of it on arrays (arrays, rows, cols) and inputs (arrays, inputs, rows)."""

    transfer: Callable
    """(g, wires, rtol) -> S (arrays, rows, cols)."""
    solve: Callable | None = None
    """(g, v, wires, rtol) -> Solution, where the method knows the node voltages."""
    both_ends: bool = False
    """Whether the method knows lines that are driven or sensed at both ends."""


SOLVERS = {
    "schur_pcg": Solver(exact.transferrer("schur_pcg"), exact.solver("schur_pcg")),
    "dense_cg": Solver(exact.transferrer("dense_cg"), exact.solver("dense_cg"), both_ends=True),
    "port_merge": Solver(port_merge.transfer),
    "pade": Solver(pade.transfer, both_ends=True),
    "ideal": Solver(ideal.transfer, ideal.solve, both_ends=True),
}

# Arrays x rows x cols x the shorter side from which a single call repays `port_merge`'s longer compilation: on two CPU cores
# 128 arrays of 128 x 128 took 2 s instead of 8 s, and compiling several seconds longer.
_MERGE_FROM = 2**28


def pick_transfer(solver: str, arrays: int, rows: int, cols: int) -> str:
    """The name behind `auto` for a transfer matrix: exact, and the fastest to compile and run once that was measured."""
    if solver != "auto":
        return solver
    padded = 2 ** ((rows - 1).bit_length() + (cols - 1).bit_length())
    large = arrays * rows * cols * min(rows, cols) >= _MERGE_FROM
    return "port_merge" if large and min(rows, cols) >= 32 and padded <= 2 * rows * cols else exact.preferred()


def pick_repeated(solver: str, rows: int, cols: int) -> str:
    """The name behind `auto` for transfer matrices of many calls: they repay a longer compilation."""
    return "port_merge" if solver == "auto" and min(rows, cols) >= 64 else solver


def prefers_transfer(solver: str, arrays: int, rows: int, cols: int, inputs: int) -> bool:
    """Whether so many inputs of each array are better served by its transfer matrix than one by one."""
    name = pick_transfer(solver, arrays, rows, cols)
    return (SOLVERS[name].solve is None and solver != "auto") or inputs >= min(rows, cols) // (2 if name == "port_merge" else 1)


def check_solver(solver: str) -> None:
    """Refuse an unknown name.

    Raises:
      UserError: with the nearest known names.
    """
    if solver != "auto" and solver not in SOLVERS:
        raise UserError(f"solver {solver!r} does not exist{nearest(str(solver), ['auto', *SOLVERS])}.")


def with_both_ends(solver: str) -> str:
    """The solver for lines that are driven or sensed at both ends; `auto` is the exact one.

    Raises:
      UserError: when the method knows one end only.
    """
    if solver == "auto":
        return "dense_cg"
    if not SOLVERS[solver].both_ends:
        able = sorted(name for name, one in SOLVERS.items() if one.both_ends)
        raise UserError(
            f"solver {solver!r} knows no driver_far and no sense_far in wires; leave them None, or use one of {able}."
        )
    return solver


def pick_iterative(solver: str) -> str:
    """The solver inside Newton's method, for nonlinear cells.

    Raises:
      UserError: when the method knows linear cells only.
    """
    if solver == "auto":
        return exact.preferred()
    if solver not in exact.RUNS:
        raise UserError(f"solver {solver!r} knows linear cells only; leave cell None, or use one of {sorted(exact.RUNS)}.")
    return solver


def pick_solve(solver: str) -> Callable:
    """The `solve` of a named solver.

    Raises:
      UserError: when the method computes no node voltages.
    """
    found = SOLVERS[exact.preferred() if solver == "auto" else solver].solve
    if found is None:
        able = sorted(name for name, one in SOLVERS.items() if one.solve)
        raise UserError(f"solver {solver!r} computes no node voltages; use `currents` or `transfer_matrix`, or one of {able}.")
    return found
