"""Images moved a little: shifted, turned, sheared, scaled and bent, each by draws of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


KNOTS = 5
"""Points on each side of the grid whose displacements bend an image."""


def distort(
    key: jax.Array,
    images: Float[Array, "batch height width channels"],
    *,
    shift: float = 1.5,
    turn: float = 0.15,
    scale: float = 0.1,
    shear: float = 0.15,
    bend: float = 0.7,
) -> Float[Array, "batch height width channels"]:
    """Each image seen through a random affine map and a smooth displacement; what comes in from outside is zero.

    The displacement is a coarse grid of normal draws, interpolated between its points: a cheap relative of the elastic
    deformations of Simard et al. ("Best practices for convolutional neural networks", ICDAR 2003).

    Args:
      key: a typed key.
      images: bright on black.
      shift: largest shift, pixels.
      turn: largest turn, radian.
      scale: largest change of size, relative, in each direction by itself.
      shear: largest shear, pixel per pixel.
      bend: standard deviation of a grid point's displacement, pixels.
    """
    batch, height, width, _ = images.shape
    keys = jax.random.split(key, 5)

    def uniform(i: int, limit: float, *shape: int) -> jax.Array:
        return jax.random.uniform(keys[i], (batch, *shape), images.dtype, -limit, limit)

    angle, size, slant = uniform(0, turn), 1 + uniform(1, scale, 2), uniform(2, shear)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turned = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
    sheared = jnp.stack([jnp.stack([size[:, 0], slant], -1), jnp.stack([jnp.zeros_like(slant), size[:, 1]], -1)], -2)
    centre = jnp.array([height - 1, width - 1], images.dtype) / 2
    places = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1).astype(images.dtype)
    knots = bend * jax.random.normal(keys[3], (batch, KNOTS, KNOTS, 2), images.dtype)
    bent = jnp.einsum("hk,bklc,wl->bhwc", _between(height), knots, _between(width))
    seen = jnp.einsum("bij,hwj->bhwi", turned @ sheared, places - centre) + centre + uniform(4, shift, 1, 1, 2) + bent
    return jax.vmap(_sample)(images, seen)


def _between(length: int) -> jax.Array:
    """(length, KNOTS) weights of linear interpolation between points at equal distances, the ends among them."""
    place = jnp.arange(length) * (KNOTS - 1) / (length - 1)
    return jnp.maximum(0.0, 1 - jnp.abs(place[:, None] - jnp.arange(KNOTS)))


def _sample(image: jax.Array, places: jax.Array) -> jax.Array:
    """(height, width, channels) values at real places, linear between pixels, zero outside."""
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    held = jnp.clip(places + 1, 0, jnp.array(padded.shape[:2], places.dtype) - 1.001)
    first = jnp.floor(held).astype(jnp.int32)
    part = held - first
    y, x = first[..., 0], first[..., 1]
    dy, dx = part[..., :1], part[..., 1:]
    above = padded[y, x] * (1 - dx) + padded[y, x + 1] * dx
    below = padded[y + 1, x] * (1 - dx) + padded[y + 1, x + 1] * dx
    return above * (1 - dy) + below * dy
