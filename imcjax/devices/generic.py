"""A generic cell: finite on/off ratio, programming and read errors of freely chosen size and kind, levels if wanted."""

import jax

from imcjax.devices.base import check_target, family, register_preset, snap
from imcjax.devices.spread import DISTRIBUTIONS, LAWS, spread
from imcjax.pytree import number, record, static


@record
class GenericState:
    """Programmed conductances, siemens."""

    g: jax.Array


@family("generic")
@record
class Generic:
    """A cell between g_min and g_max with errors of freely chosen size; without drift.

    By default programming adds program_sigma * g_max * N(0, 1), the same for every target, and a read adds
    read_sigma * g * N(0, 1). A conductance never falls below zero. With both sigmas 0.0 (the default) it is the ideal cell.

    The laws are those of CrossSim's generic devices: "independent" errors have the size sigma * g_max, "proportional" ones
    sigma * g, "inverse" ones sigma * g_max^2 / g. Distributions are "normal", "uniform" (sigma is its standard deviation, where
    CrossSim gives the full width, sqrt(12) times as much) and "lognormal" (sigma g_max/g, sigma or sigma (g_max/g)^2 is the
    standard deviation of ln g; the mean stays).

    Attributes:
      g_min: lowest conductance, siemens; 0.0 is an infinite on/off ratio.
      g_max: highest conductance, siemens.
      program_sigma: size of the programming error, relative to what program_law says.
      read_sigma: size of the read noise, relative to what read_law says.
      program_law, read_law: how the size depends on the conductance (static).
      program_distribution, read_distribution: of the deviates (static).
      levels: how many evenly spaced conductances can be aimed at (static); None: any.
    """

    source = "freely chosen numbers; the laws are those of CrossSim's generic devices"
    effects = ("programming error", "read noise", "levels")
    covers = None

    g_min: float = number(default=1e-6, low=0.0, high=1.0, unit="S")
    g_max: float = number(default=100e-6, low=1e-12, high=1.0, unit="S")
    program_sigma: float = number(default=0.0, low=0.0, high=1.0)
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)
    program_law: str = static(default="independent", options=tuple(LAWS))
    read_law: str = static(default="proportional", options=tuple(LAWS))
    program_distribution: str = static(default="normal", options=DISTRIBUTIONS)
    read_distribution: str = static(default="normal", options=DISTRIBUTIONS)
    levels: int | None = static(default=None, low=2, high=65536)

    def program(self, g_target: jax.Array, key: jax.Array | None) -> GenericState:
        """Program devices to `g_target` (...), siemens."""
        check_target(self, g_target)
        if self.levels is not None:
            g_target = snap(g_target, self.g_min, self.g_max, self.levels)
        if key is None:
            return GenericState(g_target)
        kind = {"law": self.program_law, "distribution": self.program_distribution}
        return GenericState(spread(g_target, self.program_sigma, key, g_max=self.g_max, **kind))

    def read(self, state: GenericState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens. `time` changes nothing: the model has no drift."""
        if key is None:
            return state.g
        kind = {"law": self.read_law, "distribution": self.read_distribution}
        return spread(state.g, self.read_sigma, key, g_max=self.g_max, **kind)


register_preset("ideal", lambda: Generic(g_min=0.0))
register_preset("generic", lambda: Generic(program_sigma=0.02, read_sigma=0.01))
