"""Arrays of perfect cells in one step: what pairs of cells without errors and wires answer with is the digits themselves.

Training with noise on the weights (and not on cells) spends most of its time on such arrays otherwise: each pass over the cells
is one over twice the weights, and every one of them draws noise of size zero.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from imcjax import pipeline
from imcjax.devices import Generic
from imcjax.digits import weight_digits
from imcjax.errors import concrete
from imcjax.fabrication import converters
from imcjax.hardware import Hardware
from imcjax.keys import fold_name
from imcjax.layout import tiling
from imcjax.mapping import Differential
from imcjax.settings import Settings, complete


def perfect_device(device: Any) -> bool:
    """Whether cells hold what they are given and nothing else; numbers must be known."""
    if not isinstance(device, Generic) or device.levels is not None:
        return False
    sigmas = [concrete(sigma) for sigma in (device.program_sigma, device.read_sigma)]
    return all(sigma is not None and not sigma.any() for sigma in sigmas)


def perfect_cells(hardware: Hardware) -> bool:
    """Whether `settle` is what `pipeline.program` and `settle` give."""
    encoding = hardware.encoding
    if not isinstance(encoding, Differential) or not perfect_device(hardware.device):
        return False
    return hardware.wires is None and hardware.readout.kind == "current" and encoding.columns == 1


def settle(
    w: Float[Array, "n_in n_out"], hardware: Hardware, settings: Settings, *, key: jax.Array | None = None
) -> pipeline.Settled:
    """A chip of perfect cells with the weights (n_in, n_out), at any read; the key draws its converters."""
    settings = complete(settings, hardware)
    digits, step = weight_digits(w, hardware, settings)
    layout, device = tiling(w.shape, hardware), hardware.device
    level = (device.g_max - device.g_min) / hardware.encoding.top_digit
    joined = layout.join_columns(layout.cut(digits.values * level))  # (S, T, r, N)
    count = len(digits.values)
    adc = None if hardware.adc.bits is None else converters(hardware, layout, count, fold_name(key, "adc"), w.dtype)
    dac = hardware.dac.draw((layout.row_tiles, layout.tile_rows), fold_name(key, "dac"), w.dtype)
    return pipeline.Settled(
        matrix=jnp.moveaxis(joined, 0, -2)[None],
        dac=dac,
        adc=adc,
        noise=None,
        gains=None,
        offsets=None,
        weight_step=step,
        slice_weights=digits.place,
        n_in=w.shape[0],
    )
