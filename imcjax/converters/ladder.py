"""A ladder ADC: reference levels wherever one wants them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax.converters.base import Bits, adc_family, input_noise, unit_normals, whole_bits
from imcjax.converters.levels import bin_span, look_up
from imcjax.errors import UserError
from imcjax.pytree import number, record, static
from imcjax.quantize import clip_through, straight_through


MAX_LEVELS = 256
"""All thresholds are compared with at once, as in a flash converter."""


@record
class LadderState:
    """Fabricated ladder converters.

    Attributes:
      moved: (..., thresholds) displacement of each threshold, as a fraction of the range.
    """

    moved: jax.Array


@adc_family("ladder")
@record
class Ladder:
    """An ADC with thresholds and outputs of its own choice: quantiles of the data, say, or the levels of a cell.

    A narrower conversion uses every 2^n-th threshold and reports the mean of the outputs that it cannot tell apart.

    Attributes:
      bits: the widest resolution (static), ceil(log2(outputs)).
      share: how many columns take turns at one ADC.
      thresholds: (outputs - 1,) rising, as fractions of the range.
      outputs: (outputs,) rising, what each code stands for, as fractions of the range.
      threshold_sigma: displacement of each threshold, as a fraction of the range, drawn for each ADC.
      noise_sigma: noise at the input, as a fraction of the range, drawn for each conversion; None: absent.
    """

    thresholds: jax.Array | np.ndarray
    outputs: jax.Array | np.ndarray
    bits: int | None = static(default=None, low=1, high=8)
    share: float = number(default=8.0, low=1.0, high=4096.0)
    threshold_sigma: float = number(default=0.0, low=0.0, high=1.0)
    noise_sigma: float | None = number(default=None, low=0.0, high=1.0)

    @classmethod
    def from_levels(cls, levels: Float[Array, " n"], **fields: Any) -> "Ladder":
        """The ladder that reports the nearest of `levels` (n,), rising, fractions of the range: thresholds are halfway.

        Raises:
          UserError: too few or too many levels.
        """
        levels = jnp.asarray(levels, dtype=float)
        if levels.ndim != 1 or not 2 <= levels.shape[0] <= MAX_LEVELS:
            raise UserError(f"levels has shape {levels.shape}; give a row of 2 to {MAX_LEVELS} levels.")
        return cls((levels[1:] + levels[:-1]) / 2, levels, bits=(levels.shape[0] - 1).bit_length(), **fields)

    def draw(self, shape: tuple[int, ...], key: jax.Array | None, dtype: Any = jnp.float32) -> LadderState:
        """One converter for each entry of `shape`."""
        return LadderState(self.threshold_sigma * unit_normals(key, shape, jnp.shape(self.thresholds), dtype)[0])

    def convert(
        self,
        currents: Float[Array, "..."],
        bits: Bits,
        current_range: jax.Array | float,
        state: LadderState | None = None,
        key: jax.Array | None = None,
    ) -> Float[Array, "..."]:
        """(...) ampere as reported; see `AdcCircuit.convert`. What lies beyond the outermost outputs clips to them.

        The outputs have the gradient of what is reported; displaced thresholds move it the other way.

        Raises:
          UserError: thresholds and outputs that do not fit together.
        """
        if self.bits is None:
            return currents
        count = jnp.shape(self.outputs)[-1]
        if jnp.ndim(self.outputs) != 1 or jnp.shape(self.thresholds) != (count - 1,) or not 2 <= count <= 2**self.bits:
            raise UserError(
                f"The ladder has outputs of shape {jnp.shape(self.outputs)} and thresholds {jnp.shape(self.thresholds)}; give "
                f"n outputs and n - 1 thresholds, with n from 2 to 2^bits = {2**self.bits}."
            )
        dtype = currents.dtype
        thresholds, outputs = (jnp.asarray(a, dtype) for a in (self.thresholds, self.outputs))
        if state is not None:
            thresholds = thresholds + state.moved
        limit = jnp.asarray(current_range, dtype)
        safe = jnp.where(limit > jnp.finfo(dtype).tiny, limit, 1)
        u = currents / safe
        noise = input_noise(self.noise_sigma, key, jnp.broadcast_shapes(u.shape, thresholds.shape[:-1]), dtype)

        span = bin_span(self.bits, lax.stop_gradient(whole_bits(bits, dtype)))
        index = jnp.arange(1, count)
        on = lax.stop_gradient((u + noise)[..., None] > thresholds) & (index % span == 0)
        first = on.sum(-1) * span  # of the outputs that this code cannot tell apart
        past = jnp.minimum(first + span, count)
        sums = jnp.concatenate([jnp.zeros_like(outputs[:1]), jnp.cumsum(outputs)])
        told = jnp.where(span == 1, outputs[first], (sums[past] - sums[first]) / (past - first))
        # Thresholds k separates outputs k - 1 and k; the outermost codes have one on one side only.
        below = look_up(thresholds, jnp.maximum(first, jnp.minimum(span, count - 1)) - 1)
        above = look_up(thresholds, jnp.where(past < count, past, first) - 1)
        ends = lax.stop_gradient(outputs[0]), lax.stop_gradient(outputs[-1])
        inside = (u >= ends[0]) & (u <= ends[1])
        smooth = clip_through(u, *ends) + jnp.where(inside, noise - (below + above) / 2, 0)
        return (told + straight_through(jnp.zeros_like(told), smooth)) * limit
