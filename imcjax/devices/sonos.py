"""SONOS charge-trap memory of a 40 nm process, read in subthreshold, with its drift over five days.

V. Agrawal et al., "Subthreshold operation of SONOS analog memory to enable accurate low-power neural network inference", IEDM
2022, 21.7: Fig. 10b (mean drift), 10a (spread) and 11b (read noise), from 128 thousand cells. The coefficients are CrossSim's
fits, in nA and days.
"""

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.devices.base import check_target, elapsed, family, floored, register_preset
from imcjax.errors import UserError, concrete
from imcjax.fast_random import normal
from imcjax.pytree import number, record


DAY_S = 86400.0
LARGEST_NA = 1800.0
"""Up to here the fits of the drift hold."""

DRIFT_NA = np.zeros((6, 11))
"""Mean drift after 0 .. 5 days as a polynomial of the programmed current: a row a day, powers 0 .. 10 of nA."""
DRIFT_NA[1:] = [
    [6.83650e-01, 6.51250e-03, -4.03163e-04, 3.37944e-06, -1.87435e-08, 5.88902e-11, -1.07685e-13, 1.17751e-16, -7.60016e-20,
     2.67255e-23, -3.94954e-27],
    [6.60925e-01, 8.60627e-03, -1.72936e-04, 7.44096e-07, -5.94866e-09, 2.36734e-11, -4.83740e-14, 5.56072e-17, -3.65397e-20,
     1.28405e-23, -1.87450e-27],
    [1.15821e00, 1.96116e-02, -4.70807e-04, 3.67510e-06, -2.08786e-08, 6.59752e-11, -1.19499e-13, 1.28435e-16, -8.11574e-20,
     2.78802e-23, -4.02057e-27],
    [8.72216e-01, 1.70926e-02, -2.23370e-04, 1.57526e-06, -1.32779e-08, 5.08256e-11, -1.01251e-13, 1.14633e-16, -7.46124e-20,
     2.60559e-23, -3.78724e-27],
    [1.15294e00, 1.03149e-02, -6.05199e-05, 1.76086e-08, -6.46690e-09, 3.39044e-11, -7.53872e-14, 8.98185e-17, -6.00346e-20,
     2.12615e-23, -3.11099e-27],
]  # fmt: skip
SPREAD_NA = np.array(
    [
        [19.88665, 176.3115],
        [25.59102, 186.85544],
        [28.72753, 193.56834],
        [31.04318, 198.90332],
        [33.76214, 204.77023],
        [34.57909, 207.34309],
    ]
)
"""A and B, nA, of the spread A (1 - exp(-I / B)) after 0 .. 5 days."""
READ_NA = (12.58037, 215.36557)
"""The same of the read noise."""


def _chebyshev(row: np.ndarray) -> np.ndarray:
    # Powers up to 1800^10 cancel to a ten-thousandth of themselves, which float32 has no digits for.
    polynomial = np.polynomial.Polynomial(row)
    coefficients = polynomial.convert(domain=[0.0, LARGEST_NA], kind=np.polynomial.Chebyshev).coef
    return np.pad(coefficients, (0, len(row) - len(coefficients)))


TABLE = np.concatenate([np.stack([_chebyshev(row) for row in DRIFT_NA]), SPREAD_NA], axis=1)


@record
class SonosState:
    """One device's history: the target it was written to, siemens, and its normal deviate, which persists over time."""

    g_target: jax.Array
    deviate: jax.Array


@family("sonos")
@record
class Sonos:
    """Charge-trap memory: a spread that grows with the state and over five days, a drift of the mean, read noise.

    Its statistics are of the current I = g * v_read: I(t) = M + A (1 - exp(-M / B)) N with the mean M = I + drift(I, t), A and
    B functions of t, and at each read A_n (1 - exp(-I(t) / B_n)) N more; never below zero. What depends on time is linear
    between the days of the measurement. A device keeps its deviate. Near its end the polynomial of the drift swings by more
    than a hundred nA from day to day: take what it says above about 1.4 uA with care.

    Attributes:
      g_min: lowest conductance, siemens; the source's on/off ratio is 1e7.
      g_max: highest conductance, siemens. g_max * v_read is at most 1.8 uA, beyond which the drift was not fitted.
      v_read: drain voltage of the read, which makes the measured currents conductances, volt.
      program_scale: multiplies the spread around the mean.
      drift_scale: multiplies the drift of the mean.
      read_scale: multiplies the read noise.
    """

    source = "Agrawal et al., IEDM 2022, 21.7, Figs. 10 and 11; fits of CrossSim"
    effects = ("programming error", "drift", "growing spread", "read noise")
    covers = (0.0, 5 * DAY_S)

    g_min: float = number(default=0.0, low=0.0, high=1.0, unit="S")
    g_max: float = number(default=16e-6, low=1e-12, high=1.0, unit="S")
    v_read: float = number(default=0.1, low=1e-6, high=5.0, unit="V")
    program_scale: float = number(default=1.0, low=0.0, high=10.0)
    drift_scale: float = number(default=1.0, low=0.0, high=10.0)
    read_scale: float = number(default=1.0, low=0.0, high=10.0)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> SonosState:
        """Program devices to `g_target` (...), siemens.

        Raises:
          UserError: for a concrete target outside [g_min, g_max], or a g_max whose current is beyond the measurement.
        """
        check_target(self, g_target)
        known = [concrete(value) for value in (self.g_max, self.v_read)]
        if known[0] is not None and known[1] is not None and (known[0] * known[1] * 1e9 > LARGEST_NA * (1 + 1e-6)).any():
            raise UserError(
                f"Device sonos has g_max {known[0]!s} S read at {known[1]!s} V, but was measured up to {LARGEST_NA:g} nA; "
                "lower one of them."
            )
        if key is None:
            return SonosState(g_target, jnp.zeros_like(g_target))
        return SonosState(g_target, normal(key, g_target.shape, g_target.dtype))

    def read(self, state: SonosState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming.

        Raises:
          UserError: for a concrete time below zero or beyond five days.
        """
        days = elapsed(self, time, state.g_target.dtype) / DAY_S
        near = 1 - jnp.abs(days[..., None] - jnp.arange(6, dtype=days.dtype))
        row = jnp.sum(jnp.where(near < 0, 0, near)[..., None] * jnp.asarray(TABLE, days.dtype), axis=-2)  # (..., 13)
        per_siemens = self.v_read * 1e9
        current = state.g_target * per_siemens
        drift = self.drift_scale * clenshaw(row[..., :11], current / (LARGEST_NA / 2) - 1)
        spread = self.program_scale * saturating(floored(current + drift), row[..., 11], row[..., 12])
        g = floored(state.g_target + (drift + spread * state.deviate) / per_siemens)
        if key is None:
            return g
        noise = self.read_scale * saturating(g * per_siemens, *READ_NA) / per_siemens
        return floored(g + noise * normal(key, g.shape, g.dtype))


def saturating(current: jax.Array, a: jax.Array | float, b: jax.Array | float) -> jax.Array:
    """A (1 - exp(-I / B)), nA."""
    return -a * jnp.expm1(-current / b)


def clenshaw(coefficients: jax.Array, x: jax.Array) -> jax.Array:
    """The Chebyshev series with coefficients (..., n) at x (...) in [-1, 1]."""
    one = two = jnp.zeros_like(x)
    for k in range(coefficients.shape[-1] - 1, 0, -1):
        one, two = coefficients[..., k] + 2 * x * one - two, one
    return coefficients[..., 0] + x * one - two


register_preset("sonos", Sonos)
