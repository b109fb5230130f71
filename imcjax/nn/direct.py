"""Products on arrays of perfect cells in one pass: cells without errors and wires answer with the weights themselves.

Training with noise on the weights, and not on the cells, spends most of its time on such arrays otherwise: they take passes
over twice the weights, and every cell draws noise of size zero. Ranges that follow the data are constants to the gradient
here; their derivatives, through a maximum, take several times as long as the product.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from imcjax.conversion import full_scale_levels, unit_current
from imcjax.devices import Generic
from imcjax.digits import input_digits
from imcjax.errors import concrete
from imcjax.fast_random import normal
from imcjax.hardware import Hardware
from imcjax.layout import by_column, tiling
from imcjax.mapping import Differential
from imcjax.quantize import clip_through, quantize
from imcjax.settings import Settings, complete


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
    w: Float[Array, "n_in n_out"],
    hardware: Hardware,
    settings: Settings,
    *,
    key: jax.Array | None = None,
) -> Float[Array, "... n_out"]:
    """`pipeline.mvm` on hardware to which this `applies`; the key draws the noise of the conversions."""
    settings = complete(settings, hardware)
    layout = tiling(w.shape, hardware)
    largest = settings.weight_range
    if largest is None:
        largest = lax.stop_gradient(jnp.max(jnp.abs(w)))
        largest = jnp.where(largest > 0, largest, 1)
    else:
        w = clip_through(w, -largest, largest)
    if settings.input_range is None:
        settings = settings.replace(input_range=lax.stop_gradient(jnp.max(jnp.abs(x))))
    (digits,), step, _ = input_digits(x.reshape(-1, x.shape[-1]), hardware, settings)
    sums = [digits[:, rows] @ w[rows] / largest for rows in _row_tiles(layout.n_in, layout.tile_rows)]
    if settings.adc_bits is not None:
        settings = settings.replace(adc_bits=by_column(settings.adc_bits, layout.n_out))
        given = settings.adc_range
        limit = full_scale_levels(hardware, settings, layout.tile_rows) if given is None else given / unit_current(hardware)
        limits = jnp.broadcast_to(limit, (layout.row_tiles, 1, 1, 1, layout.n_out))[:, 0, :, 0]  # (T, 1, N)
        sums = _converted(sums, limits, hardware, settings, key)
    total = sum(sums[1:], start=sums[0])
    return (total * (step * largest)).reshape(*x.shape[:-1], -1)


def _converted(sums: list[jax.Array], limits: jax.Array, hardware: Hardware, settings: Settings, key: Any) -> list[jax.Array]:
    """Partial sums (B, N) as the ADCs report them."""
    flaws = hardware.adc.flaws
    if flaws is not None and flaws.noise_sigma is not None and key is not None:
        noise = normal(key, (len(sums), *sums[0].shape), sums[0].dtype)
        sums = [s + flaws.noise_sigma * limit * n for s, limit, n in zip(sums, limits, noise)]
    found = []
    for s, limit in zip(sums, limits):
        codes, lsb = quantize(s, limit, settings.adc_bits)  # type: ignore[arg-type]
        found.append(codes * lsb)
    return found


def _row_tiles(n_in: int, rows: int) -> list[slice]:
    return [slice(first, min(first + rows, n_in)) for first in range(0, n_in, rows)]


def _zero(*values: Any) -> bool:
    known = [concrete(value) for value in values]
    return all(value is not None and not value.any() for value in known)
