"""Digital mode: cells are read as digits and added by logic, so that sums are exact. The reference for the other readouts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar import Wires
from imcjax.pytree import number, record
from imcjax.quantize import clip_through, round_through
from imcjax.readout.base import family


@family("digital")
@record
class Digital:
    """Adder trees or population counts behind the cells: each cell is the nearest of its levels, wires do not matter.

    A conductance that is off by less than half a level is read without error; rounding passes gradients straight through.

    Attributes:
      g_min: conductance of digit 0, siemens.
      g_max: conductance of the largest digit, siemens.
      levels: digits of a cell, rounded to a whole number: 2 for memory that holds bits.
    """

    unit = "A"
    drawn = False
    noisy = False
    shows_g_min = False
    source = "K. Yoshioka et al., A review of SRAM-based compute-in-memory circuits, arXiv 2411.06079"

    g_min: float = number(default=0.0, low=0.0, high=1.0, unit="S")
    g_max: float = number(default=100e-6, low=1e-12, high=1.0, unit="S")
    levels: float = number(default=2.0, low=2.0, high=65536.0)

    def digits(self, g: Float[Array, "..."]) -> Float[Array, "..."]:
        """Whole numbers 0 .. levels - 1; products of whole inputs with them are exact below 2^24 in float32."""
        return nearest_digit(g, self.g_min, self.g_max, self._levels(g))

    def respond(
        self, g: Float[Array, "... r c"], wires: Wires | None, solver: str, key: jax.Array | None = None
    ) -> Float[Array, "... r c"]:
        """The conductance of each cell's digit above that of digit 0, siemens: digits in the units of the other readouts."""
        return self.digits(g) * ((self.g_max - self.g_min) / (self._levels(g) - 1))

    def unit_per_siemens(self, g_nominal: Float[Array, "... r c"]) -> float:
        """1.0: sums are in units of conductance."""
        return 1.0

    def noise_sigma(self, g: Float[Array, "... r c"]) -> float:
        """0.0: logic has no noise."""
        return 0.0

    def _levels(self, g):
        return round_through(jnp.asarray(self.levels, g.dtype))


def nearest_digit(
    g: Float[Array, "..."], g_min: jax.Array | float, g_max: jax.Array | float, levels: jax.Array | float
) -> Float[Array, "..."]:
    """The digit 0 .. levels - 1 whose conductance, evenly spaced from g_min to g_max, is nearest to `g` (...), siemens."""
    # The range is clipped in siemens: what is exactly at its end counts as inside, whatever the rounding of the quotient.
    return round_through((clip_through(g, g_min, g_max) - g_min) * ((levels - 1) / (g_max - g_min)))
