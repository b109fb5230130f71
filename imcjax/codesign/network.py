"""A converted model as a pure function of weights, bit-widths, ranges, hardware and chip."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.hardware import Hardware
from imcjax.nn import Chip, Noise, layers, matrices, operators
from imcjax.nn.operator import BITS
from imcjax.pipeline import Programmed, Settled
from imcjax.ranges import find_ranges
from imcjax.settings import Settings


Ranges = dict[str, dict[str, jax.Array]]
"""Path -> {"weight_range", "input_range", "adc_range"}."""


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """Layers on one hardware, in the order of `paths`; bit-widths are an array (layers, 3): weight, input, ADC.

    Attributes:
      graph: static structure of the converted model.
      rest: its state other than parameters.
      paths: of the layers on hardware.
      signed: whether a layer's inputs may be negative.
      counts: slices and phases to compute of each layer; empty: as many as the widest widths take.
      replicas: copies of each layer's arrays; empty: one of each.
    """

    graph: Any
    rest: Any
    paths: tuple[str, ...]
    signed: tuple[bool, ...]
    counts: tuple[tuple[int, int], ...] = ()
    replicas: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: Any) -> tuple["Network", nnx.State]:
        """The network of a converted and calibrated model, and its parameters."""
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        hooks = operators(model)
        signed, replicas = (tuple(getattr(hook, name) for hook in hooks.values()) for name in ("input_signed", "replicas"))
        return cls(graph, rest, tuple(hooks), signed, replicas=replicas), params

    def trimmed(self, bits: Any, hardware: Hardware) -> "Network":
        """The same network computing no more slices and phases than these whole bit-widths use: same results, less work."""
        counts = []
        for (weight, inputs, _), signed in zip(np.round(np.asarray(bits)).astype(int), self.signed, strict=True):
            counts.append((hardware.encoding.count(int(weight)), hardware.dac.count(int(inputs), signed=signed)))
        return dataclasses.replace(self, counts=tuple(counts))

    def trimmed_ranges(self, ranges: Ranges, hardware: Hardware) -> Ranges:
        """The ranges of the slices that a trimmed network computes; slices of signs come last and stay."""
        if not self.counts:
            return ranges
        signs, trimmed = hardware.encoding.sign_slices, {}
        for path, (count, _) in zip(self.paths, self.counts, strict=True):
            limits = ranges[path]["adc_range"]
            kept = [limits[: count - signs], limits[len(limits) - signs :]]
            trimmed[path] = ranges[path] | {"adc_range": jnp.concatenate(kept)}
        return trimmed

    def apply(
        self,
        params: nnx.State,
        bits: jax.Array,
        ranges: Ranges,
        hardware: Hardware,
        x: jax.Array,
        *,
        key: jax.Array | None = None,
        chip: dict[str, Settled] | None = None,
    ) -> jax.Array:
        """Logits of inputs (batch, ...).

        Args:
          params: the model's parameters.
          bits: (layers, 3).
          ranges: of every layer.
          hardware: the technology.
          x: inputs.
          key: program and read fresh devices in this call; None: the mean chip.
          chip: read this chip instead; the key then draws what its conversions add.
        """
        model = self._place(params, bits, ranges, hardware)
        for path, operator in operators(model).items():
            operator.noise = nnx.data(None if key is None else Noise(key))
            operator.chip = nnx.data(None if chip is None else Chip(chip[path]))
        return model(x)

    def conductances(
        self,
        params: nnx.State,
        bits: jax.Array,
        ranges: Ranges,
        hardware: Hardware,
        key: jax.Array | None,
        time: float = 0.0,
    ) -> dict[str, tuple[Programmed, jax.Array]]:
        """One chip, programmed, and its cells at one read `time` seconds later; leaves (groups, ...)."""
        model = self._place(params, bits, ranges, hardware)
        found = layers(model)
        return {path: operator.conductances(matrices(found[path]), key, time) for path, operator in operators(model).items()}

    def matrices(self, params: nnx.State) -> dict[str, jax.Array]:
        """(groups, n_in, n_out) weights of each layer."""
        model = nnx.merge(self.graph, params, self.rest, copy=True)
        found = layers(model)
        return {path: matrices(found[path]) for path in self.paths}

    def settings(self, index: int, bits: jax.Array, ranges: dict[str, Any] | None = None) -> Settings:
        """The settings of layer number `index`."""
        counts = {} if not self.counts else dict(zip(("slices", "phases"), self.counts[index], strict=True))
        widths = dict(zip(BITS, bits[index], strict=True))
        return Settings(**widths, **(ranges or {}), input_signed=self.signed[index], **counts)

    def find_ranges(self, params: nnx.State, bits: jax.Array, inputs: dict[str, jax.Array], hardware: Hardware) -> Ranges:
        """Ranges of least squared error at these widths; inputs (samples, groups, n_in) of each layer."""
        weights = self.matrices(params)
        return {
            path: find_ranges(weights[path], inputs[path], hardware, self.settings(i, bits))
            for i, path in enumerate(self.paths)
        }

    def _place(self, params: nnx.State, bits: jax.Array, ranges: Ranges, hardware: Hardware) -> Any:
        model = nnx.merge(self.graph, params, self.rest, copy=True)
        hooks = operators(model)
        next(iter(hooks.values())).hardware.set_value(hardware)
        for i, (path, operator) in enumerate(hooks.items()):
            for name, width in zip(BITS, bits[i], strict=True):
                getattr(operator, name).set_value(width)
            for name, value in ranges[path].items():
                operator.set_range(name, value)
            operator.input_signed = self.signed[i]
            if self.counts:
                operator.slices, operator.phases = self.counts[i]
        return model
