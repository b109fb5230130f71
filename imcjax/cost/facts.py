"""A layer as numbers, before its widths are known: the sums over rows, and how the matrix lies on arrays."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.cost.activity import Activity
from imcjax.cost.work import Work
from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.pytree import record


@record
class Floating:
    """What columns that float add to `Facts`; tables by input width.

    Attributes:
      siemens: conductance of all cells of a group.
      volts, watts: (bits_max,) V^2 and V^2 S as in `Facts`, of the wordlines over the mean of their tile.
      settled: (bits_max,) V^2 of that mean, summed over row tiles and phases.
    """

    siemens: Any
    volts: jax.Array
    watts: jax.Array
    settled: jax.Array


@record
class Facts:
    """A layer as numbers: layers of any shape are records of one structure, so that they stack.

    Attributes:
      n_in, n_out, groups, positions, replicas: of `Work`.
      turns: products of each group that each copy computes, one after another.
      row_tiles, col_tiles, tile_rows, tile_cols: how one group lies on arrays.
      each: conversions of one position, phase and slice of one row tile.
      sign_bits, sign_phases: of the inputs: bits that are no magnitude, phases for the sign.
      volts: (bits_max,) V^2, summed over rows and phases, by input width.
      watts: (bits_max,) V^2 S, the same in the cells.
      floating: None where columns do not float.
    """

    n_in: Any
    n_out: Any
    groups: Any
    positions: Any
    replicas: Any
    turns: Any
    row_tiles: Any
    col_tiles: Any
    tile_rows: Any
    tile_cols: Any
    each: Any
    sign_bits: Any
    sign_phases: Any
    volts: jax.Array
    watts: jax.Array
    floating: Floating | None


def facts(work: Work, activity: Activity, row_conductance: Float[Array, "... n_in"], hardware: Hardware) -> Facts:
    """What the cost of a layer depends on besides its widths.

    One number a width, before interpolating: a sweep over widths then costs a few operations a design, whatever n_in is.
    """
    tiling, signed = work.tiling(hardware), work.input_signed
    return Facts(
        n_in=work.n_in,
        n_out=work.n_out,
        groups=work.groups,
        positions=work.positions,
        replicas=work.replicas,
        turns=-(-work.positions // work.replicas),
        row_tiles=tiling.row_tiles,
        col_tiles=tiling.col_tiles,
        tile_rows=tiling.tile_rows,
        tile_cols=tiling.tile_cols,
        each=hardware.encoding.conversions(work.n_out, tiling.col_tiles),
        sign_bits=1 if signed else 0,
        sign_phases=hardware.dac.sign_phases(signed=signed),
        volts=_mean_of_groups(jnp.sum(activity.volts_squared, axis=-1)),
        watts=_mean_of_groups(jnp.sum(activity.volts_squared * row_conductance[..., None, :], axis=-1)),
        floating=_floating(work, activity, row_conductance, hardware),
    )


def _floating(work: Work, activity: Activity, row_conductance: jax.Array, hardware: Hardware) -> Floating | None:
    if activity.spread is None:
        return None
    lines = hardware.encoding.rows_per_input
    # On each wordline of a tile of n lines V^2 falls by m^2 on the mean: together by n m^2.
    used = lines * np.bincount(np.arange(work.n_in) // work.tiling(hardware).tile_rows)
    tile = np.repeat(1 / used, used // lines)
    return Floating(
        siemens=jnp.mean(jnp.sum(row_conductance, axis=-1)) * lines,
        volts=_mean_of_groups(jnp.sum(activity.spread, axis=-1)),
        watts=_mean_of_groups(jnp.sum(activity.spread * row_conductance[..., None, :], axis=-1)),
        settled=_mean_of_groups(jnp.sum((activity.volts_squared - activity.spread) * tile, axis=-1)),
    )


def stack(layers: Sequence[Facts]) -> Facts:
    """Facts of many layers as one, with a leading axis.

    Raises:
      UserError: no layers.
    """
    if not layers:
        raise UserError("There is no layer on hardware, so there is nothing to stack.")
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf, dtype=float) for leaf in leaves]), *layers)


def _mean_of_groups(table: Float[Array, "... bits_max"]) -> Float[Array, " bits_max"]:
    return jnp.mean(table.reshape(-1, table.shape[-1]), axis=0)
