"""Random telegraph noise: a trap beside the filament is empty or full, and the conductance has two levels.

A stationary two-state Markov process: S. Machlup, "Noise in semiconductors: spectrum of a two-parameter random signal",
J. Appl. Phys. 25, 341 (1954); in RRAM cells one such chain for each trap: F. M. Puglisi and P. Pavan, "Factorial hidden
Markov model analysis of random telegraph noise in resistive random access memories", ECTI Trans. EEC 12, 24 (2014).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from imcjax.devices.effects.draws import chosen
from imcjax.keys import fold_index
from imcjax.pytree import number, record


@record
class Telegraph:
    """Some devices have one trap; where it is full, the conductance is lower by `amplitude`.

    The mean over time is the conductance without the noise: g (1 - amplitude (full - occupancy)).

    Attributes:
      traps: part of the devices that have a trap.
      amplitude: distance of the two levels, as a fraction of the conductance.
      occupancy: probability that a trap is full.
      time_constant: 1 / (1 / mean time to capture + 1 / mean time to emission), seconds: the autocorrelation falls by e in it.
    """

    traps: float = number(default=0.0, low=0.0, high=1.0)
    amplitude: float = number(default=0.0, low=0.0, high=1.0)
    occupancy: float = number(default=0.5, low=0.0, high=1.0)
    time_constant: float = number(default=1.0, low=1e-12, high=1e12, unit="s")

    def read(self, g: jax.Array, trap: jax.Array, full: jax.Array) -> jax.Array:
        """(...) siemens of devices of `g` (...); `trap` (...) and `full` (...) are 1.0 where there is one, and it is full."""
        return g * (1 - self.amplitude * trap * (full - self.occupancy))

    def path(self, key: jax.Array, times: Sequence[Any] | jax.Array, like: jax.Array) -> list[jax.Array]:
        """For each of `times`, seconds and rising, 1.0 where a trap is full (...): one history, stationary from its start."""
        full = chosen(fold_index(key, 0), self.occupancy, like)
        found = [full]
        for i in range(1, len(times)):
            kept = jnp.exp(-(times[i] - times[i - 1]) / self.time_constant)
            full = chosen(fold_index(key, i), self.occupancy + (full - self.occupancy) * kept, like)
            found.append(full)
        return found
