"""What the ADCs of a model spend, as a cost of their widths that constraints take."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from imcjax import cost
from imcjax.errors import UserError
from imcjax.nn.hooks import hook_name, matrices, placed
from imcjax.nn.recording import record_inputs
from imcjax.settings import complete


def conversion_energy(model: Any, sample: Any, *, converter: cost.adc.AdcCost | None = None) -> Callable[[Any], jax.Array]:
    """A function from ADC widths to the joule that all conversions of one inference take.

    It sees real widths too, so that it has a slope; the true cost is that of whole ones (`imcjax.codesign.constraints.whole`).
    Weight and input widths, which say how many conversions there are, are the model's present ones.

    Args:
      model: a converted model.
      sample: (batch, ...) inputs of the model.
      converter: the model of the ADC, one of `imcjax.cost.adc`; None: the usual one.

    Returns:
      (widths) -> joule. Widths are a tree in which the variables `adc_bits` have the names and places that they have in the
      model's state: one number a layer, or (groups,) of them for groups of columns.

    Raises:
      UserError: a layer without ADC, or a stack of layers.
    """
    circuit = cost.adc.Zigzag28() if converter is None else converter
    seen, layers = record_inputs(model, [sample]), placed(model)
    spent: dict[str, tuple[Any, float]] = {}
    for path, layer in layers.items():
        operator = getattr(layer, hook_name(layer))
        if operator.stack or operator.adc_bits is None:
            raise UserError(f"Layer {path!r} is a stack, or has no ADC; its conversions cannot be counted here.")
        hardware, settings = operator.technology, complete(operator.settings(), operator.technology)
        groups, n_in, n_out = matrices(layer).shape
        work = cost.Work(path, n_in, n_out, groups, seen[path].positions, settings.input_signed, settings.replicas)
        count = cost.conversions(work, cost.Bits(settings.weight_bits, settings.input_bits, 1.0), hardware)
        spent["/".join(part for part in (path, hook_name(layer), "adc_bits") if part)] = hardware.technology, float(count)

    def energy(widths: Any) -> jax.Array:
        total = jnp.zeros(())
        for keys, bits in jax.tree_util.tree_leaves_with_path(widths):
            name = "/".join(str(key.key) for key in keys if hasattr(key, "key"))
            if name not in spent:
                raise UserError(f"There is no ADC width {name!r}; there are {', '.join(spent)}.")
            technology, count = spent[name]
            # Groups are all of one size but for the last, which is counted as if it were.
            total += count * jnp.mean(circuit.energy_j(bits, technology))
        return total

    return energy
