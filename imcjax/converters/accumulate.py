"""Putting the input phases together again: after conversion by shifting and adding, or before it by sharing charge."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def digital(
    currents: Float[Array, "P ..."], place: Float[Array, " P"], convert: Callable[[jax.Array], jax.Array]
) -> Float[Array, "..."]:
    """One conversion for each phase, shifted and added.

    Args:
      currents: (P, ...) ampere, of each phase.
      place: (P,) place value of each phase's digits, zero for phases not in use.
      convert: (P, ...) ampere -> (P, ...) ampere, the ADC.

    Returns:
      (...) ampere, in units of digit one of the first phase.
    """
    found = convert(currents)
    return (found * jnp.expand_dims(place, tuple(range(1, found.ndim)))).sum(0)


def share_charge(
    currents: Float[Array, "P ..."], bits: int, in_use: Float[Array, " P"] | None = None
) -> tuple[Float[Array, "..."], jax.Array]:
    """One sample of all phases, least significant first: after each phase the sum is shared with 2^bits times the capacitance.

    acc = (acc + current of the phase) / 2^bits: what comes earlier is halved more often, as in a charge-redistribution DAC.

    Args:
      currents: (P, ...) ampere, of each phase.
      bits: bits of one phase.
      in_use: (P,) 0 or 1; the phases above the input's width are neither added nor shared. None: all are in use.

    Returns:
      (...) ampere, less than the largest current of one phase over 2^bits - 1; and its place value, 2^(bits * phases in use):
      their product is in units of digit one of the first phase, as what `digital` returns.
    """
    phases = currents.shape[0]
    used = np.ones(phases) if in_use is None else in_use
    acc, place = jnp.zeros_like(currents[0]), jnp.ones((), currents.dtype)
    for phase in range(phases):
        acc = jnp.where(used[phase] > 0, (acc + currents[phase]) / 2**bits, acc)
        place = jnp.where(used[phase] > 0, place * 2**bits, place)
    return acc, place


def analog(
    currents: Float[Array, "P ..."],
    bits: int,
    convert: Callable[[jax.Array], jax.Array],
    in_use: Float[Array, " P"] | None = None,
) -> Float[Array, "..."]:
    """One conversion of all phases together, after `share_charge`.

    Args:
      currents: (P, ...) ampere, of each phase, least significant first.
      bits: bits of one phase.
      convert: (...) ampere -> (...) ampere, the ADC; its range is that of the shared charge.
      in_use: (P,) 0 or 1; None: all phases are in use.

    Returns:
      (...) ampere, in units of digit one of the first phase.
    """
    acc, place = share_charge(currents, bits, in_use)
    return convert(acc) * place
