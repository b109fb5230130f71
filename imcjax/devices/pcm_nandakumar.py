"""Phase-change memory as modelled for training and inference studies.

S. R. Nandakumar, I. Boybat, V. Joshi, C. Piveteau, M. Le Gallo, B. Rajendran, A. Sebastian and E. Eleftheriou, "Phase-change
memory models for deep learning training and inference", ICECS 2019. The numbers are those of IBM aihwkit's PCMLikeNoiseModel.
"""

import jax
import jax.numpy as jnp

from imcjax.devices.base import family, register_preset
from imcjax.devices.pcm import Pcm
from imcjax.pytree import record


@family("pcm_nandakumar")
@record
class PcmNandakumar(Pcm):
    """Phase-change memory up to 25 uS; drift from 20 s, reads of 250 ns."""

    source = "Nandakumar et al., ICECS 2019; numbers of IBM aihwkit"
    characterised = 25e-6
    t0 = 20.0
    t_read = 250e-9

    @staticmethod
    def program_sigma(r: jax.Array) -> jax.Array:
        """As for `Pcm`."""
        return 1e-6 * (0.26348 + r * (1.9650 - 1.1731 * r))

    @staticmethod
    def drift_exponents(r: jax.Array, log_r: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As for `Pcm`."""
        return jnp.clip(-0.0155 * log_r + 0.0244, 0.049, 0.1), jnp.clip(-0.0125 * log_r - 0.0059, 0.008, 0.045)

    @staticmethod
    def read_q(r: jax.Array, log_r: jax.Array) -> jax.Array:
        """As for `Pcm`: 0.0088 r^-0.65, at most 0.2."""
        return jnp.minimum(0.0088 * jnp.exp(-0.65 * log_r), 0.2)


register_preset("pcm_nandakumar", PcmNandakumar)
