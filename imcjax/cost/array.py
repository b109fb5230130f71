"""Cost of the memory arrays: what the cells dissipate while they are read, and their area.

The read energy is that of the data: T sum_v sum_i sum_j V_vi^2 G_ij over vectors v, rows i and columns j. Where conductances do
not depend on the input it factorises without approximation, T sum_i (sum_v V_vi^2) (sum_j G_ij): two vectors instead of three
loops. Wire resistance, which lowers the currents, is left out, so this is an upper bound. The current flows for
`Technology.read_time_s` in each phase; a sample-and-hold keeps the result for the ADC.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.technology import Technology


def energy_j(
    volts_squared: Float[Array, "... n_in"], row_conductance: Float[Array, "... n_in"], technology: Technology
) -> Float[Array, "..."]:
    """Joule of one input vector.

    Args:
      volts_squared: (..., n_in) sum over phases of V^2 on each row, V^2.
      row_conductance: (..., n_in) sum over the cells of each row, siemens.
      technology: read time.
    """
    return technology.read_time_s * jnp.sum(volts_squared * row_conductance, axis=-1)


def area_m2(rows: int, cols: int, technology: Technology) -> jax.Array | float:
    """Square metre of one array's cells, used or not."""
    return rows * cols * technology.cell_area_f2 * technology.node_m**2
