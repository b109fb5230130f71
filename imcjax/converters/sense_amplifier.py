"""A sense amplifier: the one-bit converter of binary networks."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax.converters.base import Bits, Decide, adc_family, input_noise, unit_normals
from imcjax.converters.circuit import Circuit
from imcjax.pytree import number, record, static


@record
class SenseAmplifierState:
    """Fabricated sense amplifiers.

    Attributes:
      offset: (...) as a fraction of the reference.
    """

    offset: jax.Array


@adc_family("sense_amplifier")
@record
class SenseAmplifier(Circuit):
    """One comparison with the middle of the range: -range or +range, or 0 or range where unsigned.

    The reference, of which voltages are fractions, is twice the range where signed and the range itself where unsigned: half
    the distance between levels is half the reference.

    Attributes:
      bits: 1 (static); None leaves the currents unconverted.
      polarity: "signed" or "unsigned" (static).
      share: how many columns take turns at one amplifier.
      offset_sigma: offset as a fraction of the reference, drawn for each amplifier.
      noise_sigma: noise as a fraction of the reference, drawn for each conversion; None: absent.
    """

    bits: int | None = static(default=1, low=1, high=1)
    polarity: str = static(default="signed", options=("signed", "unsigned"))
    share: float = number(default=1.0, low=1.0, high=4096.0)
    offset_sigma: float = number(default=0.0, low=0.0, high=1.0)
    noise_sigma: float | None = number(default=None, low=0.0, high=1.0)

    def fabricate(self, widest: int, shape: tuple[int, ...], key: jax.Array | None, dtype: Any) -> SenseAmplifierState:
        """As for `Circuit`."""
        return SenseAmplifierState(self.offset_sigma * unit_normals(key, shape, (1,), dtype)[0][..., 0])

    def decisions(self, widest: int, state: SenseAmplifierState, key: jax.Array | None) -> Decide:
        """As for `Circuit`."""

        def decide(v: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
            shape = jnp.broadcast_shapes(v.shape, state.offset.shape)
            added = state.offset + input_noise(self.noise_sigma, key, shape, v.dtype)
            return (v + added > 0).astype(v.dtype), added

        return decide

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: SenseAmplifierState | None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported, whatever `bits` says; see `AdcCircuit.convert`."""
        return super().convert(currents, 1.0, current_range, state, key)
