"""Cells whose current is not proportional to their voltage: i(u) for a conductance g, with u the voltage across the cell.

A new kind is a record with `current`, and `step` if it bends sharply. Its current must rise with u, and is g u for small u
where there is no selector.
"""

import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax.errors import UserError, check_record, concrete
from imcjax.pytree import number, record


@record
class Sinh:
    """i = g v0 sinh(u / v0): hopping through a thin insulator, the usual form of filamentary and tunnelling cells.

    Args:
      v0: (), V; the larger, the more linear.
    """

    v0: Any = number(low=1e-3, unit="V")

    def current(self, g: Float[Array, "..."], u: Float[Array, "..."]) -> Float[Array, "..."]:
        """A, for cells of `g` siemens at `u` volts."""
        return g * self.v0 * jnp.sinh(u / self.v0)

    def step(self) -> Any:
        """The largest change of voltage (V) over which the slope says something: Newton's steps are cut to it."""
        return 2 * self.v0


@record
class Cubic:
    """i = g (u + a u^3); a = -0.25 is the cubic demonstration cell of CrossSim.

    Args:
      a: (), 1/V^2.
    """

    a: Any = number(unit="1/V^2")

    def current(self, g: Float[Array, "..."], u: Float[Array, "..."]) -> Float[Array, "..."]:
        """As for `Sinh`."""
        return g * (u * (1 + self.a * u * u))

    def step(self) -> Any:
        """As for `Sinh`: no limit."""
        return jnp.inf


@record
class Polynomial:
    """i = g (u + c_0 u^2 + c_1 u^3 + ...): a curve fitted to measurements, which may differ between the two polarities.

    Args:
      coefficients: (n,), c_k in 1/V^(k+1).
    """

    coefficients: Any = number(unit="1/V^(k+1)")

    def current(self, g: Float[Array, "..."], u: Float[Array, "..."]) -> Float[Array, "..."]:
        """As for `Sinh`."""
        coefficients = jnp.asarray(self.coefficients, jnp.result_type(u))
        return g * (u * (1 + u * jnp.polyval(coefficients[::-1], u)))

    def step(self) -> Any:
        """As for `Sinh`: no limit."""
        return jnp.inf


@record
class Selector:
    """1S1R: a resistor of g siemens in series with a selector that carries i0 sinh(u_s / v0) at u_s volts.

    The selector is what keeps half-selected cells of a passive array dark: at half the voltage it passes e^(u_s / 2 v0) times
    less. No hysteresis: threshold switches that snap back have several solutions.

    Args:
      i0: (), A.
      v0: (), V.
    """

    i0: Any = number(low=1e-30, unit="A")
    v0: Any = number(low=1e-3, unit="V")

    def current(self, g: Float[Array, "..."], u: Float[Array, "..."]) -> Float[Array, "..."]:
        """As for `Sinh`."""
        # With y = asinh(i / i0):  v0 y + (i0 / g) sinh y = u. Of two ways to i, the one that subtracts little.
        a, f = g * self.v0 / self.i0, g * u / self.i0
        y = _line_and_sinh(a, f)
        return self.i0 * jnp.where(jnp.abs(a * y) < 0.5 * jnp.abs(f), f - a * y, jnp.sinh(y))

    def step(self) -> Any:
        """As for `Sinh`: no limit, the resistor bounds the current."""
        return jnp.inf


@record
class ByConductance:
    """i = g (u + c_0 u^2 + c_1 u^3 + ...) with coefficients that are others for each conductance, as measured cells have.

    Args:
      of: a record with `nonlinearity(g)`, c (n, ...) in 1/V^(k+1) of cells of g (...) siemens, and the lowest and highest of
        these, `g_min` and `g_max`: a device of `imcjax.devices`.
    """

    of: Any

    def conductances(self, g: Float[Array, "..."]) -> Float[Array, "n ..."]:
        """What u, u^2, u^3, ... are multiplied with: A/V^(k+1)."""
        return jnp.concatenate([g[None], g * self.of.nonlinearity(g)])

    def current(self, g: Float[Array, "..."], u: Float[Array, "..."]) -> Float[Array, "..."]:
        """As for `Sinh`."""
        bent = jnp.zeros_like(g)
        for coefficient in reversed(list(self.of.nonlinearity(g))):
            bent = (bent + coefficient) * u
        return g * (u * (1 + bent))

    def step(self) -> Any:
        """As for `Sinh`: no limit."""
        return jnp.inf


Cell = Sinh | Cubic | Polynomial | Selector | ByConductance


@jax.custom_jvp
def _line_and_sinh(a: Float[Array, "..."], f: Float[Array, "..."]) -> Float[Array, "..."]:
    """The y with a y + sinh y = f, for a >= 0."""
    size = jnp.abs(f)
    # Each term alone bounds y from above, where Newton's method on this convex function comes down without overshooting.
    start = jnp.minimum(jnp.arcsinh(size), size / jnp.where(a > 0, a, 1e-30))
    y = lax.fori_loop(0, 10, lambda _, y: y - (a * y + jnp.sinh(y) - size) / (a + jnp.cosh(y)), start)
    return jnp.sign(f) * y


@_line_and_sinh.defjvp
def _slope_of_y(primals, tangents):
    (a, f), (a_dot, f_dot) = primals, tangents
    y = _line_and_sinh(a, f)
    return y, (f_dot - y * a_dot) / (a + jnp.cosh(y))


def current_and_slope(
    cell: Cell, g: Float[Array, "..."], u: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """A through cells of `g` siemens at `u` volts, and its derivative by the voltage, S."""
    return jax.jvp(lambda u: cell.current(g, u), (u,), (jnp.ones_like(u),))


@jax.jit
def _slope(cell, g, u):
    return current_and_slope(cell, *jnp.broadcast_arrays(g, u))[1]


def check_cell(cell: Any, inputs: np.ndarray | None) -> None:
    """Refuse what is not a cell, and one whose current falls somewhere between the voltages that `inputs` (V, any
    shape; None: not known) can put across it.

    Raises:
      UserError: naming the field, or the voltage where the current falls.
    """
    if not isinstance(cell, Cell):
        kinds = ", ".join(kind.__name__ for kind in typing.get_args(Cell))
        raise UserError(f"cell is {cell!r}; give None (linear) or a record of imcjax.crossbar.cells: {kinds}.")
    check_record(cell, "cell")
    leaves = jax.tree.leaves(cell)
    rank = 1 if isinstance(cell, Polynomial) else 0
    if {jnp.ndim(leaf) for leaf in leaves} != {rank}:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        raise UserError(f"cell has numbers of shapes {shapes}; give {'one array (n,)' if rank else 'single numbers'}.")
    if isinstance(cell, Selector) or inputs is None or any(concrete(leaf) is None for leaf in leaves):
        return
    some = np.linspace(cell.of.g_min, cell.of.g_max, 9) if isinstance(cell, ByConductance) else np.ones(1)
    # Every node lies between the lowest and the highest of the inputs and 0 V.
    span = max(inputs.max(), 0.0) - min(inputs.min(), 0.0)
    u = np.linspace(-span, span, 513, dtype=np.float32)
    with jax.ensure_compile_time_eval():
        falling = u[np.asarray(_slope(cell, some.astype(np.float32)[:, None], u) <= 0).any(0)]
    if falling.size:
        raise UserError(
            f"cell carries less current at more voltage near {falling[np.argmin(abs(falling))]:.3g} V, and these inputs reach "
            f"{span:.3g} V; such a circuit can have several solutions: give smaller inputs or another cell."
        )
