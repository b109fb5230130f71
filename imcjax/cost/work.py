"""What a layer asks of the hardware: the shape of its work and its bit-widths."""

import dataclasses
from typing import Any

from imcjax import layout
from imcjax.hardware import Hardware
from imcjax.mapping import Tiling
from imcjax.pytree import number, record


@dataclasses.dataclass(frozen=True)
class Work:
    """The matrix-vector products of one layer in one inference; static and hashable.

    Attributes:
      path: the layer's name.
      n_in, n_out: shape of the (unrolled) weight matrix of one group.
      groups: matrices of that shape side by side, each with inputs of its own.
      positions: products of each group in one inference: the output positions of a convolution, 1 for a Linear layer.
      input_signed: whether inputs may be negative, which takes one of their bits for the sign.
      replicas: copies of the layer's arrays, among which the positions are dealt.
    """

    path: str
    n_in: int
    n_out: int
    groups: int = 1
    positions: int = 1
    input_signed: bool = True
    replicas: int = 1

    def tiling(self, hardware: Hardware) -> Tiling:
        """How one group's matrix lies on the arrays."""
        return layout.tiling((self.n_in, self.n_out), hardware)


@record
class Bits:
    """Bit-widths of one layer, real numbers.

    Attributes:
      weight: sign included.
      input: sign included where inputs are signed.
      adc: sign included; None where nothing is converted.
    """

    weight: Any = number(low=1, high=16)
    input: Any = number(low=1, high=16)
    adc: Any = number(default=None, low=1, high=24)

    def __str__(self) -> str:
        return "/".join("-" if b is None else f"{float(b):g}" for b in (self.weight, self.input, self.adc))
