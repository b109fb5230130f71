"""What a design costs: the cost model applied to a network with statistics frozen from the calibration set."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from imcjax import cost
from imcjax.codesign.network import Network, Ranges
from imcjax.hardware import Hardware
from imcjax.nn.calibrate import Recorded
from imcjax.ranges import weight_range
from imcjax.settings import Settings


@dataclasses.dataclass(frozen=True, eq=False)
class Bill:
    """Costs of a network's designs on one hardware.

    Attributes:
      network: whose layers are costed (untrimmed).
      hardware: the technology.
      works: shapes and positions of each layer.
      activities: input statistics of each layer, frozen.
    """

    network: Network
    hardware: Hardware
    works: tuple[cost.Work, ...]
    activities: tuple[cost.Activity, ...]

    @classmethod
    def of(cls, network: Network, params: nnx.State, recorded: dict[str, Recorded], hardware: Hardware) -> "Bill":
        """From what each layer saw of the calibration set.

        The wordline voltages follow the input range, which is taken at the widest inputs and kept.
        """
        weights = network.matrices(params)
        works, activities = [], []
        for i, path in enumerate(network.paths):
            groups, n_in, n_out = weights[path].shape
            signed = network.signed[i]
            copies = network.replicas[i] if network.replicas else 1
            works.append(cost.Work(path, n_in, n_out, groups, recorded[path].positions, signed, copies))
            inputs = jnp.asarray(recorded[path].inputs)  # (samples, groups, n_in)
            settings = Settings(input_range=jnp.max(jnp.abs(inputs)), input_signed=signed)
            activities.append(cost.measure(inputs, settings, hardware))
        return cls(network, hardware, tuple(works), tuple(activities))

    def layers(self, params: nnx.State, bits: jax.Array, *, hard: bool, ranges: Ranges | None = None) -> list[cost.Cost]:
        """The cost of each layer at bit-widths (layers, 3); `hard` counts whole slices and phases, as the chip would.

        Leakage, where the technology has it, is that of an inference of the whole network.

        How much the cells conduct depends on the weight ranges: the design's, or without them those of least squared error.
        """
        weights = self.network.matrices(params)
        bills = []
        bits = jnp.round(bits) if hard else bits
        for i, path in enumerate(self.network.paths):
            limit = weight_range(weights[path], bits[i, 0]) if ranges is None else ranges[path]["weight_range"]
            settings = self.network.settings(i, bits).replace(weight_range=limit)
            conductance = cost.row_conductance(weights[path], self.hardware, settings)
            each = cost.Bits(bits[i, 0], bits[i, 1], bits[i, 2])
            bills.append(cost.layer_cost(self.works[i], each, self.activities[i], conductance, self.hardware, hard=hard))
        return cost.leakage.spread(bills, [self.hardware.technology] * len(bills))

    def energy(self, params: nnx.State, bits: jax.Array, *, hard: bool, ranges: Ranges | None = None) -> jax.Array:
        """Joule per inference."""
        return sum((each.energy_j for each in self.layers(params, bits, hard=hard, ranges=ranges)), jnp.zeros(()))
