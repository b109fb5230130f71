"""The rule by which random keys are handed down: a chip's key, folded by names and indices, never split in order.

Folding makes a draw depend on *what* is drawn and not on what was drawn before: leaving a layer out changes no other layer.
`None` stands for "no randomness" and stays None all the way down.
"""

import zlib
from typing import overload

import jax
import jax.numpy as jnp

from imcjax.errors import UserError


Key = jax.Array


@overload
def fold_name(key: Key, name: str) -> Key: ...
@overload
def fold_name(key: None, name: str) -> None: ...
@overload
def fold_name(key: Key | None, name: str) -> Key | None: ...
def fold_name(key: Key | None, name: str) -> Key | None:
    """The key of the part called `name` (a layer's path, say). The hash (CRC-32) is the same in every process and version."""
    return None if key is None else jax.random.fold_in(key, zlib.crc32(name.encode()))


@overload
def fold_index(key: Key, index: int | jax.Array) -> Key: ...
@overload
def fold_index(key: None, index: int | jax.Array) -> None: ...
@overload
def fold_index(key: Key | None, index: int | jax.Array) -> Key | None: ...
def fold_index(key: Key | None, index: int | jax.Array) -> Key | None:
    """The key of part number `index` (a tile, a chip, a training step)."""
    return None if key is None else jax.random.fold_in(key, index)


def check_key(key: Key | None, name: str = "key") -> None:
    """Refuse what is neither one random key nor None.

    Raises:
      UserError: naming the argument `name`.
    """
    if key is None:
        return
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    raw = hasattr(key, "dtype") and key.dtype == jnp.uint32 and key.ndim == 1  # of jax.random.PRNGKey
    if not raw and not (typed and key.ndim == 0):
        given = f"{len(key)} keys" if typed else f"a {type(key).__name__}"
        raise UserError(f"{name} is {given}; give one random key, as jax.random.key(0), or None for the noise-free mean.")


def typed(key: Key | None) -> Key | None:
    """The key as a typed one, where it is raw (of `jax.random.PRNGKey`)."""
    if key is None or jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)
