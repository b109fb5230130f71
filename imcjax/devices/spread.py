"""Random spreads of freely chosen size and kind: how the deviates are distributed, and how their size depends on the state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from imcjax.devices.base import floored
from imcjax.errors import UserError, nearest
from imcjax.fast_random import normal


DISTRIBUTIONS = ("normal", "uniform", "lognormal")
LAWS: dict[str, Callable[[jax.Array, Any], Any]] = {
    "independent": lambda g, g_max: g_max,
    "proportional": lambda g, g_max: g,
    "inverse": lambda g, g_max: jnp.where(g == 0, 0, g_max**2 / jnp.where(g == 0, 1, g)),
}
"""The spread of a cell at g, siemens, for a sigma of one: g_max, g, or g_max^2 / g (none for a cell that is off)."""


def spread(
    g: jax.Array, sigma: Any, key: jax.Array, *, g_max: Any, law: str = "proportional", distribution: str = "normal"
) -> jax.Array:
    """Conductances around `g` (...), siemens, never below zero, of mean `g` where nothing is cut off at zero.

    Args:
      g: (...) siemens.
      sigma: standard deviation over what `law` gives. Of a lognormal spread it is the standard deviation of ln g.
      key: of the draw.
      g_max: siemens; what independent and inverse spreads are relative to.
      law: a name in LAWS.
      distribution: a name in DISTRIBUTIONS. Uniform is sqrt(12) sigma wide in all.

    Raises:
      UserError: for an unknown name.
    """
    for name, known in ((law, LAWS), (distribution, DISTRIBUTIONS)):
        if name not in known:
            raise UserError(f"There is no spread {name!r}{nearest(name, known)}.")
    if distribution == "uniform":
        deviate = jax.random.uniform(key, g.shape, g.dtype, -(3**0.5), 3**0.5)
    else:
        deviate = normal(key, g.shape, g.dtype)
    if distribution == "lognormal":
        relative = sigma * jnp.where(g == 0, 0, LAWS[law](g, g_max) / jnp.where(g == 0, 1, g))
        return g * jnp.exp(relative * deviate - relative**2 / 2)
    if law == "proportional":
        return g * jnp.maximum(1 + sigma * deviate, 0)
    return floored(g + sigma * LAWS[law](g, g_max) * deviate)
