"""The legal bit-widths of a chip, and the moves between them."""

from collections.abc import Sequence

import numpy as np

from imcjax.errors import UserError
from imcjax.hardware import Hardware


class BudgetError(UserError):
    """The energy budget is too small for any legal design."""


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
    wrong = (bits != np.round(bits)) | (bits < low) | (bits > high)
    if wrong.any():
        layer, kind = np.argwhere(wrong)[0]
        name = ("weight", "input", "ADC")[kind]
        raise UserError(
            f"Layer {layer} has {bits[layer, kind]:g} {name} bits; give a whole number from {low[layer, kind]:g} to "
            f"{high[layer, kind]:g}."
        )


def neighbours(bits: np.ndarray, low: np.ndarray, high: np.ndarray, step: int) -> list[np.ndarray]:
    """All designs that differ from `bits` by `step` bits in one place and are in the menu."""
    found = []
    for place in np.ndindex(bits.shape):
        moved = bits.copy()
        moved[place] += step
        if low[place] <= moved[place] <= high[place]:
            found.append(moved)
    return found


def uniform_triples(signed: Sequence[bool], hardware: Hardware) -> np.ndarray:
    """(designs, layers, 3): every design with the same weight, input and ADC bits in all layers."""
    low, high = bounds(signed, hardware)
    axes = [np.arange(low[:, k].max(), high[:, k].min() + 1) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.repeat(grid[:, None], len(signed), axis=1)
