"""What a cost model of an ADC is to the rest, and the registry of the models."""

from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from imcjax.cost import validity
from imcjax.errors import UserError, check_record
from imcjax.families import Families
from imcjax.pytree import number, record
from imcjax.quantize import round_through
from imcjax.technology import Technology


@record
class Column:
    """What hangs on the input of an ADC; only some models ask.

    Attributes:
      rows: cells on the bitline.
      siemens: conductance of the driven cells of the column together, S.
      read_v: read voltage, V.
    """

    rows: Any = number(default=128.0, low=1)
    siemens: Any = number(default=0.0, low=0.0, unit="S")
    read_v: Any = number(default=0.5, low=1e-3, high=5.0, unit="V")


class AdcCost(Protocol):
    """Energy, area and time of one ADC. A published model that says nothing of one of them has no method for it."""

    kind: ClassVar[str]
    ranges: ClassVar[validity.Ranges]
    """Where the model holds: `bits`, and `node_m`, `rate_hz` where it depends on them."""
    source: ClassVar[str]

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion; `hard` rounds the resolution and takes the exact corners of the model."""
        ...


ADC_COSTS = Families("adc cost")
"""The models, by the name that the command line takes."""
family = ADC_COSTS.family


def check(
    model: Any, bits: Any, technology: Technology, column: Column | None = None, *, extrapolate: bool = False
) -> tuple[str, ...]:
    """Hold concrete numbers to the ranges of the model.

    Returns:
      A sentence for everything that is extrapolated.

    Raises:
      UserError: no such model, a number of it out of range, or a resolution, node or rate outside, unless `extrapolate`.
    """
    if type(model) not in ADC_COSTS.classes().values():
        known = ", ".join(sorted(found.__name__ for found in ADC_COSTS.classes().values()))
        raise UserError(f"The ADC's cost model is a {type(model).__name__}; give one of imcjax.cost.adc's {known}.")
    check_record(model, f"adc cost {model.kind}")
    if column is not None:
        check_record(column, "column")
    values = {"bits": bits, "node_m": technology.node_m, "rate_hz": getattr(model, "rate_hz", None)}
    return validity.hold(f"adc cost {model.kind}", model.ranges, extrapolate=extrapolate, **values)


def real_bits(bits: jax.Array | float, *, hard: bool) -> jax.Array:
    """The resolution as a real number, rounded where it is to be whole; the gradient passes."""
    b = jnp.asarray(bits, dtype=float)
    return round_through(b) if hard else b
