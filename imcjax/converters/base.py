"""What a converter circuit is to the rest of imcjax, the registries of the named ones, and the gradient that all share."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax.errors import UserError, nearest
from imcjax.families import Families
from imcjax.fast_random import normal
from imcjax.quantize import clip_through, largest_code, round_through, straight_through


State = Any
"""A pytree of arrays: what distinguishes one fabricated converter from the next. None is the nominal circuit."""

Bits = jax.Array | float


class AdcCircuit(Protocol):
    """A column ADC, from currents to the currents that its codes stand for.

    Attributes:
      bits: the widest resolution (static); None where nothing is converted.
      share: how many columns take turns at one ADC.
    """

    bits: int | None
    share: float

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> State:
        """One fabricated ADC for each entry of `shape`; without a key the nominal circuit.

        Returns:
          Leaves of shape (*shape, ...): the axes after those of `shape` are the circuit's own (capacitors, thresholds).
        """
        ...

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: State = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """The currents as the converter reports them, in steps of the nominal circuit.

        Args:
          currents: (...) ampere.
          bits: resolution, rounded to a whole number, at most the widest.
          current_range: ampere, the current of the largest code; broadcasts against `currents`.
          state: what `draw` returned, its leading axes broadcasting against `currents`; None: the nominal circuit.
          key: noise of this conversion; None: none.

        Returns:
          (...) ampere. The gradient passes where the input is within the range; where it clips it goes to the range.
        """
        ...


ADCS = Families("ADC")
"""The ADC circuits that a hardware file can name."""
adc_family = ADCS.family
DACS = Families("DAC")
"""The DAC circuits that a hardware file can name."""
dac_family = DACS.family


def unit_normals(key: jax.Array | None, shape: tuple[int, ...], sizes: tuple[int, ...], dtype: Any) -> list[jax.Array]:
    """Standard normal numbers (*shape, size) for each of `sizes`, from one draw; zeros without a key."""
    full = (*shape, sum(sizes))
    drawn = jnp.zeros(full, dtype) if key is None else normal(key, full, dtype)
    ends = np.cumsum(sizes)
    return [drawn[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


def input_noise(
    sigma: jax.Array | float | None, key: jax.Array | None, shape: tuple[int, ...], dtype: Any
) -> Float[Array, "..."]:
    """sigma N(0, 1) of `shape`; one 0 without a sigma or a key."""
    if sigma is None or key is None:
        return jnp.zeros((), dtype)
    return sigma * normal(key, shape, dtype)


def check_choice(name: str, value: str, *allowed: str) -> None:
    """Refuse a static word that is none of `allowed`.

    Raises:
      UserError: naming the field, with the nearest of the allowed words.
    """
    if value not in allowed:
        raise UserError(f"{name} is {value!r}{nearest(str(value), allowed)}.")


def whole_bits(bits: Bits, dtype: Any) -> jax.Array:
    """The bits that the hardware uses; the gradient passes straight through the rounding."""
    return round_through(jnp.asarray(bits, dtype=float)).astype(dtype)


Decide = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array | float]]


def midrise(
    currents: Float[Array, "..."], bits: Bits, current_range: jax.Array | float, widest: int, polarity: str, decide: Decide
) -> Float[Array, "..."]:
    """Conversion to 2^b equally spaced levels by a circuit's own decisions.

    The levels run from -range (polarity "signed": no code is zero) or 0 ("unsigned") to +range. A circuit sees v, the current
    as a fraction of its reference: +-1 are half a step beyond the outermost levels, and the ideal threshold between codes
    k - 1 and k is at -1 + 2k / 2^b.

    The gradient is that of the ideal quantizer (`imcjax.quantize`), judged at `currents`: 1 inside, the LSQ gradient to the
    range (Esser et al., ICLR 2020, eq. 3); and beside it the gradient of `shift`, through which flaws are differentiated.

    Args:
      currents, bits, current_range: as for `AdcCircuit.convert`.
      widest: the most bits that the circuit has.
      polarity: "signed" or "unsigned".
      decide: (v (...), b) -> codes (...), whole numbers in [0, 2^b - 1]; shift (...), in codes, by which the circuit's flaws
        move what it reports. No gradient flows through v or b.
    """
    check_choice("polarity", polarity, "signed", "unsigned")
    b = whole_bits(bits, currents.dtype)
    b = jnp.where(b > widest, widest, b)
    top = round_through(largest_code(b, signed=False)).astype(currents.dtype)  # exp2 alone is not exact everywhere
    limit = jnp.asarray(current_range, currents.dtype)
    signed = polarity == "signed"
    step = (2 if signed else 1) * limit / top
    zero_code = top / 2 if signed else 0 * top
    low = -limit if signed else jnp.zeros_like(limit)
    nonzero = step > jnp.finfo(currents.dtype).tiny
    safe = jnp.where(nonzero, step, 1)

    units = lax.stop_gradient(currents / safe)
    half = lax.stop_gradient((top + 1) / 2)
    codes, shift = decide((units if signed else units - lax.stop_gradient(top) / 2) / half, lax.stop_gradient(b))
    inside = (currents >= low) & (currents <= limit)
    smooth = clip_through(currents, low, limit) / safe + jnp.where(inside, shift, 0)
    return straight_through(codes - zero_code, jnp.broadcast_to(smooth, jnp.shape(codes))) * jnp.where(nonzero, step, 0)
