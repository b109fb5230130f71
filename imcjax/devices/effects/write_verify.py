"""Write and verify: pulses and reads until a cell is close enough to its target.

The loop of W. Wan et al., Nature 608, 504 (2022), Methods and Extended Data Fig. 3, with every pulse an independent attempt of
the cell's own programming model: the aim is not corrected by what was read.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.keys import fold_index
from imcjax.pytree import number, record, static


@record
class WriteVerify:
    """A device within the tolerance keeps its value, another is written again, `pulses` times at most.

    The verifying read has the cell's read noise. Gradients pass to the target through the attempt that is kept.

    Attributes:
      tolerance: accepted distance from the target, as a fraction of g_max.
      pulses: attempts at most (static).
    """

    tolerance: float = number(low=0.0, high=1.0)
    pulses: int = static(low=1, high=10_000)

    def write(
        self, attempt: Callable[[jax.Array], tuple[Any, jax.Array]], g_target: jax.Array, g_max: Any, key: jax.Array
    ) -> tuple[Any, jax.Array]:
        """The state kept for each device, and its number of pulses (...).

        Args:
          attempt: key -> (state, conductances as the verifying read finds them (...), siemens).
          g_target: (...) siemens.
          g_max: what the tolerance is a fraction of, siemens.
          key: each pulse takes its own from it.
        """

        def pulse(carry: Any, index: jax.Array) -> tuple[Any, None]:
            kept, open_, used = carry
            fresh, found = attempt(fold_index(key, index))
            kept = jax.tree.map(lambda old, new: jnp.where(open_, new, old).astype(old.dtype), kept, fresh)
            far = jnp.abs(found - g_target) > self.tolerance * g_max
            return (kept, open_ & far, used + open_), None

        state, _ = jax.eval_shape(attempt, key)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
        start = (nothing, jnp.ones(g_target.shape, bool), jnp.zeros_like(g_target))
        (kept, _, used), _ = lax.scan(pulse, start, jnp.arange(self.pulses, dtype=jnp.uint32))
        return kept, used
