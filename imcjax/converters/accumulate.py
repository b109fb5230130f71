"""Putting the input phases together before they are converted, by sharing charge."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def share_charge(
    currents: Float[Array, "P ..."], bits: int, in_use: Float[Array, " P"]
) -> tuple[Float[Array, "..."], jax.Array]:
    """One sample of all phases, least significant first: after each phase the sum is shared with 2^bits times the capacitance.

    acc = (acc + current of the phase) / 2^bits: what comes earlier is halved more often, as in a charge-redistribution DAC.

    Args:
      currents: (P, ...) ampere, of each phase.
      bits: bits of one phase.
      in_use: (P,) 0 or 1; the phases above the input's width are neither added nor shared.

    Returns:
      (...) ampere, less than the largest current of one phase over 2^bits - 1; and its place value, 2^(bits * phases in use):
      their product is in units of digit one of the first phase, as conversions of each phase, shifted and added, would be.
    """
    acc, place = jnp.zeros_like(currents[0]), jnp.ones((), currents.dtype)
    for current, used in zip(currents, in_use, strict=True):
        acc = jnp.where(used > 0, (acc + current) / 2**bits, acc)
        place = jnp.where(used > 0, place * 2**bits, place)
    return acc, place
