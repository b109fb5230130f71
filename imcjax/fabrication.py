"""What a chip is made of: cells written to their targets, the converters of its columns, what its readout is worth."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax import mapping
from imcjax.conversion import unit_current
from imcjax.hardware import Hardware
from imcjax.keys import fold_index
from imcjax.layout import per_tile


def at_once(tiles: jax.Array, zero: jax.Array | None, hardware: Hardware, key: jax.Array | None) -> Any:
    """The state of the cells (S, D, T, C, r, c) of all slices."""
    targets = hardware.encoding.encode(tiles, hardware.device.g_min, hardware.device.g_max, zero)
    return per_tile(hardware.device.program, targets, key)


def one_after_another(tiles: jax.Array, zero: jax.Array | None, hardware: Hardware, key: jax.Array | None) -> Any:
    """As `at_once`, but each slice makes up for what the one before it was measured to miss."""
    states, target = [], tiles[:1]
    for s in range(len(tiles)):
        states.append(at_once(target, zero, hardware, fold_index(key, s)))
        held = hardware.encoding.respond(hardware.device.read(states[-1]))[0]
        level = (hardware.device.g_max - hardware.device.g_min) / hardware.encoding.top_digit
        if s + 1 < len(tiles):
            target = hardware.encoding.missing(held / level, target, s)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *states)


def readout_scale(tiles: Float[Array, "S T C r c"], zero: jax.Array | None, gains: Any, hardware: Hardware) -> tuple[Any, Any]:
    """Thermal noise (K, S, T, C, 1, c) of each converted column, and gains (same shape) that make levels of what it shows."""
    readout, encoding = hardware.readout, hardware.encoding
    if readout.unit == "A":
        return None, gains
    targets = encoding.encode(tiles, hardware.device.g_min, hardware.device.g_max, zero)
    if encoding.interleaved:
        targets = jnp.concatenate([targets[:, :1], targets[:, 1:]], -2)
    per_level = readout.unit_per_siemens(targets) * unit_current(hardware)
    per_level = encoding.respond(jnp.broadcast_to(per_level, (*targets.shape[:-2], 1, targets.shape[-1])))
    to_levels = jnp.where(per_level > 0, 1 / jnp.where(per_level > 0, per_level, 1), 0)
    sigma = readout.noise_sigma(targets)
    noise = encoding.respond(sigma[..., None, :]) if readout.noisy else None
    return noise, to_levels if gains is None else to_levels * gains


def converters(tiles: Float[Array, "S T C r c"], hardware: Hardware, layout: mapping.Tiling, key: jax.Array | None) -> Any:
    """The state of the ADC that each column is converted by, (K, T, S, N, ...): `share` neighbours have the same one."""
    slices, row_tiles, col_tiles = tiles.shape[:3]
    shape = (hardware.encoding.columns, row_tiles, slices, col_tiles, layout.tile_cols)
    drawn = hardware.adc.draw(shape, key, tiles.dtype)
    turns = jnp.floor(jnp.arange(layout.tile_cols) / hardware.adc.share).astype(int)
    # A reference column is one, whatever column it is taken from.
    first = jnp.minimum(jnp.arange(shape[0]), hardware.encoding.extra_columns)[:, None] > 0
    turns = jnp.where(first, 0, turns)  # (K, c)

    def by_column(leaf: jax.Array) -> jax.Array:
        shared = jax.vmap(lambda part, turn: jnp.take(part, turn, axis=3))(leaf, turns)
        return shared.reshape(*shape[:3], -1, *leaf.shape[5:])[:, :, :, : layout.n_out]

    return jax.tree.map(by_column, drawn)
