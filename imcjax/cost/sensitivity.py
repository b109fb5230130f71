"""What to improve first: how many percent a cost changes for one percent of each number."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from imcjax.cost import leakage, reads
from imcjax.cost.estimate import Estimate
from imcjax.cost.layer import layer_cost, total
from imcjax.cost.work import Bits
from imcjax.errors import UserError
from imcjax.pytree import replace


def elasticities(cost: Callable[[Any], jax.Array], parameters: Any) -> dict[str, float]:
    """d ln cost / d ln p of every number of a pytree, the largest in magnitude first.

    Numbers that are zero have none and are left out. Of an array it is the sum: all entries change together.

    Args:
      cost: a positive number of the parameters.
      parameters: a record (hardware, technology, ...), dict or tuple of numbers.

    Raises:
      UserError: a cost that is not positive or has no finite derivative.
    """
    value, slopes = jax.value_and_grad(cost)(parameters)
    if not float(value) > 0:
        raise UserError(f"The cost is {float(value):g}; elasticities are those of a positive one.")
    found = {}
    leaves = jax.tree_util.tree_flatten_with_path(parameters)[0]
    for (path, number), slope in zip(leaves, jax.tree.leaves(slopes), strict=True):
        if not np.any(np.asarray(number)):
            continue
        name = jax.tree_util.keystr(path).lstrip(".")
        each = float(np.sum(np.asarray(slope) * np.asarray(number)) / float(value))
        if not math.isfinite(each):
            raise UserError(f"The cost has no finite derivative with respect to {name}.")
        found[name] = each
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def of_energy(found: Estimate, converter: Any = None) -> dict[str, float]:
    """Elasticities of the energy of an inference: technology, ADC sharing, read voltage, conductances, widths, ADC model.

    All layers change together. Widths are real; that of the weights changes slices and logic, not how much the cells conduct.
    Numbers beyond the range of a model are extrapolated.

    Args:
      found: an estimate whose layers share one hardware.
      converter: the ADC's model it was made with.

    Raises:
      UserError: layers on several kinds of hardware.
    """
    layers = list(found.layers.values())
    base = layers[0].measured.hardware
    converts = reads.domain(base).converts
    if any(layer.hardware != layers[0].hardware for layer in layers):
        raise UserError("The layers are on several kinds of hardware; take the elasticities of each on its own.")
    start = {
        "technology": base.technology,
        "adc_share": base.adc.share if converts else None,
        "read_v": base.dac.v_read,
        "conductance": 1.0,
        "bits": {"weight": 1.0, "input": 1.0, "adc": 1.0 if converts else None},
        "converter": converter if converts else None,
    }

    def energy(p: dict[str, Any]) -> jax.Array:
        hardware = base.replace(technology=p["technology"], dac=replace(base.dac, v_read=p["read_v"]))
        if converts:
            hardware = hardware.replace(adc=replace(base.adc, share=p["adc_share"]))
        squared = (p["read_v"] / base.dac.v_read) ** 2
        costs = []
        for layer in layers:
            bits = jax.tree.map(lambda b, scale: b * scale, layer.bits, Bits(**p["bits"]))
            activity = jax.tree.map(lambda table: table * squared, layer.measured.activity)
            conductance = layer.measured.conductance * p["conductance"]
            choices = {"hard": False, "converter": p["converter"], "extrapolate": True}
            costs.append(layer_cost(layer.work, bits, activity, conductance, hardware, **choices))
        return total(leakage.spread(costs, [p["technology"]] * len(costs))).energy_j

    found_ = elasticities(jax.jit(energy), jax.tree.map(float, start))
    return {name.replace("']['", ".").replace("['", "").replace("']", ""): value for name, value in found_.items()}
