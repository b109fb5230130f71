"""The legal bit-widths of a chip, and the moves between them."""

from collections.abc import Sequence

import numpy as np

from imcjax.codesign.legal import BudgetError as BudgetError
from imcjax.codesign.legal import neighbours as neighbours
from imcjax.codesign.legal import require_whole
from imcjax.errors import UserError
from imcjax.hardware import Hardware


def bounds(signed: Sequence[bool], hardware: Hardware) -> tuple[np.ndarray, np.ndarray]:
    """(layers, 3) smallest and largest legal weight, input and ADC bits.

    Raises:
      UserError: hardware with a continuous stage: there are no bit-widths to choose.
    """
    widest = (hardware.encoding.weight_bits, hardware.dac.input_bits, hardware.adc.bits)
    for value, name in zip(widest, ("encoding.weight_bits", "dac.input_bits", "adc.bits"), strict=True):
        if value is None:
            raise UserError(f"Hardware {hardware.name!r} has no {name}; co-design needs a widest width there.")
    low = np.array([[2, 2 if s else 1, 2] for s in signed], dtype=float)
    return low, np.tile(np.array(widest, dtype=float), (len(signed), 1))


def require_legal(bits: np.ndarray, signed: Sequence[bool], hardware: Hardware) -> None:
    """The last check of a design: whole widths from the hardware's menu.

    Raises:
      UserError: naming the layer number and the width.
    """
    low, high = bounds(signed, hardware)
    require_whole(bits, low, high, lambda place: f"Layer {place[0]}", lambda place: ("weight ", "input ", "ADC ")[place[1]])


def uniform_triples(signed: Sequence[bool], hardware: Hardware) -> np.ndarray:
    """(designs, layers, 3): every design with the same weight, input and ADC bits in all layers."""
    low, high = bounds(signed, hardware)
    axes = [np.arange(low[:, k].max(), high[:, k].min() + 1) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.repeat(grid[:, None], len(signed), axis=1)
