"""Leakage: watt per square metre of silicon, times area, times time.

There is no default. In NeuroSim V1.3's published runs (low-power process, RRAM) it is 17.9 W/m^2 for VGG-8 (1.19 uJ in 1.456
ms on 45.55 mm^2) and 10.9 W/m^2 for ResNet-18 (10.6 uJ in 12.18 ms on 79.48 mm^2).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from imcjax.cost.layer import Cost
from imcjax.errors import check_number
from imcjax.pytree import replace
from imcjax.technology import Technology


def energy_j(watt_per_m2: jax.Array | float, area_m2: jax.Array | float, time_s: jax.Array | float) -> jax.Array:
    """Joule lost while the chip is on; without power gating that is the whole latency.

    Raises:
      UserError: a negative density.
    """
    check_number("leakage, watt_per_m2", watt_per_m2, 0.0, 1e9, unit="W/m^2")
    return jnp.asarray(watt_per_m2, dtype=float) * area_m2 * time_s


def spread(costs: Sequence[Cost], technologies: Sequence[Technology]) -> list[Cost]:
    """The costs of layers that run one after another, with what each leaks while any of them runs, as component leakage.

    A technology without `leakage_w_m2` leaks nothing, and its layers come as they are.

    Args:
      costs: of every layer of the inference.
      technologies: what each is made in.
    """
    time_s = sum((cost.latency_s for cost in costs), start=jnp.zeros(()))
    found = []
    for cost, technology in zip(costs, technologies, strict=True):
        if technology.leakage_w_m2 is not None:
            lost = energy_j(technology.leakage_w_m2, cost.area_m2, time_s)
            cost = replace(cost, energy=cost.energy | {"leakage": lost})
        found.append(cost)
    return found
