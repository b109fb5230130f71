"""Cost of sending an input: bit after bit, several bits at once, or as the width of a pulse.

Energies are per line and input of b bits; the charge of the wordline itself is `drivers.wordline_energy_j`. All take real
bits.

Bit-serial: one-bit drivers, b cycles. Charge: ZigZag-IMC's 50 fF a bit, charged to the supply (arXiv 2405.14978). Resistive
(R-2R or flash): power doubles with each bit, as in the table of MNSIM 2.0 (Zhu et al., IEEE TCAD 42 (2023)), from ISAAC's
one-bit driver, which takes 0.417 pJ a drive at 32 nm (as CiMLoop has it). Pulse width: one rise and one fall whatever the
input, but a time of 2^b - 1 steps.
"""

import jax
import jax.numpy as jnp

from imcjax.cost import scaling
from imcjax.technology import Technology


CHARGE_F_PER_BIT = 50e-15
DRIVE_J = 0.417e-12
"""Joule of ISAAC's one-bit driver at 32 nm."""


def serial_cycles(input_bits: jax.Array | float, dac_bits: jax.Array | float) -> jax.Array:
    """Cycles of an input, b_x / b_dac: real; whole where one divides the other."""
    return jnp.asarray(input_bits, dtype=float) / dac_bits


def charge_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule per conversion of a capacitor DAC: 50 fF b V^2 at 28 nm from the second bit on, nothing at one bit.

    ZigZag has no value between one and two bits: there the line from 0 to two bits' energy is taken.
    """
    b = jnp.asarray(bits, dtype=float)
    counted = jnp.where(b < 2, 2 * (b - 1), b)
    return CHARGE_F_PER_BIT * counted * scaling.SUPPLY_V**2 * scaling.energy(technology)


def resistive_energy_j(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Joule per conversion of a resistive DAC: 0.417 pJ 2^(b - 1) at 32 nm."""
    return DRIVE_J * jnp.exp2(jnp.asarray(bits, dtype=float) - 1) * scaling.energy(technology, node_m=32e-9)


def resistive_area_m2(bits: jax.Array | float, technology: Technology) -> jax.Array:
    """Square metre: ISAAC's 0.166 um^2 at 32 nm, doubled with each bit."""
    return 0.166e-12 * jnp.exp2(jnp.asarray(bits, dtype=float) - 1) * scaling.area(technology, node_m=32e-9)


def pulse_width_energy_j(line_f: jax.Array | float, volts: jax.Array | float) -> jax.Array:
    """Joule per input: one charge of the line, C V^2, at any number of bits.

    Args:
      line_f: capacitance of the line, farad.
      volts: amplitude of the pulse.
    """
    return jnp.asarray(line_f, dtype=float) * jnp.square(volts)


def pulse_width_time_s(bits: jax.Array | float, step_s: jax.Array | float) -> jax.Array:
    """Second per input: 2^b - 1 steps."""
    return (jnp.exp2(jnp.asarray(bits, dtype=float)) - 1) * step_s
