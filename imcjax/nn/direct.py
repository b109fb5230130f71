"""Products on arrays of perfect cells in one pass: cells without errors and wires answer with the weights themselves.

Training with noise on the weights, and not on the cells, spends most of its time on such arrays otherwise: they take passes
over twice the weights, and every cell draws noise of size zero. Ranges that follow the data are constants to the gradient
here; their derivatives, through a maximum, take several times as long as the product.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.conversion import full_scale_levels, unit_current
from imcjax.devices import Generic
from imcjax.digits import input_digits, largest_magnitude
from imcjax.errors import concrete
from imcjax.fast_random import rough_normal
from imcjax.hardware import Hardware
from imcjax.keys import fold_index
from imcjax.layout import by_column, tiling
from imcjax.mapping import Differential
from imcjax.noise import with_noise
from imcjax.quantize import clip_through, quantize
from imcjax.settings import Settings, complete
from imcjax.written import written


def perfect_device(device: Any) -> bool:
    """Whether cells hold what they are given and nothing else; numbers must be known."""
    return isinstance(device, Generic) and device.levels is None and _zero(device.program_sigma, device.read_sigma)


def applies(hardware: Hardware) -> bool:
    """Whether `product` computes what `pipeline.mvm` does; numbers must be known.

    Continuous weights in pairs of perfect cells without wires, inputs in one phase, and uniform ADCs whose only flaw is noise.
    """
    encoding, dac, adc = hardware.encoding, hardware.dac, hardware.adc
    pairs = isinstance(encoding, Differential) and encoding.weight_bits is None and encoding.columns == 1
    cells = perfect_device(hardware.device) and hardware.wires is None and hardware.readout.kind == "current"
    once = dac.kind == "sign_magnitude" and dac.flaws is None and dac.phases == 1 and hardware.accumulation == "digital"
    plain = adc.bits is None or adc.kind == "sign_magnitude"
    flaws = adc.flaws if plain and adc.bits is not None else None
    if flaws is not None:
        plain = plain and flaws.rounding == "nearest" and flaws.dnl_sigma is None
        plain = plain and _zero(flaws.gain_sigma, flaws.offset_sigma, flaws.inl)
    return pairs and cells and once and plain


def product(
    x: Float[Array, "... n_in"],
    tiles: Sequence[Float[Array, "rows n_out"]],
    hardware: Hardware,
    settings: Settings,
    *,
    largest: jax.Array | None = None,
    key: jax.Array | None = None,
    by: Callable[[jax.Array, jax.Array, int], jax.Array] | None = None,
) -> Float[Array, "... n_out"]:
    """`pipeline.mvm` on hardware to which this `applies`.

    Args:
      x: (..., n_in) inputs, any unit; or what else `by` takes.
      tiles: the row tiles of the weights (n_in, n_out), `mapping.Tiling.row_sizes` of them each, any unit.
      hardware: the technology.
      settings: the layer's.
      largest: () magnitude of the weight at which a cell is at g_max; None: that of the settings, or max|w|. Weights beyond it,
        by noise, are cells beyond g_max.
      key: noise of the conversions; None: none.
      by: what gives the sums (..., n_out) of the inputs and of some rows of w, the number of the first: linear in both; None:
        their matrix product. A convolution need not be unrolled here.
    """
    settings = complete(settings, hardware)
    layout = tiling((sum(map(len, tiles)), tiles[0].shape[-1]), hardware)
    if settings.weight_range is not None:
        largest = jnp.asarray(settings.weight_range, tiles[0].dtype)
        tiles = [clip_through(tile, -largest, largest) for tile in tiles]
    else:
        largest = lax.stop_gradient(largest_magnitude(jnp.concatenate(tiles))) if largest is None else largest
        largest = jnp.where(largest > 0, largest, 1)
    if settings.input_range is None:
        settings = settings.replace(input_range=lax.stop_gradient(largest_magnitude(x)))
    digits, step = _digits(x, hardware, settings)
    if by is None:  # gradients of splits are joined, those of slices are filled up with zeros and added
        inputs = lax.split(digits, layout.row_sizes, axis=-1)
        sums = [of_tile @ tile for of_tile, tile in zip(inputs, tiles, strict=True)]
    else:  # XLA would compute digits for each tap of the gradient
        known = jnp.asarray(settings.input_range)
        digits = written(lambda *given: _digits(*given)[0], x, hardware, settings, number=known)
        sums = [by(digits, tile, number * layout.tile_rows) for number, tile in enumerate(tiles)]
    shape = sums[0].shape
    sums = [s.reshape(-1, s.shape[-1]) for s in sums]
    if settings.adc_bits is not None:
        settings = settings.replace(adc_bits=by_column(settings.adc_bits, layout.n_out))
        given = settings.adc_range
        limit = full_scale_levels(hardware, settings, layout.tile_rows) if given is None else given / unit_current(hardware)
        # In the sums' unit: dividing the sums by the largest weight is a pass over all of them.
        limits = _of_tiles(jnp.asarray(limit * largest), layout.row_tiles)
        sums = _converted(sums, limits, hardware, settings, key, by is not None)
    total = sum(sums[1:], start=sums[0])
    return (total * step).reshape(shape)


def _digits(x: jax.Array, hardware: Hardware, settings: Settings) -> tuple[jax.Array, jax.Array]:
    """Input digits in the shape of x, and the value of digit one."""
    (digits,), step, _ = input_digits(x.reshape(-1, x.shape[-1]), hardware, settings)
    return digits.reshape(x.shape), step


def _converted(
    sums: list[jax.Array], limits: list[jax.Array], hardware: Hardware, settings: Settings, key: Any, convolved: bool
) -> list[jax.Array]:
    """Partial sums (B, N) as the ADCs report them."""
    flaws = hardware.adc.flaws
    if flaws is not None and flaws.noise_sigma is not None and key is not None:
        for tile, (s, limit) in enumerate(zip(sums, limits)):
            own = fold_index(key, jnp.uint32(tile))
            sigma = flaws.noise_sigma * limit
            sums[tile] = with_noise(s, sigma, own, draw=rough_normal, number=sigma, cotangent=convolved)
    found = []
    for s, limit in zip(sums, limits):
        codes, lsb = quantize(s, limit, settings.adc_bits)  # type: ignore[arg-type]
        found.append(codes * lsb)
    return found


def _of_tiles(limit: jax.Array, tiles: int) -> list[jax.Array]:
    """A range that broadcasts against (T, P, 1, S, N), of one phase and slice, as one a tile that does against (B, N)."""
    whole = limit.reshape((1,) * (5 - limit.ndim) + limit.shape)[:, 0, :, 0]
    return [whole[tile if len(whole) > 1 else 0] for tile in range(tiles)]


def _zero(*values: Any) -> bool:
    known = [concrete(value) for value in values]
    return all(value is not None and not value.any() for value in known)
