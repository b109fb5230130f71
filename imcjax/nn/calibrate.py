"""calibrate: static ranges for every layer on hardware, from batches of real inputs."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp

from imcjax.nn.hooks import hook_name, matrices, members, placed
from imcjax.nn.operator import RANGES, Operator
from imcjax.nn.recording import SAMPLES, Recorded, record_inputs
from imcjax.ranges import jitted_find_ranges
from imcjax.settings import complete


def calibrate(
    model: Any,
    batches: Iterable[Any],
    *,
    samples: int = SAMPLES,
    progress: bool = True,
    rule: str = "mse",
    per: str = "slice",
) -> None:
    """Make the ranges of every layer on hardware static, in place.

    The batches run through the model with exact (digital) layers; from the inputs that each layer then sees, its weight, input
    and ADC ranges of least squared error are chosen, and whether its inputs are ever negative.

    Args:
      model: a converted model.
      batches: inputs of the model, each a whole batch.
      samples: how many input vectors of each layer to keep.
      progress: show a progress bar where there is a terminal.
      rule: how ADC ranges are chosen: "mse", "max", "percentile" or "csnr" (`imcjax.ranges.RULES`).
      per: what has an ADC range of its own: "tensor", "tile", "slice", "column" or "tile_column".

    Raises:
      UserError: no batches, a model without layers on hardware, a layer that the model does not call, inputs that are not
        finite, an unknown rule.
    """
    set_ranges(model, record_inputs(model, batches, samples=samples, progress=progress), rule=rule, per=per)


def set_ranges(model: Any, seen: dict[str, Recorded], *, rule: str = "mse", per: str = "slice", names: Any = RANGES) -> None:
    """Make the ranges called `names` static at what is best for recorded inputs, and the sign of the inputs with them."""
    for path, module in placed(model).items():
        operator: Operator = getattr(module, hook_name(module))
        inside = dict(members(path, module))
        operator.input_signed = any(seen[name].signed for name in inside)
        found = []
        for name, layer in inside.items():
            member: Operator = getattr(layer, hook_name(layer))
            member.input_signed = operator.input_signed
            settings = member.settings()
            complete(settings, member.technology)  # refuses widths out of range while they can be seen
            inputs = jnp.asarray(seen[name].inputs)
            found.append(jitted_find_ranges(matrices(layer), inputs, member.technology, settings, rule=rule, per=per))
        for name in names:
            values = [ranges[name] for ranges in found]
            if values[0] is not None:
                operator.set_range(name, jnp.stack(values).reshape(*operator.stack, *values[0].shape))
