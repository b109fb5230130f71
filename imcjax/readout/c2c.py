"""C-2C ladders: the bits of one weight are combined in charge, before anything is converted.

Each node of a ladder has a capacitor C to its bit's plate, which carries the row's voltage where the bit is one, else 0 V; a
capacitor 2C leads to the next node up. One more C to ground ends it below the least significant bit:

    out ---+--- 2C ---+--- 2C --- ... ---+-----+
           C          C                  C     C
        bit 1      bit 2              bit S    0 V

Seen from above every node is 2C, so each step halves what comes from below: bit s is worth 2^-s at the output. A parasitic
capacitance at the nodes takes a part of the charge at each of them, and the ratio of two neighbouring bits exceeds 2 (L. Cong,
Pseudo C-2C ladder-based data converter technique, TCAS-II 48, 927 (2001)).

Charge conservation at the nodes is a tridiagonal system. Eliminated from the far end it is a chain of capacitive dividers, each
a source u behind a capacitance, and nothing is ever subtracted.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.crossbar import Wires
from imcjax.errors import check_number
from imcjax.fast_random import normal
from imcjax.pytree import number, record, static
from imcjax.quantize import straight_through
from imcjax.readout.base import family
from imcjax.readout.charge import nonnegative, thermal_noise
from imcjax.readout.digital import nearest_digit


class Capacitors(NamedTuple):
    """The capacitors of ladders (...), in units of C, most significant bit first."""

    bits: Float[Array, "S ..."]
    links: Float[Array, "S ..."]  # from each node to the one above; the first one is not there
    end: Float[Array, "..."]


def ladder_weights(
    bits: int,
    parasitic: jax.Array | float = 0.0,
    sigma: jax.Array | float = 0.0,
    key: jax.Array | None = None,
    shape: tuple[int, ...] = (),
) -> Float[Array, "S ..."]:
    """What each bit of a C-2C ladder is worth: volt at the open output per volt on the bit, most significant first.

    Args:
      bits: S (static).
      parasitic: capacitance of each node to ground, the output included, as a fraction of C.
      sigma: standard deviation of a capacitor C, as a fraction of it; of a capacitor 2C it is sigma / sqrt(2).
      key: draws the capacitors; None: nominal ones.
      shape: (...) how many ladders, each with its own capacitors (static).

    Returns:
      (S, ...) weights: exactly 2^-1 .. 2^-S without parasitics and mismatch.

    Raises:
      UserError: numbers outside their ranges.
    """
    check_number("bits", bits, 1, 16, whole=True)
    check_number("parasitic", parasitic, 0.0)
    check_number("sigma", sigma, 0.0)
    capacitors = _capacitors(bits, sigma, key, shape, jnp.result_type(float))
    one_at_a_time = jnp.eye(bits).reshape(bits, bits, *(1 for _ in shape))
    return _output(one_at_a_time, capacitors, parasitic)[0]


@family("c2c")
@record
class C2c:
    """Cells that hold codes of `bits` bits, a C-2C ladder each, whose outputs share the column's charge.

    With u_i the output of ladder i per volt on its row, code / 2^bits if ideal, and d_i the capacitance seen into it:
    V_j = sum_i d_ij u_ij v_i / (sum_i d_ij + c_parasitic), volt. A cell is read as the nearest code; rounding passes gradients
    straight through, shared between its bits. Wires carry no current once the charge has settled, and do not matter.

    Attributes:
      bits: bits of one cell (static).
      g_min: conductance of code 0, siemens.
      g_max: conductance of the largest code, siemens.
      c_unit: capacitor C of the ladders, farad. 1 fF is a round number, not that of a chip.
      parasitic: capacitance of each node of a ladder to ground, as a fraction of C.
      sigma: standard deviation of a capacitor C, as a fraction of it; of a capacitor 2C it is sigma / sqrt(2).
      c_parasitic: capacitance of a column to ground, wires and converter, farad.
      temperature_k: kelvin.
    """

    unit = "V"
    drawn = True
    noisy = True
    shows_g_min = False
    source = (
        "H. Wang et al., A 32.2 TOPS/W SRAM compute-in-memory macro employing a linear 8-bit C-2C ladder for charge domain "
        "computation in 22nm for edge inference, VLSI Technology and Circuits 2022, doi "
        "10.1109/VLSITechnologyandCir46769.2022.9830322"
    )

    bits: int = static(default=8, low=1, high=16)
    g_min: float = number(default=0.0, low=0.0, high=1.0, unit="S")
    g_max: float = number(default=100e-6, low=1e-12, high=1.0, unit="S")
    c_unit: float = number(default=1e-15, low=1e-18, high=1e-9, unit="F")
    parasitic: float = number(default=0.0, low=0.0, high=10.0)
    sigma: float = number(default=0.0, low=0.0, high=0.3)
    c_parasitic: float = number(default=0.0, low=0.0, high=1e-6, unit="F")
    temperature_k: float = number(default=300.0, low=1.0, high=1000.0, unit="K")

    def respond(
        self, g: Float[Array, "... r c"], wires: Wires | None, solver: str, key: jax.Array | None = None
    ) -> Float[Array, "... r c"]:
        """Volt per volt on each row; `key` draws the capacitors of the chip, wires and solver do not matter."""
        capacitors = _capacitors(self.bits, self.sigma, key, () if key is None else g.shape, g.dtype)
        u, into = _output(self._split(g), capacitors, self.parasitic)
        into = jnp.broadcast_to(into, g.shape)
        return u * into / (jnp.sum(into, -2, keepdims=True) + self.c_parasitic / self.c_unit)

    def unit_per_siemens(self, g_nominal: Float[Array, "... r c"]) -> Float[Array, "... 1 c"]:
        """1/S: what a nominal ladder makes of its largest code, over the range of conductances and its share of the column."""
        u, into = self._nominal(g_nominal)
        per_row = u / (self.g_max - self.g_min) * into / (g_nominal.shape[-2] * into + self.c_parasitic / self.c_unit)
        return jnp.broadcast_to(per_row, (*g_nominal.shape[:-2], 1, g_nominal.shape[-1]))

    def noise_sigma(self, g: Float[Array, "... r c"]) -> Float[Array, "... c"]:
        """sqrt(k T / C), volt, of the nominal capacitance C seen into a column whose nodes were all reset."""
        total = g.shape[-2] * self._nominal(g)[1] + self.c_parasitic / self.c_unit
        return jnp.broadcast_to(thermal_noise(total, self.c_unit, self.temperature_k), (*g.shape[:-2], g.shape[-1]))

    def _nominal(self, g):
        """Output and capacitance of one ladder without mismatch, all bits one."""
        capacitors = _capacitors(self.bits, 0.0, None, (), g.dtype)
        return _output(jnp.ones(self.bits, g.dtype), capacitors, self.parasitic)

    def _split(self, g):
        """(bits, ...) the bits of each cell's code, most significant first."""
        codes = nearest_digit(g, self.g_min, self.g_max, 2.0**self.bits)
        places = [2.0**-s for s in reversed(range(self.bits))]
        bits = [jnp.mod(jnp.floor(codes * place), 2) for place in places]
        return jnp.stack([straight_through(bit, codes * (place / self.bits)) for bit, place in zip(bits, places, strict=True)])


def _capacitors(bits, sigma, key, shape, dtype) -> Capacitors:
    if key is None:
        one = jnp.ones((bits, *shape), dtype)
        return Capacitors(one, 2 * one, one[0])
    drawn = normal(key, (2 * bits + 1, *shape), dtype)
    one = nonnegative(1 + sigma * drawn)
    return Capacitors(one[:bits], nonnegative(2 + math.sqrt(2) * sigma * drawn[bits:-1]), one[-1])


def _output(driven, capacitors, parasitic):
    """The open output of ladders whose bit plates are at `driven` volts (S, ...), and the capacitance seen into it."""
    u, behind, total = jnp.zeros_like(capacitors.end), capacitors.end, capacitors.end
    for driver, bit, link in reversed(list(zip(driven, capacitors.bits, capacitors.links, strict=True))):
        total = bit + parasitic + behind
        u = (bit * driver + behind * u) / total
        behind = link * total / (link + total)
    return u, total
