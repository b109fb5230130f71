"""Number formats as part of a Flax model: their numbers are variables, and layers compute with what they make of things."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from imcjax.keys import fold_index, fold_name
from imcjax.nn.convolution import convolve
from imcjax.nn.variables import Bits, Calls, Noise, Range
from imcjax.quantize import Format


class Constant(nnx.Variable):
    """A number of a format that is not trained with the weights."""


class FormatHolder(nnx.Module):
    """A `Format` whose bit-width is `Bits`, whose learned numbers are `Range` and whose others are `Constant` variables.

    Attributes:
      learn: whether there are learned numbers; else these are constants too.
    """

    def __init__(self, fmt: Format, *, learn: bool = True):
        self.learn = learn
        self.family = type(fmt)
        self.structure: tuple[tuple[str, Any], ...] = ()
        self.numbers = nnx.Dict({})
        self.set(fmt)

    def set(self, fmt: Format) -> None:
        """Hold another format."""
        fixed, numbers = {}, {}
        for field in dataclasses.fields(fmt):
            value = getattr(fmt, field.name)
            if field.metadata.get("static") or value is None:
                fixed[field.name] = value
            else:
                kind = Bits if field.name == "bits" else Range if self.learn and field.name in fmt.learned else Constant
                numbers[field.name] = kind(jnp.asarray(value, dtype=float))
        self.family = type(fmt)
        self.structure = tuple(fixed.items())
        self.numbers = nnx.Dict(numbers)

    def get(self) -> Format:
        """The format with the present numbers."""
        return self.family(**dict(self.structure), **{name: v.get_value() for name, v in self.numbers.items()})


class FakeQuantized(nnx.Module):
    """A layer's weight and input formats in place of its `lax` operator, which then computes with the quantized numbers.

    Attributes:
      path: the layer's path in the model, '/'-joined.
      weights, inputs: `FormatHolder`, or None: as they are.
      noise: the shared `Noise`, or None: formats draw nothing.
    """

    def __init__(
        self,
        path: str,
        weights: Format | None,
        inputs: Format | None,
        noise: Noise | None = None,
        *,
        learn_inputs: bool = True,
    ):
        self.path = path
        self.weights: Any = nnx.data(None if weights is None else FormatHolder(weights))
        self.inputs: Any = nnx.data(None if inputs is None else FormatHolder(inputs, learn=learn_inputs))
        self.noise = nnx.data(noise)
        self.calls = Calls(jnp.zeros((), jnp.uint32))

    def quantized(self, x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Inputs and weights as their formats have them, of the same shapes."""
        key = self._draw()
        x = x if self.inputs is None else self.inputs.get().quantize(x, fold_name(key, "inputs"))
        kernel = kernel if self.weights is None else self.weights.get().quantize(kernel, fold_name(key, "weights"))
        return x, kernel

    def _draw(self) -> jax.Array | None:
        if self.noise is None:
            return None
        count = self.calls.get_value()
        self.calls.set_value(count + 1)
        return fold_index(fold_name(self.noise.get_value(), self.path), count)


class FakeDotGeneral(FakeQuantized):
    """For `nnx.Linear`."""

    def __call__(self, x: jax.Array, kernel: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        """As `lax.dot_general`."""
        return lax.dot_general(*self.quantized(x, kernel), *args, **kwargs)


class FakeConvolution(FakeQuantized):
    """For `nnx.Conv`."""

    def __call__(self, x: jax.Array, kernel: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        """As `lax.conv_general_dilated`."""
        return convolve(*self.quantized(x, kernel), *args, **kwargs)
