"""What a memory device is to the rest of imcjax, and the registry of the named ones."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.errors import UserError, check_record, concrete, nearest
from imcjax.families import Families
from imcjax.fast_random import normal
from imcjax.quantize import round_through


State = Any
"""A pytree of arrays, one element per device: all that a later read needs to know of how each was programmed."""


class Device(Protocol):
    """A cell of the array, from the conductance wanted to the conductance read. Conductances in siemens, times in seconds.

    `key=None` draws nothing: the noise-free mean device.

    A device whose current is not proportional to its voltage also has `curve`, "linear" or another word, `curve_volts`, the
    voltage up to which the curve is known, and `nonlinearity(g)`, its coefficients: see `bends`.

    Attributes:
      source: where the model and its numbers come from, one line.
      effects: what it models, a few words each.
      covers: the first and last time after programming that it describes, seconds; None: time changes nothing.
      g_min, g_max: the conductances that targets lie between, siemens.
    """

    source: ClassVar[str]
    effects: ClassVar[tuple[str, ...]]
    covers: ClassVar[tuple[float, float] | None]
    g_min: jax.Array | float
    g_max: jax.Array | float

    def program(self, g_target: jax.Array, key: jax.Array | None) -> State:
        """Program devices to `g_target` (...); the state has leaves of the same shape."""
        ...

    def read(self, state: State, key: jax.Array | None = None, time: jax.Array | float = 0.0) -> jax.Array:
        """(...) conductances `time` seconds after programming; read noise acts if and only if there is a key."""
        ...


FAMILIES = Families("device")
"""The memory cells that a hardware file can name."""
family = FAMILIES.family

_PRESETS: dict[str, Callable[[], Any]] = {}


def register_preset(name: str, build: Callable[[], Any]) -> None:
    """Make `build()` known as `preset(name)`."""
    _PRESETS[name] = build


def preset(name: str) -> Any:
    """The device called `name`.

    Raises:
      UserError: for an unknown name, with the nearest known ones.
    """
    if name not in _PRESETS:
        raise UserError(f"There is no device preset {name!r}{nearest(name, _PRESETS)}.")
    return _PRESETS[name]()


def presets() -> list[str]:
    """The names that `preset` knows, sorted."""
    return sorted(_PRESETS)


def bends(device: Any) -> bool:
    """Whether cells at u volts carry i = g (u + c_0 u^2 + c_1 u^3 + ...), with c (n, ...) = `device.nonlinearity(g)`."""
    return getattr(device, "curve", "linear") != "linear"


SLACK = 1e-6
"""How far beyond g_min and g_max a target may lie, as a fraction of g_max: what rounding does to a level in float32."""


def check_target(device: Any, g_target: Any) -> None:
    """Refuse concrete targets outside [g_min, g_max] of the device, and a device outside what its model covers; tracers pass.

    Raises:
      UserError: naming the device, the offending target and the range.
    """
    check_record(device, "device")
    target, low, high = (concrete(value) for value in (g_target, device.g_min, device.g_max))
    if target is None or low is None or high is None:
        return
    inside = (target >= low - SLACK * high) & (target <= high * (1 + SLACK))
    if not inside.all():
        bad = np.broadcast_to(target, inside.shape)[~inside].ravel()[0]
        raise UserError(
            f"Device {device.kind} is asked for a conductance of {bad:g} S, but holds {low!s} to {high!s} S; "
            "scale the targets, or change g_min or g_max."
        )


def check_time(device: Any, time: Any) -> None:
    """Refuse concrete times outside `device.covers`, seconds since programming; tracers pass.

    Raises:
      UserError: naming the device, the time and the range.
    """
    first, last = device.covers
    known = concrete(time)
    if known is not None and not ((known >= first) & (known <= last)).all():
        days = f" ({last / 86400:g} days)" if 86400 <= last < np.inf else ""
        raise UserError(
            f"Device {device.kind} is described from {first:g} to {last:g} s{days} after programming, "
            f"time is {known!s} s; choose a time in that range."
        )


def elapsed(device: Any, time: Any, dtype: Any) -> jax.Array:
    """`time`, seconds since programming, as an array of `dtype`: outside `device.covers` refused, or NaN where it is traced."""
    check_time(device, time)
    if concrete(time) is not None:
        return jnp.asarray(time, dtype)
    first, last = device.covers
    return jnp.where((time >= first) & (time <= last), time, jnp.nan).astype(dtype)


def snap(g_target: jax.Array, g_min: Any, g_max: Any, levels: int) -> jax.Array:
    """The nearest of `levels` evenly spaced conductances from g_min to g_max, siemens; gradients pass straight through."""
    code = round_through((g_target - g_min) / (g_max - g_min) * (levels - 1)) / (levels - 1)
    return (g_max * code + g_min * (1 - code)).astype(g_target.dtype)


def disturbed(g: jax.Array, sigma: Any, key: jax.Array | None) -> jax.Array:
    """g + sigma * N(0, 1), siemens, never below zero; `g` itself without a key."""
    if key is None:
        return g
    return floored(g + sigma * normal(key, g.shape, g.dtype))


def floored(g: jax.Array) -> jax.Array:
    """`g` where it is not below zero. Not maximum, which halves the gradient of a cell that is exactly at zero."""
    return jnp.where(g < 0, 0, g)
