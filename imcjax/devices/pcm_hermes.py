"""Phase-change memory of the IBM HERMES Project Chip, with one or two devices a cell.

M. Le Gallo et al., "A 64-core mixed-signal in-memory compute chip based on phase-change memory for deep neural network
inference", Nature Electronics 6, 680 (2023); R. Khaddam-Aljameh et al., IEEE JSSC 57, 1027 (2022). Two devices are programmed
as in A. Vasilopoulos et al., IEEE TED (2023), and drift here as if both held the same conductance. The numbers are those of
IBM aihwkit's HermesNoiseModel.
"""

import jax
import jax.numpy as jnp

from imcjax.devices.base import family, register_preset
from imcjax.devices.pcm import Pcm
from imcjax.pytree import number, record


def drift_mean(r: jax.Array, log_r: jax.Array) -> jax.Array:
    """Mean drift exponent of targets r, with one device or two."""
    return jnp.where(r < 0.0945, jnp.clip(-0.0387 * log_r - 0.0182, 0.0720, 0.13), 0.0736 - r * (0.0126 + 0.0436 * r))


@family("pcm_hermes1")
@record
class PcmHermes1(Pcm):
    """HERMES, one device a cell: up to 10.35 uS; drift from 200 s, reads of 512 ns."""

    source = "Le Gallo et al., Nature Electronics 6, 680 (2023), one device; numbers of IBM aihwkit"
    characterised = 10.35e-6
    t0 = 200.0
    t_read = 512e-9

    g_max: float = number(default=10.35e-6, low=1e-9, high=10.35001e-6, unit="S")

    @staticmethod
    def program_sigma(r: jax.Array) -> jax.Array:
        """As for `Pcm`."""
        return 1e-6 * (0.15781817 + r * (2.32443916 + r * (-2.16310839 + 0.68841818 * r)))

    @staticmethod
    def drift_exponents(r: jax.Array, log_r: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As for `Pcm`."""
        low, high = jnp.clip(-0.0120 * log_r - 0.0023, 0.0124, 0.04), 0.0104 + r * (0.0116 - 0.0165 * r)
        return drift_mean(r, log_r), jnp.where(r < 0.3039, low, high)

    @staticmethod
    def read_q(r: jax.Array, log_r: jax.Array) -> jax.Array:
        """As for `Pcm`."""
        low, high = jnp.clip(-0.0078 * log_r + 0.0038, 0.0179, 0.04), 0.0088 + r * (0.0768 + r * (-0.1352 + 0.0664 * r))
        return jnp.where(r < 0.1591, low, high)


@family("pcm_hermes2")
@record
class PcmHermes2(Pcm):
    """HERMES, two devices a cell: up to 20.7 uS; drift from 300 s, reads of 512 ns."""

    source = "Le Gallo et al., Nature Electronics 6, 680 (2023), two devices; numbers of IBM aihwkit"
    characterised = 20.7e-6
    t0 = 300.0
    t_read = 512e-9

    g_max: float = number(default=20.7e-6, low=1e-9, high=20.70003e-6, unit="S")

    @staticmethod
    def program_sigma(r: jax.Array) -> jax.Array:
        """As for `Pcm`."""
        return 1e-6 * (0.16603222 + r * (4.71806468 + r * (-8.48101252 + 4.68961419 * r)))

    @staticmethod
    def drift_exponents(r: jax.Array, log_r: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As for `Pcm`."""
        low, high = jnp.clip(-0.0117 * log_r - 0.0057, 0.0091, 0.04), 0.0073 + r * (0.0093 - 0.0118 * r)
        return drift_mean(r, log_r), jnp.where(r < 0.3055, low, high)

    @staticmethod
    def read_q(r: jax.Array, log_r: jax.Array) -> jax.Array:
        """As for `Pcm`."""
        low, high = jnp.clip(-0.0117 * log_r - 0.0069, 0.015, 0.04), 0.0123 + r * (0.0211 + r * (-0.0280 + 0.0069 * r))
        return jnp.where(r < 0.16, low, high)


register_preset("pcm_hermes1", PcmHermes1)
register_preset("pcm_hermes2", PcmHermes2)
