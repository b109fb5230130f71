"""Many arrays at once: arrays and inputs a second, against what the machine's peak numbers allow.

The bound is the least time that the arithmetic or the memory traffic of the method can take; both are counted by hand:
merging N x N cells takes 160 N^3 operations; an input of a held matrix 2 N^2, and its share of reading S and v and writing.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.crossbar.case import INPUTS
from experiments.benchmarks.crossbar.ours import currents, held, transfer


def jobs(size: int, arrays: int) -> dict[str, tuple]:
    """(run, unit, units a run, operations and bytes a unit or None where nothing simple bounds them) by name."""
    rng = np.random.default_rng(2)
    g = jnp.asarray(rng.uniform(1e-6, 1e-4, (arrays, size, size)), jnp.float32)
    v = jnp.asarray(rng.uniform(0, 0.2, (arrays, INPUTS, size)), jnp.float32)
    s = transfer("port_merge")(g)
    # One array in a loop of its own has no batch; several inputs of several arrays have explicit axes.
    inputs = jnp.moveaxis(v, 0, 1)
    return {
        "transfer matrices, port_merge": (partial(transfer("port_merge"), g), "arrays", arrays, 160 * size**3, 8 * size**2),
        "one input each, schur_pcg": (partial(currents("schur_pcg"), g, v[:, 0]), "arrays", arrays, None, None),
        "64 inputs each, auto": (partial(currents("auto"), g, inputs), "inputs", arrays * INPUTS, None, None),
        "64 inputs each, matrix held": (
            partial(held, v, s),
            "inputs",
            arrays * INPUTS,
            2 * size**2,
            8 * size + 4 * size**2 / INPUTS,
        ),
    }


def rate(
    seconds: float, units: int, flops: float | None, moved: float | None, peak_flops: float | None, peak_bytes: float | None
) -> dict[str, float | None]:
    """Units a second, and the fraction of what the roofline allows; None where a peak or a count is missing."""
    if flops is None or moved is None or not peak_flops or not peak_bytes:
        return {"per_s": units / seconds, "of_roofline": None}
    return {"per_s": units / seconds, "of_roofline": units * max(flops / peak_flops, moved / peak_bytes) / seconds}


def device() -> str:
    """What XLA computes on."""
    return f"{jax.default_backend()}: {jax.devices()[0].device_kind}"
