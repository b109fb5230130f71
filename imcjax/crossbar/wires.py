"""The wires of an array: what an ideal crossbar leaves out."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.errors import UserError, check_number
from imcjax.pytree import number, record


@record
class Wires:
    """Resistances of the array's wiring, in ohm; all four are differentiable, and 0.0 (the default) is an ideal wire.

    Args:
      wordline: (), one segment of a wordline, between neighbouring cells.
      bitline: (), one segment of a bitline, between neighbouring cells.
      driver: (), between a voltage source and the first cell of its wordline.
      sense: (), between the last cell of a bitline and its virtual ground.

    With the topology `gate_input`, `wordline` is the segment of the source line and `driver` its source resistance.
    """

    wordline: Any = number(default=0.0, low=0.0, unit="ohm")
    bitline: Any = number(default=0.0, low=0.0, unit="ohm")
    driver: Any = number(default=0.0, low=0.0, unit="ohm")
    sense: Any = number(default=0.0, low=0.0, unit="ohm")

    def vector(self, dtype: Any) -> Float[Array, "4"]:
        """The resistances (wordline, bitline, driver, sense) in ohm as one array of the given dtype."""
        return jnp.stack([jnp.asarray(value, dtype) for value in (self.wordline, self.bitline, self.driver, self.sense)])


def check_wires(wires: Wires) -> None:
    """Refuse resistances that are not single finite numbers >= 0.

    Raises:
      UserError: naming the field.
    """
    if not isinstance(wires, Wires):
        raise UserError(f"wires is a {type(wires).__name__}; give imcjax.crossbar.Wires(wordline, bitline, driver, sense).")
    for name in ("wordline", "bitline", "driver", "sense"):
        value = getattr(wires, name)
        check_number(f"wires.{name}", value, 0.0, unit="ohm")
        if jnp.ndim(value):
            raise UserError(
                f"wires.{name} has shape {jnp.shape(value)}; give one number and use jax.vmap over Wires for several arrays."
            )
