"""Filamentary RRAM as measured on the NeuRRAM chip, with its relaxation over two days.

W. Wan et al., "A compute-in-memory chip based on resistive random-access memory", Nature 608, 504 (2022), Extended Data
Fig. 3: the standard deviation of the conductance around its write-verified target, 1 s, 1 day and 2 days after programming.
The polynomials in r = target / 40 uS are the fit of IBM aihwkit's ReRamWan2022NoiseModel.
"""

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.devices.base import check_target, check_time, family, floored, register_preset
from imcjax.errors import concrete
from imcjax.fast_random import normal
from imcjax.pytree import number, record


DAY_S = 86400.0
TIMES_S = np.array([1.0, DAY_S, 2 * DAY_S])
SIGMA_US = np.array(
    [
        [0.348, 16.030, -43.853, 45.393, -16.815],
        [0.701, 22.086, -50.773, 47.095, -16.458],
        [0.782, 20.274, -43.507, 37.062, -11.934],
    ]
)
"""Coefficients of r^0 .. r^4, microsiemens, a row for each of TIMES_S."""
G_REFERENCE = 40e-6


@record
class WanState:
    """One device's history: the target it was written to, siemens, and its normal deviate, which persists over time."""

    g_target: jax.Array
    deviate: jax.Array


@family("reram_wan2022")
@record
class ReramWan2022:
    """RRAM of the NeuRRAM chip: target-dependent spread that widens over two days (relaxation), mean unchanged.

    A device keeps its deviate: g(t) = max(0, g_target + program_scale * sigma(r, t) * N), sigma interpolated in log t between
    the measured times. Up to 1 s after programming the spread is that of 1 s; before 0 and beyond 2 days a concrete time is
    refused and a traced one gives NaN.

    Attributes:
      g_min: lowest conductance, siemens.
      g_max: highest conductance, siemens; measured up to 40 uS.
      program_scale: multiplies the measured spread; 0.0 switches it off.
      read_sigma: standard deviation of the short-term read noise, as a fraction of the conductance (about 1 %).
    """

    source = "Wan et al., Nature 608, 504 (2022), Extended Data Fig. 3; fit of IBM aihwkit"
    effects = ("programming error", "relaxation", "read noise")
    covers = (0.0, float(TIMES_S[-1]))

    g_min: float = number(default=1e-6, low=0.0, high=40e-6, unit="S")
    g_max: float = number(default=40e-6, low=1e-9, high=40.00004e-6, unit="S")
    program_scale: float = number(default=1.0, low=0.0, high=10.0)
    read_sigma: float = number(default=0.01, low=0.0, high=1.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> WanState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        if key is None:
            return WanState(g_target, jnp.zeros_like(g_target))
        return WanState(g_target, normal(key, g_target.shape, g_target.dtype))

    def read(self, state: WanState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming.

        Raises:
          UserError: for a concrete time below zero or beyond 2 days.
        """
        check_time(self, time)
        spread = self.program_scale * spread_siemens(state.g_target, time)
        g = floored(state.g_target + spread * state.deviate)
        if key is not None:
            g = g * jnp.maximum(1 + self.read_sigma * normal(key, g.shape, g.dtype), 0)
        return g


def spread_siemens(g_target: jax.Array, time: jax.Array | float) -> jax.Array:
    """(...) standard deviation around the target (...), siemens, at `time` seconds; NaN before 0 and beyond 2 days."""
    array = jnp if concrete(time) is None else np  # a known time leaves plain constants in the program
    log_time = array.log(array.where(array.asarray(time) < 0, array.nan, array.maximum(time, TIMES_S[0])))
    coefficients = [array.interp(log_time, np.log(TIMES_S), row, right=np.nan) for row in SIGMA_US.T]
    r = g_target / G_REFERENCE
    sigma = jnp.zeros_like(r)
    for coefficient in reversed(coefficients):
        sigma = sigma * r + jnp.asarray(coefficient, r.dtype)
    return sigma * 1e-6


register_preset("reram_wan2022", ReramWan2022)
