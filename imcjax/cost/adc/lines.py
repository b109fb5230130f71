"""ADCs by a figure of merit, and the sense amplifier: the lines into which surveys put converters.

Walden: a conversion takes FoM 2^ENOB, twice a bit. Schreier: FoM = SNDR + 10 log10(f_s / 2 / P), so that a conversion takes
0.5 10^((SNDR - FoM) / 10), four times a bit, as thermal noise has it; SNDR = 6.0206 ENOB + 1.7609 dB. Neither says anything of
node and area. The figure of merit has no default: take it from the converter that is meant (R. Walden, IEEE JSAC 17 (1999);
R. Schreier, G. Temes, "Understanding Delta-Sigma Data Converters", 2005).
"""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imcjax.cost.adc.base import Column, family, real_bits
from imcjax.cost.validity import Ranges
from imcjax.pytree import number, record
from imcjax.technology import Technology


@family("walden")
@record
class Walden:
    """E = fom_j 2^b.

    Attributes:
      fom_j: joule per conversion step.
      rate_hz: conversions a second.
    """

    fom_j: Any = number(low=1e-18, high=1e-6, unit="J")
    rate_hz: Any = number(default=1e9, low=1e3, high=1e12, unit="Hz")

    ranges: ClassVar[Ranges] = {"bits": (1, 24, "bits")}
    source: ClassVar[str] = "Walden, IEEE JSAC 17 (1999)"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion."""
        return self.fom_j * jnp.exp2(real_bits(bits, hard=hard))

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per conversion, 1 / rate_hz."""
        return 1 / jnp.asarray(self.rate_hz, dtype=float) + 0 * real_bits(bits, hard=hard)


@family("schreier")
@record
class Schreier:
    """E = 0.5 10^((SNDR(b) - fom_db) / 10).

    Attributes:
      fom_db: dB (of J^-1).
      rate_hz: conversions a second.
    """

    fom_db: Any = number(low=50.0, high=250.0, unit="dB")
    rate_hz: Any = number(default=1e9, low=1e3, high=1e12, unit="Hz")

    ranges: ClassVar[Ranges] = {"bits": (1, 24, "bits")}
    source: ClassVar[str] = "Schreier and Temes (2005)"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per conversion."""
        sndr = 6.0206 * real_bits(bits, hard=hard) + 1.7609
        return 0.5 * jnp.exp((sndr - self.fom_db) * (math.log(10) / 10))

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per conversion, 1 / rate_hz."""
        return 1 / jnp.asarray(self.rate_hz, dtype=float) + 0 * real_bits(bits, hard=hard)


@family("sense_amplifier")
@record
class SenseAmplifier:
    """One comparison, one bit.

    Attributes:
      decision_j: joule per decision; published ones take 1 fJ to 10 fJ in scaled nodes.
      decision_s: second per decision.
      each_m2: area of one, square metre; 0.0: not counted.
    """

    decision_j: Any = number(low=1e-18, high=1e-9, unit="J")
    decision_s: Any = number(default=1e-9, low=1e-13, high=1.0, unit="s")
    each_m2: Any = number(default=0.0, low=0.0, high=1e-6, unit="m^2")

    ranges: ClassVar[Ranges] = {"bits": (1, 1, "bits")}
    source: ClassVar[str] = "measured: give your own"

    def energy_j(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Joule per decision."""
        return self.decision_j + 0 * real_bits(bits, hard=hard)

    def area_m2(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Square metre of one."""
        return self.each_m2 + 0 * real_bits(bits, hard=hard)

    def time_s(
        self, bits: jax.Array | float, technology: Technology, column: Column | None = None, *, hard: bool = False
    ) -> jax.Array:
        """Second per decision."""
        return self.decision_s + 0 * real_bits(bits, hard=hard)
