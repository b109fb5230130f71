"""What a readout is to the rest of imcjax, and the registry of the families."""

from typing import Any, ClassVar, Protocol

import jax
from jaxtyping import Array, Float

from imcjax.crossbar import Wires
from imcjax.errors import UserError, check_record, concrete
from imcjax.families import Families


class Readout(Protocol):
    """What a column answers with, given the cells (r, c) of an array: rows are inputs, columns are outputs.

    Every readout is linear in the row voltages for given cells: column values = v @ respond(g, ...).
    """

    unit: ClassVar[str]
    """Of the column value: "A" or "V"."""
    drawn: ClassVar[bool]
    """Whether parts of it differ from chip to chip."""
    noisy: ClassVar[bool]
    """Whether column values have thermal noise."""
    shows_g_min: ClassVar[bool]
    """Whether a cell of digit zero adds to the column what its lowest conductance does."""
    source: ClassVar[str]
    """The publication that the model follows."""

    def respond(
        self, g: Float[Array, "... r c"], wires: Wires | None, solver: str, key: jax.Array | None = None
    ) -> Float[Array, "... r c"]:
        """Column value per volt on each row.

        Args:
          g: (..., r, c) cells as they are read, siemens.
          wires: resistances of the array's wires; None: none.
          solver: how they are accounted for, a name of `imcjax.crossbar.SOLVERS` or "auto".
          key: what the chip's own parts of the readout are drawn from; None: nominal ones.
        """
        ...

    def unit_per_siemens(self, g_nominal: Float[Array, "... r c"]) -> Float[Array, "... 1 c"] | float:
        """Column value per volt on a row for one siemens of weight there, as the digital side knows it.

        Args:
          g_nominal: (..., r, c) the noise-free targets of the cells, siemens.
        """
        ...

    def noise_sigma(self, g: Float[Array, "... r c"]) -> Float[Array, "... c"] | float:
        """Standard deviation of the thermal noise of one column value, in its unit; 0.0 where there is none."""
        ...


READOUTS = Families("readout")
"""The readouts that a hardware file can name."""
family = READOUTS.family


def check(readout: Any, path: str = "readout") -> None:
    """Refuse a readout whose concrete numbers are outside their ranges.

    Raises:
      UserError: naming the field below `path`, its value and what is allowed.
    """
    if type(readout) not in READOUTS.classes().values():
        known = ", ".join(sorted(found.__name__ for found in READOUTS.classes().values()))
        raise UserError(f"{path} is a {type(readout).__name__}; give one of imcjax.readout's {known}.")
    check_record(readout, path)
    g_min, g_max = (concrete(getattr(readout, name, None)) for name in ("g_min", "g_max"))
    if g_min is not None and g_max is not None and (g_min >= g_max).any():
        raise UserError(f"{path}.g_min is {g_min!s} S and g_max {g_max!s} S; g_min must be below g_max.")
