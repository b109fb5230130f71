"""Step and range are learned, the width follows from them (DQ: Uhlich et al., ICLR 2020).

    x_q = d round(clip(x, range) / d),     b = ceil(log2(range / d + 1) + 1) signed, ceil(log2(range / d + 1)) unsigned

with the step d snapped to a power of two; ceiling, rounding and snapping pass gradients straight through. So the width is whole
in every forward pass. Variables are logarithms; the range given to `quantize` is not used, for the method has its own.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.codesign.bitwidths.base import WIDEST, Variables
from imcjax.errors import check_number
from imcjax.quantize import ceil_through, clip_through, largest_code, round_through


@dataclass(frozen=True)
class StepRange:
    """Variables are {"log2_step", "log2_range"}.

    signed: whether the tensor's codes have a sign, which takes a bit.
    snap: steps are powers of two.
    """

    signed: bool = True
    snap: bool = True

    def start(self, bits: jax.Array, value_range: jax.Array) -> Variables:
        """A step that gives `bits` with `value_range`, before it is snapped.

        Raises:
          UserError: widths that leave no code but 0 (1 bit with a sign), or above 32; a range that is not positive.
        """
        check_number("bits", bits, 2 if self.signed else 1, WIDEST)
        check_number("value_range", value_range, float(np.finfo(np.float32).tiny))
        bits, limit = jnp.asarray(bits, dtype=float), jnp.asarray(value_range, dtype=float)
        step = limit / largest_code(bits, signed=self.signed)
        if self.snap:  # up, and so the range with it: the width stays
            snapped = jnp.exp2(jnp.ceil(jnp.log2(step)))
            limit, step = limit * snapped / step, snapped
        return {"log2_step": jnp.log2(step), "log2_range": jnp.log2(limit)}

    def _step_and_range(self, variables: Variables) -> tuple[jax.Array, jax.Array]:
        step = jnp.exp2(round_through(variables["log2_step"]) if self.snap else variables["log2_step"])
        limit = jnp.exp2(variables["log2_range"])
        return step, jnp.where(limit < step, step, limit)

    def widths(self, variables: Variables) -> jax.Array:
        """Whole widths, with the gradient of the formula without the ceiling."""
        step, limit = self._step_and_range(variables)
        # A ratio that should be 2^n - 1 may be a little more in float32, which must not cost a bit.
        return ceil_through(jnp.log2(limit / step + 1) - 1e-4) + (1.0 if self.signed else 0.0)

    def whole(self, variables: Variables) -> jax.Array:
        """The widths, which are whole."""
        return jnp.round(self.widths(variables))

    def quantize(
        self,
        x: jax.Array,
        value_range: jax.Array,
        variables: Variables,
        *,
        signed: bool,
        key: jax.Array | None = None,
        progress: jax.Array | float = 0.0,
    ) -> jax.Array:
        """See `Method`; nothing is drawn."""
        del value_range, key, progress
        step, limit = self._step_and_range(variables)
        held = clip_through(x, -limit if signed else jnp.zeros_like(limit), limit)
        return round_through(held / step) * step
