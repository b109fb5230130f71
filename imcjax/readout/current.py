"""Current mode: every bitline is held at virtual ground, and what flows out of it is the sum."""

import jax
from jaxtyping import Array, Float

from imcjax import crossbar
from imcjax.crossbar import Wires
from imcjax.pytree import record
from imcjax.readout.base import family


@family("current")
@record
class Current:
    """I_j = sum_i g_ij v_i, ampere; with wires what reaches the virtual ground of bitline j."""

    unit = "A"
    drawn = False
    noisy = False
    shows_g_min = True
    source = "M. Hu et al., Dot-product engine for neuromorphic computing, DAC 2016, doi 10.1145/2897937.2898010"

    def respond(
        self, g: Float[Array, "... r c"], wires: Wires | None, solver: str, key: jax.Array | None = None
    ) -> Float[Array, "... r c"]:
        """Ampere per volt on each row: `g` itself (siemens) where wires are absent."""
        return g if wires is None else crossbar.transfer_matrix(g, wires, solver=solver)

    def unit_per_siemens(self, g_nominal: Float[Array, "... r c"]) -> float:
        """1.0: ampere per volt is siemens."""
        return 1.0

    def noise_sigma(self, g: Float[Array, "... r c"]) -> float:
        """0.0: no noise of its own."""
        return 0.0
