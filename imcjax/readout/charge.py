"""Charge mode: cells are switched capacitors that share one column, and its voltage is what their charges make of it.

Every cell drives the bottom plate of its capacitor with its row's voltage; the top plates of a column are one floating node,
reset to 0 V before. Charge conservation there makes the column a divider of capacitors. Once it has settled no current flows,
so the resistances of wires have no part in it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar import Wires
from imcjax.fast_random import normal
from imcjax.pytree import number, record, static
from imcjax.readout.base import family


BOLTZMANN = 1.380649e-23
"""Joule per kelvin (exact, SI)."""


@family("charge")
@record
class Charge:
    """V_j = sum_i c_ij v_i / (sum_i c_ij + c_parasitic), volt, with c_ij = c_unit g_ij / g_ref.

    With `constant_total` what a cell leaves of its unit capacitor stays on the column, with its other plate grounded, so that
    every column has the same capacitance whatever its weights. The part s of a unit capacitor has the relative spread
    sigma / sqrt(s), independent of the rest of it (the variance of a capacitance grows with its area: S. K. Gonugondla et al.,
    Fundamental limits on energy-delay-accuracy of in-memory architectures in inference applications, TCAD 2021, doi
    10.1109/TCAD.2021.3124757). A column without capacitance is at 0 V.

    Attributes:
      constant_total: 1: the rest of each unit capacitor stays connected to ground; 0: it is disconnected (static).
      c_unit: unit capacitor of a cell, farad. 1 fF is a round number, not that of a chip.
      g_ref: the conductance that stands for the whole unit capacitor, siemens: the g_max of the device.
      sigma: standard deviation of a unit capacitor, as a fraction of it.
      c_parasitic: capacitance of a column to ground, wires and converter, farad.
      temperature_k: kelvin.
    """

    unit = "V"
    drawn = True
    noisy = True
    shows_g_min = True
    source = (
        "H. Valavi et al., A 64-tile 2.4-Mb in-memory-computing CNN accelerator employing charge-domain compute, JSSC 54, 1789 "
        "(2019)"
    )

    constant_total: int = static(default=0, low=0, high=1)
    c_unit: float = number(default=1e-15, low=1e-18, high=1e-9, unit="F")
    g_ref: float = number(default=100e-6, low=1e-12, high=1.0, unit="S")
    sigma: float = number(default=0.0, low=0.0, high=1.0)
    c_parasitic: float = number(default=0.0, low=0.0, high=1e-6, unit="F")
    temperature_k: float = number(default=300.0, low=1.0, high=1000.0, unit="K")

    def respond(
        self, g: Float[Array, "... r c"], wires: Wires | None, solver: str, key: jax.Array | None = None
    ) -> Float[Array, "... r c"]:
        """Volt per volt on each row; `key` draws the capacitors of the chip, wires and solver do not matter."""
        driven, grounded = self._capacitors(g, key)
        return divide(driven, self._total(driven, grounded)[..., None, :])

    def unit_per_siemens(self, g_nominal: Float[Array, "... r c"]) -> Float[Array, "... 1 c"]:
        """The capacitance of one siemens over that of the column, 1/S; 0 for a column without any."""
        total = self._total(*self._capacitors(g_nominal, None))[..., None, :]
        return divide(jnp.ones_like(total) / self.g_ref, total)

    def noise_sigma(self, g: Float[Array, "... r c"]) -> Float[Array, "... c"]:
        """sqrt(k T / C), volt: what resetting the column leaves on its nominal capacitance C; 0 where that is 0."""
        return thermal_noise(self._total(*self._capacitors(g, None)), self.c_unit, self.temperature_k)

    def _capacitors(self, g, key):
        """What the row drives of each cell's capacitor and what is left of it, in units of c_unit."""
        size = g / self.g_ref
        rest = jnp.where(size > 1, 0, 1 - size)
        if key is None:
            return size, rest
        whole, split = normal(key, (2, *g.shape), g.dtype)
        # A Brownian bridge: variances sigma^2 size and sigma^2 rest, independent, and no more than `whole` at either end.
        between = self.sigma * split * root(size * rest)
        whole = 1 + self.sigma * whole
        return nonnegative(size * whole + between), nonnegative(rest * whole - between)

    def _total(self, driven, grounded):
        """(..., c) capacitance of each column in units of c_unit."""
        cells = driven + grounded if self.constant_total else driven
        return jnp.sum(cells, -2) + self.c_parasitic / self.c_unit


def thermal_noise(
    total: Float[Array, "..."], c_unit: jax.Array | float, temperature_k: jax.Array | float
) -> Float[Array, "..."]:
    """sqrt(k T / C), volt, of C = total * c_unit farad; 0, with gradient 0, where that is 0."""
    return root(divide(BOLTZMANN * temperature_k / c_unit * jnp.ones_like(total), total))


def divide(part: Float[Array, "..."], total: Float[Array, "..."]) -> Float[Array, "..."]:
    """part / total; 0, with gradient 0, where total is not above zero."""
    return jnp.where(total > 0, part / jnp.where(total > 0, total, 1), 0)


def nonnegative(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`x`, or 0 below that."""
    return jnp.where(x < 0, 0, x)  # not maximum, which halves the gradient of what is exactly at zero


def root(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root; 0, with gradient 0, where x is not above zero."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)
