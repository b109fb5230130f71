"""The pipeline and the cyclic ADC: a 1.5-bit stage for each bit, or one stage that all bits pass through."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.converters.base import Bits, adc_family, midrise
from imcjax.converters.stages import Stages, draw_stages, run_stages
from imcjax.pytree import number, record, static


@adc_family("pipeline")
@record
class Pipeline:
    """A pipeline converter of 1.5-bit stages after Spear et al., IEEE JXCDC 2023: each bit has a stage of its own.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one ADC.
      c1_sigma, c2_sigma: mismatch of a stage's two capacitors, as fractions.
      parasitic_sigma: spread of the parasitic capacitance at the amplifier's input, in units of those capacitors.
      offset_sigma: offset of each comparator, as a fraction of the reference.
      gain_db: open-loop gain of the residue amplifier, decibel; None: infinite.
    """

    bits: int | None = static(default=None, low=2, high=16)
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=8.0, low=1.0, high=4096.0)
    c1_sigma: float = number(default=0.0, low=0.0, high=1.0)
    c2_sigma: float = number(default=0.0, low=0.0, high=1.0)
    parasitic_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    gain_db: float | None = number(default=None, low=0.0, high=300.0, unit="dB")

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> Stages | None:
        """One converter for each entry of `shape`; None where nothing is converted."""
        if self.bits is None:
            return None
        sigmas = (self.c1_sigma, self.c2_sigma, self.parasitic_sigma, self.offset_sigma)
        return draw_stages(shape, (self.bits - 1,), sigmas, key, dtype)

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: Stages | None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported; nothing in it is drawn for each conversion. See `AdcCircuit.convert`."""
        if self.bits is None:
            return currents
        widest = self.bits
        known = self.draw((), None, currents.dtype) if state is None else state
        assert known is not None

        def stage(number: int) -> Stages:
            c1, c2, parasitic, high, low = (
                a[..., number] for a in (known.c1, known.c2, known.parasitic, known.high, known.low)
            )
            return Stages(c1, c2, parasitic, high, low, known.last)

        return midrise(
            currents,
            bits,
            current_range,
            widest,
            self.polarity,
            lambda v, b: run_stages(v, b, widest, stage, self.gain_db),
        )


@adc_family("cyclic")
@record
class Cyclic:
    """A cyclic converter after Spear et al., IEEE JXCDC 2023: one 1.5-bit stage, which every bit passes through.

    Attributes:
      bits: the widest resolution (static); None leaves the currents unconverted.
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one ADC.
      c1_sigma, c2_sigma: mismatch of the stage's two capacitors, as fractions.
      parasitic_sigma: spread of the parasitic capacitance at the amplifier's input, in units of those capacitors.
      offset_sigma: offset of each comparator, as a fraction of the reference.
      gain_db: open-loop gain of the residue amplifier, decibel; None: infinite.
    """

    bits: int | None = static(default=None, low=2, high=16)
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=8.0, low=1.0, high=4096.0)
    c1_sigma: float = number(default=0.0, low=0.0, high=1.0)
    c2_sigma: float = number(default=0.0, low=0.0, high=1.0)
    parasitic_sigma: float = number(default=0.0, low=0.0, high=1.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    gain_db: float | None = number(default=None, low=0.0, high=300.0, unit="dB")

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> Stages | None:
        """One converter for each entry of `shape`; None where nothing is converted."""
        if self.bits is None:
            return None
        return draw_stages(shape, (), (self.c1_sigma, self.c2_sigma, self.parasitic_sigma, self.offset_sigma), key, dtype)

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: Stages | None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported; nothing in it is drawn for each conversion. See `AdcCircuit.convert`."""
        if self.bits is None:
            return currents
        widest = self.bits
        known = self.draw((), None, currents.dtype) if state is None else state
        assert known is not None
        return midrise(
            currents,
            bits,
            current_range,
            widest,
            self.polarity,
            lambda v, b: run_stages(v, b, widest, lambda _: known, self.gain_db),
        )
