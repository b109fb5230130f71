"""The wires of an array: what an ideal crossbar leaves out."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.errors import UserError, check_number
from imcjax.pytree import number, record, static


@record
class Wires:
    """Resistances of the array's wiring, in ohm; all are differentiable, and 0.0 is an ideal wire.

    Args:
      wordline: (), one segment of a wordline, between neighbouring cells.
      bitline: (), one segment of a bitline, between neighbouring cells.
      driver: (), between a voltage source and the first cell of its wordline.
      sense: (), between the last cell of a bitline and its virtual ground.
      driver_far: (), between the same voltage source and the last cell of its wordline; None: that end is open.
      sense_far: (), between the first cell of a bitline and the same virtual ground; None: that end is open.
      access: (), in series with each cell: the transistor of a 1T1R cell that is switched on. It belongs to the cell: the
        solver `ideal` leaves out all other resistances, not this one.

    With the topology `gate_input`, `wordline` is the segment of the source line and `driver` its source resistance.
    """

    wordline: Any = number(default=0.0, low=0.0, unit="ohm")
    bitline: Any = number(default=0.0, low=0.0, unit="ohm")
    driver: Any = number(default=0.0, low=0.0, unit="ohm")
    sense: Any = number(default=0.0, low=0.0, unit="ohm")
    driver_far: Any = number(default=None, low=0.0, unit="ohm")
    sense_far: Any = number(default=None, low=0.0, unit="ohm")
    access: Any = number(default=0.0, low=0.0, unit="ohm")

    @property
    def both_ends(self) -> bool:
        """Whether lines are driven or sensed at both ends (static)."""
        return self.driver_far is not None or self.sense_far is not None

    def vector(self, dtype: Any) -> Float[Array, "4"] | Float[Array, "6"]:
        """The resistances (wordline, bitline, driver, sense) in ohm as one array of the given dtype.

        With a far end, driver_far and sense_far follow, inf for the one that is open.
        """
        values = [self.wordline, self.bitline, self.driver, self.sense]
        if self.both_ends:
            values += [jnp.inf if value is None else value for value in (self.driver_far, self.sense_far)]
        return jnp.stack([jnp.asarray(value, dtype) for value in values])

    def behind_access(self, g: Float[Array, "..."]) -> Float[Array, "..."]:
        """S of linear cells of `g` siemens together with what is in series with them."""
        return g / (1 + g * jnp.asarray(self.access, g.dtype))


@record
class Wiring:
    """The wires between the cells as a solver takes them.

    Args:
      ohms: (4,) or (6,), `Wires.vector`.
      floating: None, or which wordlines (arrays, 1, rows) and which bitlines (arrays, 1, cols) have no terminal.
      paired: whether the rows 2k and 2k + 1 meet each bitline at one node.
    """

    ohms: Any
    floating: Any = None
    paired: bool = static(default=False)


def check_wires(wires: Wires) -> None:
    """Refuse resistances that are not single finite numbers >= 0.

    Raises:
      UserError: naming the field.
    """
    if not isinstance(wires, Wires):
        raise UserError(f"wires is a {type(wires).__name__}; give imcjax.crossbar.Wires(wordline, bitline, driver, sense).")
    for field in dataclasses.fields(wires):
        name, value = field.name, getattr(wires, field.name)
        if value is None:
            if field.default is None:
                continue
            raise UserError(f"wires.{name} is None, but this number cannot be absent; give 0.0 for an ideal wire.")
        check_number(f"wires.{name}", value, 0.0, unit="ohm")
        if jnp.ndim(value):
            raise UserError(
                f"wires.{name} has shape {jnp.shape(value)}; give one number and use jax.vmap over Wires for several arrays."
            )
