"""Cells whose current is not proportional to their voltage: i = g phi(u), with u the voltage across the cell.

phi (volts) has slope 1 at u = 0, so that g is the conductance at small voltages. A new kind is a record with `phi`, and `step`
if it bends sharply.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.errors import UserError, check_record, concrete
from imcjax.pytree import number, record


@record
class Sinh:
    """phi(u) = v0 sinh(u / v0): hopping through a thin insulator, the usual form of filamentary and tunnelling cells.

    Args:
      v0: (), V; the larger, the more linear.
    """

    v0: Any = number(low=1e-3, unit="V")

    def phi(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """Volts that a linear cell would need for the same current."""
        return self.v0 * jnp.sinh(u / self.v0)

    def step(self) -> Any:
        """The largest change of voltage (V) over which the slope says something: Newton's steps are cut to it."""
        return 2 * self.v0


@record
class Cubic:
    """phi(u) = u + a u^3; a = -0.25 is the cubic demonstration cell of CrossSim.

    Args:
      a: (), 1/V^2.
    """

    a: Any = number(unit="1/V^2")

    def phi(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """As for `Sinh`."""
        return u * (1 + self.a * u * u)

    def step(self) -> Any:
        """As for `Sinh`: no limit."""
        return jnp.inf


@record
class Polynomial:
    """phi(u) = u + c_0 u^2 + c_1 u^3 + ...: a curve fitted to measurements, which may differ between the two polarities.

    Args:
      coefficients: (n,), c_k in 1/V^(k+1).
    """

    coefficients: Any = number(unit="1/V^(k+1)")

    def phi(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """As for `Sinh`."""
        coefficients = jnp.asarray(self.coefficients, u.dtype)
        return u * (1 + u * jnp.polyval(coefficients[::-1], u))

    def step(self) -> Any:
        """As for `Sinh`: no limit."""
        return jnp.inf


Cell = Sinh | Cubic | Polynomial


def current_and_slope(
    cell: Cell, g: Float[Array, "..."], u: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """A through cells of `g` siemens at `u` volts, and its derivative by the voltage, S."""
    phi, slope = jax.jvp(cell.phi, (u,), (jnp.ones_like(u),))
    return g * phi, g * slope


@jax.jit
def _slope(cell, u):
    return current_and_slope(cell, jnp.ones(()), u)[1]


def check_cell(cell: Any, v: Float[Array, "*batch rows"]) -> None:
    """Refuse what is not a cell, and one whose current falls somewhere between the voltages that inputs `v` can put across it.

    Raises:
      UserError: naming the field, or the voltage where the current falls.
    """
    if not isinstance(cell, Cell):
        raise UserError(f"cell is {cell!r}; give None (linear) or a record Sinh, Cubic or Polynomial of imcjax.crossbar.cells.")
    check_record(cell, "cell")
    leaves, inputs = jax.tree.leaves(cell), concrete(v)
    rank = 1 if isinstance(cell, Polynomial) else 0
    if [jnp.ndim(leaf) for leaf in leaves] != [rank]:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        raise UserError(f"cell has numbers of shapes {shapes}; give one {'array (n,)' if rank else 'number'}.")
    if inputs is None or concrete(leaves[0]) is None:
        return
    # Every node lies between the lowest and the highest of the inputs and 0 V.
    span = max(inputs.max(), 0.0) - min(inputs.min(), 0.0)
    u = np.linspace(-span, span, 513, dtype=np.float32)
    with jax.ensure_compile_time_eval():
        falling = u[np.asarray(_slope(cell, u) <= 0)]
    if falling.size:
        raise UserError(
            f"cell carries less current at more voltage near {falling[np.argmin(abs(falling))]:.3g} V, and these inputs reach "
            f"{span:.3g} V; such a circuit can have several solutions: give smaller inputs or another cell."
        )
