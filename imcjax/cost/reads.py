"""What a read takes in each domain: the array's energy by the kind of readout, and what stands at the end of its columns.

Where columns float (voltage, charge) a read dissipates min over u of K sum_i g_i (v_i - u)^2 + c u^2 a column, with K the
read time (Joule's law) or the farads of one siemens (charge drawn from the drivers), and c what is grounded beside the cells.
Any u gives an upper bound, exact at the settled one. Taken is u = s m: m the mean voltage of the wordlines of a tile, s the
cells' share of the capacitance of a column, mean over the layer. Then the energy of a row factorises as in `array`:

    K sum_i G_i ((1 - s) v_i^2 + s (v_i - m)^2)

exact where all cells of a layer are alike; s is 0 for a held column and 1 for one with nothing but cells. For binary products
with probability p of being one it is C V^2 p (1 - p), the law of `domains`. Ladders of C-2C cells: `ladder`, with the same m.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from imcjax.cost import columns, domains, scaling
from imcjax.cost.ladder import ladder
from imcjax.errors import UserError
from imcjax.hardware import Hardware


class Load(NamedTuple):
    """What the rows and cells of a layer are in one inference; see `imcjax.cost.facts.Facts`.

    Attributes:
      volts, watts: V^2, and V^2 S, of the wordlines over ground, summed over rows, phases and vectors.
      spread_volts, spread_watts: the same over the mean of their tile; None where columns do not float.
      settled: V^2 of that mean, summed over bitlines, phases and vectors; None where columns do not float.
      siemens: of all cells of a group.
      line_cells: cells on the wordlines of one group, of one input.
      cells, bitlines: of one group.
    """

    volts: Any
    watts: Any
    spread_volts: Any
    spread_watts: Any
    settled: Any
    siemens: Any
    line_cells: Any
    cells: Any
    bitlines: Any


class Domain(NamedTuple):
    """What a readout costs.

    Attributes:
      array_j: joule of the cells in one inference.
      ends: what the columns end in, `columns.converted` or `columns.added`.
    """

    array_j: Callable[[Load, Hardware], jax.Array]
    ends: Callable[..., columns.Ends]

    @property
    def converts(self) -> bool:
        """Whether there are ADCs."""
        return self.ends is columns.converted


def current(load: Load, hardware: Hardware) -> jax.Array:
    """T sum V^2 G: bitlines are held at ground while the inputs are on."""
    return hardware.technology.read_time_s * load.watts


def voltage(load: Load, hardware: Hardware) -> jax.Array:
    """T sum G (V - m)^2, and bitlines charged to m: `BITLINE_F` a cell at 28 nm in proportion to the node (Wan et al. 2022)."""
    bitline_f = hardware.rows * domains.BITLINE_F * hardware.technology.node_m / scaling.NODE_M
    return hardware.technology.read_time_s * load.spread_watts + bitline_f * load.settled


def charge(load: Load, hardware: Hardware) -> jax.Array:
    """Capacitors of c_unit g / g_ref; the rest of them, where it stays connected, and c_parasitic are grounded."""
    readout = hardware.readout
    farads = readout.c_unit / readout.g_ref
    driven = farads * load.siemens
    rest = readout.constant_total * (readout.c_unit * load.cells - driven)
    share = driven / (driven + rest + readout.c_parasitic * load.bitlines)
    return farads * ((1 - share) * load.watts + share * load.spread_watts)


def c2c(load: Load, hardware: Hardware) -> jax.Array:
    """What `ladder` draws, the bits of a layer's codes being one as often as its mean code is of the largest.

    How many bits of a code are one is not known from conductances. Columns settle at what codes of the mean make of m.
    """
    readout = hardware.readout
    one = ladder(readout.bits, readout.parasitic)
    codes = 1 / (readout.g_max - readout.g_min)  # part of the largest code, a siemens above that of code zero
    mean = codes * (load.siemens - load.cells * readout.g_min) / load.cells
    squares = codes * (load.watts - load.line_cells * readout.g_min * load.volts)  # sum q v^2
    spread = codes * (load.spread_watts - load.line_cells * readout.g_min * load.spread_volts)  # sum q (v - m)^2
    products = 0.5 * (squares - spread + mean * load.line_cells * (load.volts - load.spread_volts))  # sum q v m
    grounded = load.cells * one.grounded + load.bitlines * readout.c_parasitic / readout.c_unit
    settled = one.coupled * load.cells / (one.coupled * load.cells + grounded) * mean  # u, per volt of m
    return readout.c_unit * ((one.own - one.between * mean) * squares - one.coupled * settled * products)


def sram(load: Load, hardware: Hardware) -> jax.Array:
    """Precharged bitlines: every cell of an active wordline loses its part of one, whatever it holds.

    How active wordlines are is their mean square digit over the largest: with one-bit phases the part of the bits that are one.
    """
    return domains.sram_energy_j(load.volts / hardware.dac.v_read**2, load.line_cells, hardware.technology)


READS = {
    "current": Domain(current, columns.converted),
    "voltage": Domain(voltage, columns.converted),
    "charge": Domain(charge, columns.converted),
    "c2c": Domain(c2c, columns.converted),
    "digital": Domain(sram, columns.added),
}
"""By kind of readout (`imcjax.readout.READOUTS`)."""


def domain(hardware: Hardware) -> Domain:
    """What the hardware's readout costs.

    Raises:
      UserError: a readout of which nothing is known.
    """
    kind = hardware.readout.kind
    if kind not in READS:
        raise UserError(f"hardware.readout is {kind!r}, whose cost is not modelled; give one of {', '.join(READS)}.")
    return READS[kind]
