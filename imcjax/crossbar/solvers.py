"""The solvers by name. Adding one is a file with its functions and a line here."""

from collections.abc import Callable
from typing import NamedTuple

from imcjax.crossbar import exact, ideal, pade, port_merge
from imcjax.crossbar.wires import Wires
from imcjax.errors import UserError, nearest


class Solver(NamedTuple):
    """What a method offers: all of it on arrays (arrays, rows, cols), and on `Sources` of (arrays, inputs, lines)."""

    transfer: Callable
    """(g, wiring, rtol) -> S (arrays, rows, cols)."""
    solve: Callable | None = None
    """(g, sources, wiring, rtol) -> Solution, where the method knows the node voltages."""
    knows: frozenset[str] = frozenset()
    """Which of `FEATURES` the method can have."""


FEATURES = {
    "both_ends": "driver_far or sense_far in wires; leave them None",
    "interleaved": "interleaved pairs; give topology 'input_source'",
    "bitline_v": "voltages at the bitlines; leave bitline_v None",
    "floating": "floating lines; leave floating_wordlines and floating_bitlines None",
    "nonlinear": "nonlinear cells; leave cell None",
}
"""What an array may have beyond linear cells between lines with a driver or a sense end each, and what to do without it."""

SOLVERS = {
    "schur_pcg": Solver(
        exact.transferrer("schur_pcg"),
        exact.solver("schur_pcg"),
        frozenset({"interleaved", "bitline_v", "floating", "nonlinear"}),
    ),
    "dense_cg": Solver(
        exact.transferrer("dense_cg"),
        exact.solver("dense_cg"),
        frozenset({"both_ends", "interleaved", "bitline_v", "nonlinear"}),
    ),
    "port_merge": Solver(port_merge.transfer),
    "pade": Solver(pade.transfer, knows=frozenset({"both_ends", "interleaved"})),
    "ideal": Solver(ideal.transfer, ideal.solve, frozenset({"both_ends", "interleaved", "bitline_v"})),
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


def pick_repeated(solver: str, wires: Wires, rows: int, cols: int) -> str:
    """The name behind `auto` for transfer matrices of many calls: they repay a longer compilation."""
    return "port_merge" if solver == "auto" and min(rows, cols) >= 64 and not wires.both_ends else solver


def prefers_transfer(solver: str, arrays: int, rows: int, cols: int, inputs: int) -> bool:
    """Whether so many inputs of each array are better served by its transfer matrix than one by one."""
    name = pick_transfer(solver, arrays, rows, cols)
    return (SOLVERS[name].solve is None and solver != "auto") or inputs >= min(rows, cols) // (2 if name == "port_merge" else 1)


def check_solver(solver: str) -> None:
    """Refuse an unknown name.

    Raises:
      UserError: with the nearest known names.
    """
    if solver != "auto" and (not isinstance(solver, str) or solver not in SOLVERS):
        raise UserError(f"solver {solver!r} does not exist{nearest(str(solver), ['auto', *SOLVERS])}.")


def pick_able(solver: str, needed: set[str]) -> str:
    """A solver that knows all that is `needed` of `FEATURES`; `auto` stays where everything will do, else it is exact.

    Raises:
      UserError: when the named method misses something.
    """
    if not needed:
        return solver
    candidates = [exact.preferred(), *exact.METHODS] if solver == "auto" else [solver]
    able = [name for name in candidates if needed <= SOLVERS[name].knows]
    if able:
        return able[0]
    able = sorted(name for name, one in SOLVERS.items() if needed <= one.knows)
    missing = FEATURES[min(needed - SOLVERS[solver].knows)]
    raise UserError(f"solver {solver!r} knows no {missing}, or use one of {able}.")


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
