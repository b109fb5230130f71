"""Voltage mode: the rows are driven, the columns float, and the voltage a column settles at is sensed without current."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar import Wires
from imcjax.pytree import record
from imcjax.readout.base import family
from imcjax.readout.open_circuit import open_circuit_matrix, share_of_sum


@family("voltage")
@record
class Voltage:
    """V_j = sum_i g_ij v_i / sum_i g_ij, volt: the mean of the row voltages, weighted by the cells.

    A column's own conductances divide its value, so it never leaves the range of the row voltages whatever the weights; the
    digital side, which knows the targets, multiplies their sum back. A column without cells is at 0 V.
    """

    unit = "V"
    drawn = False
    noisy = False
    shows_g_min = True
    source = "W. Wan et al., A compute-in-memory chip based on resistive random-access memory, Nature 608, 504 (2022)"

    def respond(
        self, g: Float[Array, "... r c"], wires: Wires | None, solver: str, key: jax.Array | None = None
    ) -> Float[Array, "... r c"]:
        """Volt per volt on each row; with wires the exact open circuit, in which columns meet through the wordlines.

        Raises:
          UserError: a solver that knows no floating lines, or wires with far ends.
        """
        return share_of_sum(g) if wires is None else open_circuit_matrix(g, wires, solver=solver)

    def unit_per_siemens(self, g_nominal: Float[Array, "... r c"]) -> Float[Array, "... 1 c"]:
        """One over the conductance of the column's targets, 1/S; 0 for a column without any."""
        total = jnp.sum(g_nominal, -2, keepdims=True)
        return jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1), 0)

    def noise_sigma(self, g: Float[Array, "... r c"]) -> float:
        """0.0: the noise of what senses the voltage is not modelled."""
        return 0.0
