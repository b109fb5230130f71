"""Images through programmed arrays without unrolling: each pixel is converted once, and XLA convolves with what columns answer.

Unrolled, a 3 x 3 convolution reads, converts and multiplies each pixel nine times: on a CPU ten times the work of XLA's.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax import pipeline
from imcjax.devices import bends
from imcjax.digits import input_digits
from imcjax.hardware import Hardware
from imcjax.settings import Settings, complete


MOST_TILES = 8
"""Row tiles up to which it is worth it: a convolution for each, of the part of the window that it holds."""


def applies(hardware: Hardware, settled: pipeline.Settled, settings: Settings) -> bool:
    """Whether `multiply` computes what `pipeline.multiply` does of the unrolled images.

    An input of zero drives its one wordline with 0 V, all wordlines are alike, and the columns answer with a matrix.
    """
    dac, encoding = hardware.dac, hardware.encoding
    lines = dac.kind == "sign_magnitude" and settled.dac is None and encoding.rows_per_input == 1 and settings.replicas == 1
    matrix = not bends(hardware.device) and settled.offsets is None and hardware.accumulation == "digital"
    return lines and matrix and settled.matrix.shape[1] <= MOST_TILES and np.ndim(settings.input_range) == 0


def multiply(
    settled: pipeline.Settled,
    x: Float[Array, "batch *space channels"],
    hardware: Hardware,
    settings: Settings,
    *,
    by: Callable[[jax.Array, jax.Array, int], jax.Array],
    key: jax.Array | None = None,
) -> Float[Array, "batch *positions n_out"]:
    """What a settled chip makes of images.

    Args:
      settled: of one group of channels.
      x: (batch, *space, channels) images.
      hardware: the technology, to which this `applies`.
      settings: the layer's.
      by: of images, some rows of a matrix (taps * channels, any) and the number of the first: their convolution.
      key: noise of the conversions.
    """
    settings = complete(settings, hardware)
    digits, step, place = input_digits(x.reshape(-1, x.shape[-1]), hardware, settings)
    k, tiles, rows, slices, n = settled.matrix.shape
    volts = hardware.dac.voltages(digits).reshape(-1, *x.shape[1:])  # (P * batch, *space, channels)
    of_tiles = []
    for tile in range(tiles):
        first = tile * rows
        columns: Any = jnp.moveaxis(settled.matrix[:, tile, : settled.n_in - first], 1, 0)  # (r, K, S, N)
        of_tiles.append(by(volts, columns.reshape(len(columns), -1), first))
    answered = jnp.stack(of_tiles) if tiles > 1 else of_tiles[0][None]
    positions = answered.shape[2:-1]
    currents = answered.reshape(tiles, len(digits), -1, k, slices, n).transpose(3, 0, 1, 2, 4, 5)
    y = pipeline.outputs(settled, currents, None, place, hardware, settings, key=key)
    return (y * (step * settled.weight_step)).reshape(len(x), *positions, n)
