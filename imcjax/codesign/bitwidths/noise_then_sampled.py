"""The default: noise for the first part of a search, sampled whole widths after it.

Early, the noise's gradient sees curvature, which the difference of two quantizers near convergence does not; late, the network
trains at the widths that it will have, so that nothing is lost when the search ends. That order is ours, chosen by a comparison
on small data in which the methods were nearly level; each half alone is a method of its own beside it.
"""

from dataclasses import dataclass, field

import jax
from jax import lax

from imcjax.codesign.bitwidths.base import RealWidths, Variables, at_width
from imcjax.codesign.bitwidths.noise import Noise
from imcjax.codesign.bitwidths.sampled import Sampled


@dataclass(frozen=True)
class NoiseThenSampled(RealWidths):
    """Variables are the real widths.

    switch: the part of the search after which widths are sampled.
    """

    switch: float = 0.6
    noise: Noise = field(default_factory=Noise)
    sampled: Sampled = field(default_factory=Sampled)

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
        """See `Method`; one compiled program serves both parts."""
        if key is None:
            return at_width(x, value_range, variables, signed=signed)
        late = (progress - self.switch) / (1 - self.switch)

        def early_part(x, value_range, bits):
            return self.noise.quantize(x, value_range, bits, signed=signed, key=key)

        def late_part(x, value_range, bits):
            return self.sampled.quantize(x, value_range, bits, signed=signed, key=key, progress=late)

        return lax.cond(progress < self.switch, early_part, late_part, x, value_range, variables)
