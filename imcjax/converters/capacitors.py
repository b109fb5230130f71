"""The capacitor DAC inside SAR and ramp converters: levels from mismatched capacitors.

Spear, Kim, Bennett, Agarwal, Marinella and Xiao, "The Impact of Analog-to-Digital Converter Architecture and Variability on
Analog Neural Network Accuracy", IEEE JXCDC 2023, section II. The level of a code k is a sign and the magnitude |k - 2^(b-1)|,
each of whose bits switches one capacitor. Voltages are fractions of the reference.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def nominal_capacitors(widest: int, split: bool) -> np.ndarray:
    """(widest + 1,) capacitors in units of the smallest.

    Binary-weighted: 1, 2, ..., 2^(widest-1), and the feedback capacitor 2^(widest-1). Split: n = floor(widest / 2) low
    bits, 1, 2, 4, ...; then the high bits, again from 1; then the low side's terminating unit; last the bridge 2^n / (2^n - 1),
    through which the low side counts for one unit of the high side.
    """
    if not split:
        return 2.0 ** np.append(np.arange(widest), widest - 1)
    low = widest // 2
    return np.concatenate([2.0 ** np.arange(low), 2.0 ** np.arange(widest - 1 - low), [1.0, 2**low / (2**low - 1)]])


def mismatched(
    normals: Float[Array, "... capacitors"], split: bool, sigma: jax.Array | float
) -> Float[Array, "... capacitors"]:
    """(..., widest + 1) capacitors from as many standard normal numbers; `sigma`: relative mismatch of the unit.

    The absolute mismatch grows with the square root of the size.
    """
    nominal = jnp.asarray(nominal_capacitors(normals.shape[-1] - 1, split), normals.dtype)
    return nominal + sigma * jnp.sqrt(nominal) * normals


def capacitor_levels(
    capacitors: Float[Array, "... capacitors"], split: bool, gain_db: jax.Array | float | None = None
) -> Float[Array, "... levels"]:
    """(..., 2^widest) levels of a capacitor DAC, from -1 to 1 - 2 / 2^widest where nothing is amiss.

    Args:
      capacitors: (..., widest + 1) as `nominal_capacitors` orders them.
      split: whether the array is split.
      gain_db: open-loop gain of the amplifier behind it, decibel; None: infinite.
    """
    widest = capacitors.shape[-1] - 1
    offset = np.arange(2**widest) - 2 ** (widest - 1)
    digits = jnp.asarray((np.abs(offset)[:, None] >> np.arange(widest)) & 1, capacitors.dtype)  # (levels, bits)
    if split:
        low = widest // 2
        bridge, low_side = capacitors[..., -1:], capacitors[..., :low].sum(-1, keepdims=True) + capacitors[..., -2:-1]
        high_side = capacitors[..., low : widest - 1].sum(-1, keepdims=True)
        from_low = _sums(capacitors[..., :low], digits[:, :low])
        from_high = _sums(capacitors[..., low : widest - 1], digits[:, low : widest - 1])
        total = (low_side + bridge) * (high_side + bridge) - bridge**2
        magnitude = (from_low * bridge + from_high * (low_side + bridge)) / total
        magnitude = jnp.where(offset == -(2 ** (widest - 1)), 1, magnitude)  # no capacitors have the most negative level
        feedback = jnp.ones((), capacitors.dtype)
    else:
        switched = _sums(capacitors[..., :-1], digits)
        magnitude = switched / capacitors[..., -2:-1]
        feedback = capacitors[..., -1:] / (capacitors[..., -1:] + switched)
    level = jnp.asarray(np.sign(offset), capacitors.dtype) * magnitude
    if gain_db is None:
        return level
    half_step = 2.0**-widest  # the amplifier settles around the middle of a step
    loss = 1 + 1 / (10 ** (jnp.asarray(gain_db, capacitors.dtype) / 20) * feedback)
    return (level + half_step) / loss - half_step


def _sums(capacitors: jax.Array, digits: jax.Array) -> jax.Array:
    return jnp.matmul(capacitors, digits.T, precision=lax.Precision.HIGHEST)
