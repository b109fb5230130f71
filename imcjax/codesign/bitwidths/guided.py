"""Constraint-guided widths (CGMQ): no gradient reaches them, a direction moves them.

The rule and what is known of its source are in `imcjax.codesign.constraints.guided`. Here are the forward pass, and gates for a
whole tensor, for groups of its columns (what shares an ADC) or for each weight.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from imcjax.codesign.bitwidths.base import RealWidths, Variables, at_width
from imcjax.errors import UserError


@dataclass(frozen=True)
class Guided(RealWidths):
    """Variables are the real widths, whose nearest whole ones the forward pass has."""

    def quantize(
        self,
        x: jax.Array,
        value_range: jax.Array,
        variables: Variables,
        *,
        signed: bool,
        key: jax.Array | None = None,
        progress: jax.Array | float = 0.0,
    ) -> jax.Array:
        """See `Method`; nothing is drawn."""
        del key, progress
        return at_width(x, value_range, lax.stop_gradient(variables), signed=signed)


def gate_shape(shape: tuple[int, ...], gates: str, columns: int = 8) -> tuple[int, ...]:
    """Shape of the gates of a tensor (..., n_out): () for "layer", one for at most `columns` columns for "group", or all.

    Raises:
      UserError: another word than these three.
    """
    if gates == "layer":
        return ()
    if gates == "group":
        return (-(-shape[-1] // columns),)
    if gates == "weight":
        return shape
    raise UserError(f"gates is {gates!r}; give 'layer', 'group' or 'weight'.")


def spread_gates(gates: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Gates in a shape that broadcasts against their tensor: groups are repeated over the columns they hold."""
    if gates.ndim == 1 and gates.shape != shape:
        return gates[_groups(shape[-1], gates.shape[0])]
    return gates


def by_gate(values: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Mean of |values| over what each gate of the given shape decides about."""
    size = jnp.abs(values)
    if shape == ():
        return jnp.mean(size)
    if len(shape) == 1 and shape != values.shape:
        each = jnp.mean(size.reshape(-1, size.shape[-1]), axis=0)
        groups = _groups(len(each), shape[0])
        return jax.ops.segment_sum(each, groups, shape[0]) / np.bincount(groups, minlength=shape[0])
    return size


def _groups(columns: int, groups: int) -> Any:
    """(columns,) the group of each column: all of one size, the last may be smaller."""
    return np.arange(columns) // -(-columns // groups)
