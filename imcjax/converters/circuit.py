"""What ADC circuits have in common that decide by themselves: which one was fabricated, and what it makes of currents."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.converters.base import Bits, Decide, State, midrise


class Circuit:
    """An `AdcCircuit` with equally spaced codes, of a record with these fields that says how it is made and how it decides."""

    bits: int | None
    polarity: str

    def fabricate(self, widest: int, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> State:
        """One circuit of `widest` bits for each entry of `shape`, the nominal one without a key."""
        raise NotImplementedError

    def decisions(self, widest: int, state: State, key: jax.Array | None) -> Decide:
        """What `midrise` asks; `key` draws the noise of a conversion."""
        raise NotImplementedError

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> Any:
        """One converter for each entry of `shape`; None where nothing is converted."""
        return None if self.bits is None else self.fabricate(self.bits, shape, key, dtype)

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: State = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported; see `AdcCircuit.convert`."""
        if self.bits is None:
            return currents
        known = self.fabricate(self.bits, (), None, currents.dtype) if state is None else state
        return midrise(currents, bits, current_range, self.bits, self.polarity, self.decisions(self.bits, known, key))
