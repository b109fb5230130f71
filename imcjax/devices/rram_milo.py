"""Filamentary HfO2 RRAM programmed to several levels by write-verify.

V. Milo et al., "Optimized programming algorithms for multilevel RRAM in hardware neural networks", IRPS 2021. Fig. 4, the
algorithm IGVVA-100: the standard deviation of the conductance around its target. Fig. 1: current-voltage curves within 0.5 V of
cells at 62.5, 76.2, 93.9 and 110 uS. The line through the one, and the polynomials through the other, are CrossSim 3.2.0's
fits; those of the curves take a cell at 225 uS to be linear, a point that was not measured.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.devices.base import check_target, disturbed, family, floored, register_preset
from imcjax.pytree import number, record, static
from imcjax.quantize import clip_through


COVERED = (50e-6, 225e-6)
"""The conductances that the fits are for, siemens; within 62.5 and 110 uS the curves were measured."""


@record
class MiloState:
    """Programmed conductances, siemens."""

    g: jax.Array


@family("rram_milo")
@record
class RramMilo:
    """RRAM from 50 to 225 uS whose programming error shrinks towards high conductance; neither drift nor read noise is known.

    With curve "measured" a cell carries i = g (u + c_0(g) u^2 + c_1(g) u^3) at u volts, up to 0.5 V: the lower its conductance
    the less linear it is, and the two polarities differ. Outside of 50 to 225 uS, where only errors take a cell, it has the
    coefficients of the nearer end. Without it (the default) i = g u.

    Attributes:
      curve: "linear" or "measured" (static).
      g_min: lowest conductance, siemens; measured from 50 uS.
      g_max: highest conductance, siemens; measured up to 225 uS.
      program_scale: multiplies the programming error.
      read_sigma: standard deviation of read noise, as a fraction of the conductance; not in the source.
    """

    source = "Milo et al., IRPS 2021, Fig. 4 (IGVVA-100); fits of CrossSim"
    effects = ("programming error", "read noise", "current-voltage curve (nonlinearity)")
    covers = None
    curve_volts = 0.5

    curve: str = static(default="linear", options=("linear", "measured"))
    g_min: float = number(default=50e-6, low=49.99995e-6, high=225e-6, unit="S")
    g_max: float = number(default=225e-6, low=50e-6, high=225.0003e-6, unit="S")
    program_scale: float = number(default=1.0, low=0.0, high=10.0)
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> MiloState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        sigma = 1e-6 * floored(4.782321 - 0.009107 * (g_target * 1e6))
        return MiloState(disturbed(g_target, self.program_scale * sigma, key))

    def read(self, state: MiloState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens. `time` changes nothing: the model has no drift."""
        return disturbed(state.g, self.read_sigma * state.g, key)

    @staticmethod
    def nonlinearity(g: Float[Array, "..."]) -> Float[Array, "2 ..."]:
        """c (1/V, 1/V^2) of the curve of cells at `g` (...), siemens; up to 0.5 V of either sign."""
        g = clip_through(g, *COVERED)
        x = jnp.log10(g)
        quadratic = 7.063e-3 + x * (5.711e-3 + x * (1.541e-3 + 1.388e-4 * x))
        cubic = 1.2968e-3 + x * (6.7919e-4 + 8.871e-5 * x)
        return jnp.stack([quadratic / g, cubic / g])


register_preset("rram_milo", RramMilo)
