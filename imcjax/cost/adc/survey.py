"""Best-case ADC of a survey: the regression of accelergy-adc-plug-in over published converters.

Andrulis, Chen, Lee, Emer, Sze, "Modeling analog-digital-converter energy and area for compute-in-memory accelerator design",
arXiv 2404.06553, over B. Murmann's survey; coefficients as in the plug-in's model file. The figure of merit is the smaller of
a speed-limited and a resolution-limited one; energy is its lowest 20 %, area its lowest 10 %. Published designs of one
resolution spread from a quarter to twenty times of the energy: calibrate with the scales.

The plug-in begins at 4 bits and its energy, as a function of real bits, has a minimum at 4.4: a search would add bits to save
energy. Here the logarithm goes on along its tangent below 4.65 bits, and below 4 bits it falls faster, towards a constant
factor a bit (`per_bit`): the energy rises with the resolution everywhere, and is 3 % below the plug-in's at 4 bits. `hard`
takes the plug-in's own numbers at whole bits from 4 up. Real bits replace its rounding up, a soft minimum its corner.
"""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.cost.adc.base import Column, family, real_bits
from imcjax.cost.validity import Ranges
from imcjax.pytree import number, record
from imcjax.technology import Technology


_DB = math.log(10) / 10
_SNDR = (1.7609, 6.0206)
_RESOLUTION_LIMIT = (128.3068287398817, 3.2205115110)
_SPEED_LIMIT = (213.7806687348118, -2.8719030399529957)
_LN_ENERGY, _NODE_POWER, _BITS_POWER = 26.0496215686518 - 1.4702022133784405, 1.8800369206815004, -2.8291256050594527
_LN_AREA, _AREA_POWERS = 1.3461916439910742, (0.9932794744745022, 0.18071538424508238, 0.29912426192653485)
_HELD, _PLUG_IN = 4.65, 4.0
_SOFT_DB = 0.25
_TANGENT = (_SNDR[1] - _RESOLUTION_LIMIT[1]) * _DB + _BITS_POWER / _HELD


@family("survey")
@record
class Survey:
    """The regression at one conversion rate.

    Attributes:
      rate_hz: conversions a second of one ADC.
      per_bit: factor of the energy per bit far below 4 bits; NeuroSim's SAR ADC from 5 to 6 bits.
      energy_scale, area_scale: calibration.
    """

    rate_hz: Any = number(default=1e9, low=1e3, high=1e12, unit="Hz")
    per_bit: Any = number(default=1.176, low=1.05, high=4.0)
    energy_scale: Any = number(default=1.0, low=1e-3, high=1e3)
    area_scale: Any = number(default=1.0, low=1e-3, high=1e3)

    ranges: ClassVar[Ranges] = {"bits": (1, 14, "bits"), "node_m": (7e-9, 180e-9, "m"), "rate_hz": (1e3, 1e10, "Hz")}
    source: ClassVar[str] = "arXiv 2404.06553 (accelergy-adc-plug-in)"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion."""
        return self._plain_j(bits, technology, hard=hard) * self.energy_scale

    def area_m2(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Square metre of one ADC."""
        node, rate, energy = _AREA_POWERS
        ln = node * _ln_nm(technology) + rate * jnp.log(self.rate_hz)
        ln += energy * (jnp.log(self._plain_j(bits, technology, hard=hard)) + math.log(1e12))
        return 1e-12 * jnp.exp(_LN_AREA + ln) * self.area_scale

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per conversion, 1 / rate_hz at any resolution."""
        return 1 / jnp.asarray(self.rate_hz, dtype=float) + 0 * real_bits(bits, hard=hard)

    def _plain_j(self, bits: jax.Array | float, technology: Technology, *, hard: bool) -> jax.Array:
        b = real_bits(bits, hard=hard)
        low = _PLUG_IN if hard else _HELD
        held = jnp.where(b < low, low, b)
        speed = _SPEED_LIMIT[0] + _SPEED_LIMIT[1] * jnp.log(self.rate_hz)
        resolution = _RESOLUTION_LIMIT[0] + _RESOLUTION_LIMIT[1] * held
        if hard:
            merit = jnp.minimum(speed, resolution)
        else:
            merit = -_SOFT_DB * jnp.logaddexp(-speed / _SOFT_DB, -resolution / _SOFT_DB)
        ln = (_SNDR[0] + _SNDR[1] * held - merit) * _DB + _BITS_POWER * jnp.log(held) + _NODE_POWER * _ln_nm(technology)
        below = jnp.where(b < _PLUG_IN, _PLUG_IN - b, 0.0)
        ln += _TANGENT * (b - held) - (jnp.log(self.per_bit) - _TANGENT) * below**2 / (1 + below)
        return 0.5e-12 * jnp.exp(_LN_ENERGY + ln)


def _ln_nm(technology: Technology) -> jax.Array:
    return jnp.log(jnp.asarray(technology.node_m, dtype=float) * 1e9)
