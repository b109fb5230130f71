"""What a memory device is to the rest of imcjax, and the registry of the named ones."""

from collections.abc import Callable
from typing import Any, Protocol

import jax

from imcjax.errors import UserError, nearest
from imcjax.families import Families


State = Any
"""A pytree of arrays, one element per device: all that a later read needs to know of how each was programmed."""


class Device(Protocol):
    """A cell of the array, from the conductance wanted to the conductance read. Conductances in siemens, times in seconds.

    `key=None` draws nothing: the noise-free mean device.
    """

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
