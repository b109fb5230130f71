"""A device given by measurements: mean and spread of the conductance for some targets and times."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.devices import csv_table
from imcjax.devices.base import family
from imcjax.errors import UserError, concrete
from imcjax.fast_random import normal
from imcjax.pytree import number, record


Leaf = jax.Array | np.ndarray


@record
class TableState:
    """One device's history: the target it was written to, siemens, and its normal deviate, which persists over time."""

    g_target: jax.Array
    deviate: jax.Array


@family("table")
@record
class Table:
    """Conductances as measured, linear in the target and in the logarithm of time between the points.

    A device keeps its deviate: g(t) = max(0, mean(target, t) + sigma(target, t) N). Up to the first time the table says what
    the first time says. Beyond the last one a concrete time is refused and a traced one gives NaN. Targets outside the table
    are read as its nearest.

    Attributes:
      target: (n,) siemens, rising; the first is g_min, the last g_max.
      mean: (t, n) mean conductance, siemens.
      sigma: (t, n) standard deviation from device to device, siemens.
      times: (t,) seconds after programming, rising, above 0 where there are several.
      read_sigma: standard deviation of the read noise, as a fraction of the conductance.
    """

    source = "a table of the user's"
    effects = ("programming error", "drift", "growing spread", "read noise")

    target: Leaf = number(low=0.0, high=1.0, unit="S")
    mean: Leaf = number(low=0.0, high=1.0, unit="S")
    sigma: Leaf = number(low=0.0, high=1.0, unit="S")
    times: Leaf = number(low=0.0, high=1e12, unit="s")
    read_sigma: float = number(default=0.0, low=0.0, high=1.0)

    @classmethod
    def from_csv(cls, path: str | Path) -> "Table":
        """Read a CSV file with the columns target_S, mean_S, sigma_S and, for more than one time, time_s.

        Other units in the names: nS, uS, mS, and min, h, d. A row is one target at one time; the rows of a time rise in target,
        and each time has the same targets.

        Raises:
          UserError: no such file, columns without or with other units, what is no number, repeated or missing rows.
        """
        table = cls(*csv_table.read(Path(path)))
        table.check(str(path))
        return table

    @property
    def covers(self) -> tuple[float, float]:
        """The first and last time after programming that the table describes, seconds."""
        return 0.0, float(np.asarray(self.times)[-1])

    @property
    def g_min(self) -> Any:
        """Lowest target, siemens."""
        return _plain(jnp.asarray(self.target)[..., 0] if concrete(self.target) is None else np.asarray(self.target)[..., 0])

    @property
    def g_max(self) -> Any:
        """Highest target, siemens."""
        return _plain(jnp.asarray(self.target)[..., -1] if concrete(self.target) is None else np.asarray(self.target)[..., -1])

    def check(self, path: str) -> None:
        """Refuse arrays that are no table.

        Raises:
          UserError: shapes that do not fit, targets or times that do not rise.
        """
        target, mean, sigma, times = (concrete(a) for a in (self.target, self.mean, self.sigma, self.times))
        if target is None or mean is None or sigma is None or times is None:
            return
        if times.ndim == 0 or mean.ndim < 2:
            raise UserError(
                f"{path} has times of shape {times.shape} and mean of {mean.shape}; give times (n,) and mean (n, targets), "
                "with n = 1 for a table of one moment."
            )
        if target.shape[-1:] < (2,):
            raise UserError(f"{path} has target of shape {target.shape}; give at least two targets, to interpolate between.")
        if mean.shape != sigma.shape or mean.shape[-2:] != (*times.shape[-1:], *target.shape[-1:]):
            raise UserError(
                f"{path} has mean of shape {mean.shape} and sigma of {sigma.shape}; give one row for each of the "
                f"{times.shape[-1:]} times and one column for each of the {target.shape[-1:]} targets."
            )
        for name, values in (("target", target), ("times", times)):
            if (np.diff(values) <= 0).any():
                raise UserError(f"{path}.{name} does not rise from each value to the next; sort the table by {name}.")
        falling = np.argwhere(np.diff(mean[..., 0, :]) < 0)
        if falling.size:
            low, high = (np.ravel(target[..., falling[0][-1] + step])[0] for step in (0, 1))
            raise UserError(
                f"{path}.mean falls from target {low:.4g} S to {high:.4g} S as programmed, so that targets cannot be told "
                "apart; measure more devices, or leave one of the two out."
            )
        if times.shape[-1] > 1 and (times <= 0).any():
            raise UserError(
                f"{path}.times begins at 0 s, which has no logarithm; give the delay of the first read after writing."
            )

    def program(self, g_target: jax.Array, key: jax.Array | None) -> TableState:
        """Program devices to `g_target` (...), siemens."""
        if key is None:
            return TableState(g_target, jnp.zeros_like(g_target))
        return TableState(g_target, normal(key, g_target.shape, g_target.dtype))

    def read(self, state: TableState, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) siemens, `time` seconds after programming; `time` is one number.

        Raises:
          UserError: for a concrete time below zero or beyond the last of the table.
        """
        known, times = concrete(time), concrete(self.times)
        if known is not None and times is not None and ((known < 0) | (known > times[-1])).any():
            raise UserError(
                f"The table covers 0 to {times[-1]:g} s after programming, time is {known!s} s; choose a time in that range, "
                "or add rows for later ones."
            )
        dtype = state.g_target.dtype
        scale = jnp.asarray(self.target, dtype)[-1]  # jnp.interp takes steps that are tiny in themselves for none
        place, places = state.g_target / scale, jnp.asarray(self.target, dtype) / scale
        at = [_at_time(jnp.asarray(a, dtype), jnp.asarray(self.times, dtype), time) for a in (self.mean, self.sigma)]
        mean, sigma = (jnp.interp(place, places, row) for row in at)
        g = mean + sigma * state.deviate
        g = jnp.where(g < 0, 0, g)  # not maximum, which halves the gradient of a cell that is exactly at zero
        if key is not None:
            g = g * jnp.maximum(1 + self.read_sigma * normal(key, g.shape, g.dtype), 0)
        return g


def _at_time(rows: jax.Array, times: jax.Array, time: jax.Array | float) -> jax.Array:
    """(n,) of the rows (t, n) at `time`, linear in its logarithm; NaN before 0 and beyond the last."""
    time = jnp.asarray(time, times.dtype)
    time = jnp.where((time < 0) | (time > times[-1]), jnp.nan, time)
    if len(times) == 1:
        return jnp.where(jnp.isnan(time), jnp.nan, rows[0])
    place = jnp.log(jnp.where(time < times[0], times[0], time))
    return jax.vmap(lambda column: jnp.interp(place, jnp.log(times), column), in_axes=1)(rows)


def _plain(value: Any) -> Any:
    """A Python float where there is one known number, so that it follows the precision of the arrays it meets."""
    return float(value) if concrete(value) is not None and np.ndim(value) == 0 else value
