"""What a circuit solve returns."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Solution(NamedTuple):
    """A solved array. All but `residual` and `iterations` are differentiable.

    A system that did not converge has NaN in every field of voltages and currents, and says why in the last two.
    """

    currents: Float[Array, "*batch cols"]
    """A, out of each bitline into its virtual ground."""
    wordline_v: Float[Array, "*batch rows cols"]
    """V, the wordline node of each cell (topology `gate_input`: its source-line node; `interleaved`: (..., 2, rows, cols)).
    What lies between it and the bitline node is the cell with its access resistance."""
    bitline_v: Float[Array, "*batch rows cols"]
    """V, the bitline node of each cell."""
    source_currents: Float[Array, "*batch sources"]
    """A, out of each voltage source into its wordline (`interleaved`: (..., 2, rows)); with topology `gate_input` (..., cols),
    into its source line."""
    residual: Float[Array, "*batch"]
    """Relative residual that was reached, in the norm in which the method stops; 0 for a direct method."""
    iterations: Int[Array, "*batch"]
    """Iterations it took, 0 for a direct method."""
