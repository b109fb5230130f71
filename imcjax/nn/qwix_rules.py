"""Rules of qwix as rules of this package: one set of rules for a quantized model, in software and on hardware."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.nn.rules import OP_NAMES, Rule


def rules_from_qwix(rules: Iterable[Any], hardware: Hardware, *, adc_bits: float | None = None) -> list[Rule]:
    """Ordered qwix rules (`qwix.QuantizationRule`) as `Rule`s on one hardware.

    module_path and op_names mean the same in both; the whole numbers of weight_qtype and act_qtype become widths. A rule that
    quantizes nothing leaves its layers digital. How qwix finds its ranges (calibration methods, static scales) is left out:
    `imcjax.calibrate` finds those of the hardware. qwix itself is not needed.

    Args:
      rules: in order of precedence; read by their attributes.
      hardware: the technology of all layers.
      adc_bits: of all layers; qwix knows no ADC.

    Raises:
      UserError: a number format that hardware does not hold (floating point), or scales by part of a matrix (tile_size), which
        the arrays decide.
    """
    found = []
    for rule in rules:
        where = f"qwix rule {rule.module_path!r}"
        if getattr(rule, "tile_size", None) is not None:
            raise UserError(f"{where} has tile_size {rule.tile_size}; arrays decide how matrices are cut, leave it out.")
        weight, act = (_bits(where, name, getattr(rule, name, None)) for name in ("weight_qtype", "act_qtype"))
        ops: tuple[str, ...] = tuple(getattr(rule, "op_names", None) or [])
        if ops and not any(name in OP_NAMES for name in ops):
            continue  # about operations that hardware does not compute
        ops = tuple(name for name in ops if name in OP_NAMES)
        if weight is None and act is None:
            found.append(Rule(rule.module_path, digital=True, op_names=ops))
            continue
        widths: dict[str, Any] = {"weight_bits": weight, "input_bits": act, "adc_bits": adc_bits}
        found.append(Rule(rule.module_path, hardware, **widths, op_names=ops))
    return found


def _bits(where: str, name: str, dtype: Any) -> int | None:
    """The width of a whole-number type, given by name or as a type: 4 for 'int4'."""
    if dtype is None:
        return None
    word = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    digits = word.removeprefix("int")
    if word == digits or not digits.isdigit():
        raise UserError(f"{where} has {name} {word!r}; hardware holds whole numbers, give int2 to int16 or leave it out.")
    return int(digits)
