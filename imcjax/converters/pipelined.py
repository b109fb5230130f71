"""The pipeline and the cyclic ADC: a 1.5-bit stage for each bit, or one stage that all bits pass through."""

import dataclasses
from typing import Any

import jax

from imcjax.converters.base import Decide, adc_family
from imcjax.converters.circuit import Circuit
from imcjax.converters.stages import Stages, draw_stages, run_stages
from imcjax.pytree import number, record, static


@record
class Staged(Circuit):
    """A converter of 1.5-bit stages after Spear et al., IEEE JXCDC 2023. Nothing in it is drawn for each conversion.

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

    def stages(self, widest: int) -> tuple[int, ...]:
        """The axis of stages, where there are several."""
        raise NotImplementedError

    def fabricate(self, widest: int, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> Stages:
        """As for `Circuit`."""
        sigmas = (self.c1_sigma, self.c2_sigma, self.parasitic_sigma, self.offset_sigma)
        return draw_stages(shape, self.stages(widest), sigmas, key, dtype)

    def decisions(self, widest: int, state: Stages, key: jax.Array | None) -> Decide:
        """As for `Circuit`."""
        several = bool(self.stages(widest))

        def stage(number: int) -> Stages:
            if not several:
                return state
            own = {field.name: getattr(state, field.name)[..., number] for field in dataclasses.fields(Stages)[:-1]}
            return Stages(**own, last=state.last)

        return lambda v, b: run_stages(v, b, widest, stage, self.gain_db)


@adc_family("pipeline")
@record
class Pipeline(Staged):
    """A pipeline converter: each bit has a stage of its own; the attributes are those of `Staged`."""

    def stages(self, widest: int) -> tuple[int, ...]:
        """One for each bit but the last."""
        return (widest - 1,)


@adc_family("cyclic")
@record
class Cyclic(Staged):
    """A cyclic converter: one stage, which every bit passes through; the attributes are those of `Staged`."""

    def stages(self, widest: int) -> tuple[int, ...]:
        """One for all."""
        return ()
