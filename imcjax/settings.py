"""Settings of one layer: its bit-widths and the ranges of its converters."""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from imcjax.converters import check_range
from imcjax.errors import UserError, check_number, concrete
from imcjax.hardware import Hardware
from imcjax.pytree import number, record, static


BY_COLUMN = ("sign_magnitude", "uniform", "searched")
"""Kinds of ADC whose columns may have widths of their own."""


@record
class Settings:
    """What belongs to a layer and not to the technology. Every bit-width and range is a leaf; None takes the hardware's own.

    Attributes:
      weight_bits: sign included; None: the encoding's widest, or continuous where that is None too.
      input_bits: None: the DAC's widest, or continuous where that is None too. Signed inputs spend one bit on the sign.
      adc_bits: None: the ADC's widest, or no conversion where that is None too. A row (groups,) of widths is for groups of
        neighbouring columns, all of one size but for the last, as columns that share an ADC are.
      weight_range: largest representable |weight|; None: max|w|.
      input_range: largest representable |input|; None: max|x| of the call (dynamic: it depends on the batch).
      adc_range: ampere (volt, where the readout answers in volts) at the largest ADC code, broadcast against
        (row_tiles, phases, 1, slices, n_out); None: full scale.
      input_signed: whether inputs may be negative (static); unsigned inputs have one more bit of magnitude.
      replicas: how often the layer's arrays are there (static): so many input vectors (positions of a convolution, say) are
        computed at once, each by a copy with cells and converters of its own.
      slices, phases: compute only so many weight slices and input phases, counted from the least significant (static); None:
        as many as the widest widths take. Those above the traced widths contribute nothing, so leaving them out changes no
        result, only the time it takes.
    """

    weight_bits: Any = number(default=None, low=1, high=16)
    input_bits: Any = number(default=None, low=1, high=16)
    adc_bits: Any = number(default=None, low=2, high=24)
    weight_range: Any = number(default=None, low=0.0)
    input_range: Any = number(default=None, low=0.0)
    adc_range: Any = number(default=None, low=0.0, unit="A")
    input_signed: bool = static(default=True)
    replicas: int = static(default=1, low=1, high=4096)
    slices: int | None = static(default=None, low=1, high=16)
    phases: int | None = static(default=None, low=1, high=16)

    def replace(self, **changes: Any) -> "Settings":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def complete(settings: Settings | None, hardware: Hardware) -> Settings:
    """`settings` with the hardware's own widths and counts where it says None.

    Raises:
      UserError: a concrete width beyond what the hardware has, or a width where the stage is absent.
    """
    settings = Settings() if settings is None else settings
    widest = {
        "weight_bits": (hardware.encoding.weight_bits, min(2, hardware.encoding.weight_bits or 2), "encoding.weight_bits"),
        "input_bits": (hardware.dac.input_bits, 2 if settings.input_signed else 1, "dac.input_bits"),
        "adc_bits": (hardware.adc.bits, getattr(hardware.adc, "least", min(2, hardware.adc.bits or 2)), "adc.bits"),
    }
    filled: dict[str, Any] = {}
    for name, (most, least, source) in widest.items():
        bits = getattr(settings, name)
        if bits is None:
            filled[name] = None if most is None else float(most)
        elif most is None:
            raise UserError(f"settings.{name} is {bits}, but hardware.{source} is absent; set it or leave the width out.")
        else:
            check_number(f"settings.{name}", bits, least, most, unit="bits")
    if np.ndim(settings.adc_bits) and not (hardware.adc.kind in BY_COLUMN and hardware.adc.flaws is None):
        raise UserError(
            f"settings.adc_bits has shape {np.shape(settings.adc_bits)}, but the ADC is {hardware.adc.kind!r} or has flaws; "
            f"give one width, or an ADC without flaws of kind {' or '.join(BY_COLUMN[:2])}."
        )
    for name in ("weight_range", "input_range"):
        check_number(f"settings.{name}", getattr(settings, name), 0.0)
    check_range("settings.adc_range", settings.adc_range)
    check_number("settings.replicas", settings.replicas, 1, 4096, whole=True)
    for name, all_of_them in (("slices", hardware.encoding.slices), ("phases", hardware.dac.phases)):
        check_number(f"settings.{name}", getattr(settings, name), 1, all_of_them, whole=True)
        filled[name] = all_of_them if getattr(settings, name) is None else getattr(settings, name)
    settings = settings.replace(**filled)
    _check_counts(settings, hardware)
    return settings


def _check_counts(settings: Settings, hardware: Hardware) -> None:
    """Refuse fewer slices or phases than known bit-widths take: the digits left out would be missing from the result."""
    counts = {
        "slices": ("weight_bits", hardware.encoding.count),
        "phases": ("input_bits", partial(hardware.dac.count, signed=settings.input_signed)),
    }
    for name, (width, count_of) in counts.items():
        known, count = concrete(getattr(settings, width)), getattr(settings, name)
        needed = 1 if known is None else count_of(int(np.round(known).max()))
        if count < needed:
            raise UserError(f"settings.{name} is {count}, but {known!s} {width} take {needed}; give at least {needed}.")


def magnitude_bits(input_bits: jax.Array | float, *, signed: bool) -> jax.Array | float:
    """Bits of an input's magnitude: the sign, where there is one, is the sign of the voltage."""
    return input_bits - 1 if signed else input_bits
