"""Sweeps of one number of the hardware over an estimate: `adc_bits=4:10`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from imcjax.cost.estimate import Estimate, again
from imcjax.cost.work import Bits
from imcjax.errors import UserError, check_number, nearest
from imcjax.hardware import Hardware
from imcjax.pytree import replace


Change = Callable[[Hardware, Bits, float], tuple[Hardware, Bits]]


def _technology(name: str, unit: float = 1.0) -> Change:
    return lambda h, b, value: (h.replace(technology=replace(h.technology, **{name: value * unit})), b)


def _adc_bits(hardware: Hardware, bits: Bits, value: float) -> tuple[Hardware, Bits]:
    check_number("adc_bits", value, 1, 14, whole=True)
    if bits.adc is None:
        raise UserError(f"hardware.readout is {hardware.readout.kind!r}, which converts nothing; sweep another number.")
    return hardware, replace(bits, adc=value)


def _input_bits(hardware: Hardware, bits: Bits, value: float) -> tuple[Hardware, Bits]:
    check_number("input_bits", value, 1, hardware.dac.input_bits, whole=True)
    return hardware, replace(bits, input=value)


SWEPT: dict[str, Change] = {
    "adc_bits": _adc_bits,
    "input_bits": _input_bits,
    "adc_share": lambda h, b, value: (h.replace(adc=replace(h.adc, share=value)), b),
    "node_nm": _technology("node_m", 1e-9),
    "supply_v": _technology("supply_v"),
    "read_time_ns": _technology("read_time_s", 1e-9),
    "cell_area_f2": _technology("cell_area_f2"),
    "adc_energy_scale": _technology("adc_energy_scale"),
    "adc_area_scale": _technology("adc_area_scale"),
    "leakage_w_m2": _technology("leakage_w_m2"),
}
"""What can be swept without measuring the model anew, and how."""


def parse(text: str) -> tuple[str, list[float]]:
    """`name=first:last`, `name=first:last:step` (both ends included) or `name=a,b,c` as (name, values).

    Raises:
      UserError: another form, an unknown name, or no value or more than a thousand.
    """
    name, equals, rest = text.partition("=")
    if name not in SWEPT:
        raise UserError(f"--sweep {text!r}: {name!r} cannot be swept{nearest(name, SWEPT)}.")
    try:
        parts = [float(part) for part in rest.split(":" if ":" in rest else ",")]
    except ValueError:
        parts = []
    if not equals or not parts or not np.isfinite(parts).all() or (":" in rest and len(parts) > 3):
        raise UserError(f"--sweep {text!r} is not name=first:last[:step] nor name=a,b,c.")
    if ":" not in rest:
        return name, parts
    first, last, step = (*parts, 1.0)[:3]
    if step <= 0 or last < first or (last - first) / step > 1000:
        raise UserError(f"--sweep {text!r} has no values, or more than a thousand; give first <= last and a positive step.")
    return name, [float(v) for v in first + step * np.arange(int((last - first) / step + 1e-9) + 1)]


def sweep(found: Estimate, name: str, values: list[float], **choices: Any) -> list[Estimate]:
    """The estimate at each value.

    Args:
      found: where the sweep starts.
      name: one of `SWEPT`.
      values: of it.
      **choices: converter and extrapolate, as for `imcjax.cost.estimate`.

    Raises:
      UserError: a value that the hardware or a model does not allow.
    """
    change = SWEPT[name]
    return [again(found, lambda h, b, value=value: change(h, b, value), **choices) for value in values]
