"""Units behind a layer that a technology may have: an activation, a normalisation.

Every output of the layer passes once through each, with as many bits as the inputs have. There is one unit of a kind behind
every chain of adders; units keep up with the converters, so they take no time of their own. `activation` has their sources.
"""

from typing import Any

import jax

from imcjax.cost import activation
from imcjax.technology import Technology


ACTIVATIONS = {
    "relu": (activation.relu_energy_j, activation.relu_area_m2),
    "sigmoid": (
        lambda bits, technology: activation.sigmoid_energy_j(technology),  # a table, whatever the bits
        lambda bits, technology: activation.sigmoid_area_m2(technology),
    ),
}
"""By name of `Technology.activation`: (joule per value, square metre a unit) of bits and technology."""
NORMALISATIONS = {"scale_and_shift": (activation.scale_and_shift_energy_j, activation.scale_and_shift_area_m2)}
"""The same by name of `Technology.normalisation`."""


def units(values: Any, places: Any, bits: Any, technology: Technology) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """(energy, area) of the units that the technology has: joule and square metre by component; empty where it has none.

    Args:
      values: outputs of the layer in one inference.
      places: chains of adders, each with units of its own.
      bits: of a value.
      technology: which units, node and supply.
    """
    energy, area = {}, {}
    for name, known in (("normalisation", NORMALISATIONS), ("activation", ACTIVATIONS)):
        if (chosen := getattr(technology, name)) is not None:
            joule, metre2 = known[chosen]
            energy[name], area[name] = values * joule(bits, technology), places * metre2(bits, technology)
    return energy, area
