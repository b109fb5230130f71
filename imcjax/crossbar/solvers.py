"""The solvers by name. Adding one is a file with its functions and a line here."""

from collections.abc import Callable
from typing import NamedTuple

from imcjax.crossbar import exact, ideal, pade
from imcjax.errors import UserError, nearest


class Solver(NamedTuple):
    """What a method offers; all of it on arrays (arrays, rows, cols) and inputs (arrays, inputs, rows)."""

    transfer: Callable
    """(g, wires, rtol) -> S (arrays, rows, cols)."""
    solve: Callable | None = None
    """(g, v, wires, rtol) -> Solution, where the method knows the node voltages."""


SOLVERS = {
    "schur_pcg": Solver(exact.transfer, exact.solve),
    "pade": Solver(pade.transfer),
    "ideal": Solver(ideal.transfer, ideal.solve),
}

# The exact solver that `auto` stands for.
AUTO = "schur_pcg"


def check_solver(solver: str) -> None:
    """Refuse an unknown name.

    Raises:
      UserError: with the nearest known names.
    """
    if solver != "auto" and solver not in SOLVERS:
        raise UserError(f"solver {solver!r} does not exist{nearest(str(solver), ['auto', *SOLVERS])}.")


def solver_for_fields(name: str) -> Callable:
    """The `solve` of a named solver.

    Raises:
      UserError: when the method computes no node voltages.
    """
    found = SOLVERS[AUTO if name == "auto" else name].solve
    if found is None:
        able = sorted(key for key, solver in SOLVERS.items() if solver.solve)
        raise UserError(f"solver {name!r} computes no node voltages; use `currents` or `transfer_matrix`, or one of {able}.")
    return found
