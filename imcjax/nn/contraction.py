"""Analog products for Linear, LinearGeneral and Einsum: any contraction of inputs with a kernel, as matrices on arrays."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from imcjax.errors import UserError
from imcjax.nn.operator import Operator
from imcjax.nn.unrolled import evenly
from imcjax.nn.variables import HardwareVariable, Noise


Axes = tuple[int, ...]
Dimensions = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]
"""As `lax.dot_general` takes them: (contracted axes of inputs and kernel), (batch axes of both)."""


class DotGeneral(Operator):
    """An `Operator` with the signature of `lax.dot_general`.

    Batch axes of the kernel are groups: matrices of their own, each with inputs of its own.

    Attributes:
      kernel_axes: (batch axes, contracted axes) of the kernel, static.
    """

    def __init__(
        self,
        path: str,
        hardware: HardwareVariable,
        bits: dict[str, float | None],
        noise: Noise | None,
        *,
        stack: Axes = (),
        kernel_axes: tuple[Axes, Axes] = ((), (0,)),
    ):
        super().__init__(path, hardware, bits, noise, stack=stack)
        self.kernel_axes = kernel_axes

    def matrices(self, kernel: jax.Array) -> jax.Array:
        """The kernel as (groups, n_in, n_out)."""
        parts = (*self.kernel_axes, self._free(kernel.ndim))
        ordered = jnp.transpose(kernel, sum(parts, ()))
        return ordered.reshape([math.prod(kernel.shape[axis] for axis in part) for part in parts])

    def vectors(self, x: jax.Array, kernel: jax.Array, dimension_numbers: Dimensions, **_: Any) -> jax.Array:
        """Inputs as (..., groups, n_in), the axes that are neither contracted nor of the batch first.

        Raises:
          UserError: another contraction than the layer's own, or inputs that do not fit the kernel.
        """
        self.check_single()
        if x.size == 0 or x.ndim == 0:
            raise UserError(f"Layer {self.path!r} was given inputs of shape {x.shape}; give at least one vector.")
        free, batch, contracted = self._input_axes(x.ndim, dimension_numbers)
        for ours, theirs in zip((batch, contracted), self.kernel_axes, strict=True):
            given, wanted = (tuple(a.shape[axis] for axis in axes) for a, axes in ((x, ours), (kernel, theirs)))
            if given != wanted:
                raise UserError(
                    f"Layer {self.path!r} was given inputs of shape {x.shape}; its axes {ours} must have "
                    f"{_sizes(wanted)} features."
                )
        moved = jnp.transpose(x, (*free, *batch, *contracted))
        groups = math.prod(x.shape[axis] for axis in batch)
        return moved.reshape(*(x.shape[axis] for axis in free), groups, -1)

    def some_vectors(self, most: int, *args: Any, **kwargs: Any) -> tuple[jax.Array, int]:
        """At most `most` of the `vectors`, evenly chosen, as (vectors, groups, n_in); and how many there are."""
        rows = self.vectors(*args, **kwargs)
        rows = rows.reshape(-1, *rows.shape[-2:])
        return rows[evenly(len(rows), most)], len(rows)

    @staticmethod
    def exactly(*args: Any, **kwargs: Any) -> jax.Array:
        """The digital product that this stands for."""
        return lax.dot_general(*args, **kwargs)

    def __call__(
        self,
        x: jax.Array,
        kernel: jax.Array,
        dimension_numbers: Dimensions,
        precision: Any = None,
        preferred_element_type: Any = None,
        **_: Any,
    ) -> jax.Array:
        """As `lax.dot_general`."""
        y = self._product(self.vectors(x, kernel, dimension_numbers), kernel)
        return y.astype(preferred_element_type or jnp.result_type(x, kernel))

    def _product(self, rows: jax.Array, kernel: jax.Array) -> jax.Array:
        """(*free, groups, n_in) by the kernel, in the order of `lax.dot_general`: batch, free axes of inputs, of the kernel."""
        y = self.matmul(rows, self.matrices(kernel))
        batch, lead = self.kernel_axes[0], y.ndim - 2
        y = y.reshape(*y.shape[:lead], *(kernel.shape[axis] for axis in (*batch, *self._free(kernel.ndim))))
        return jnp.moveaxis(y, range(lead, lead + len(batch)), range(len(batch)))

    def _free(self, ndim: int) -> Axes:
        taken = sum(self.kernel_axes, ())
        return tuple(axis for axis in range(ndim) if axis not in taken)

    def _input_axes(self, ndim: int, dimension_numbers: Dimensions) -> tuple[Axes, Axes, Axes]:
        """Free, batch and contracted axes of the inputs, the latter two in the order of the kernel's."""
        (contracted, kernel_contracted), (batch, kernel_batch) = dimension_numbers
        partner = dict(zip((*kernel_batch, *kernel_contracted), (*batch, *contracted), strict=True))
        asked = tuple(tuple(sorted(axes)) for axes in (kernel_batch, kernel_contracted))
        if asked != tuple(tuple(sorted(axes)) for axes in self.kernel_axes):
            raise UserError(
                f"Layer {self.path!r} was put on hardware for kernel axes {self.kernel_axes} (batch, contracted), but "
                f"contracts {asked}; leave it digital with Rule({self.path!r}, digital=True)."
            )
        batch, contracted = (tuple(partner[axis] % ndim for axis in axes) for axes in self.kernel_axes)
        free = tuple(axis for axis in range(ndim) if axis not in (*batch, *contracted))
        return free, batch, contracted


class Einsum(DotGeneral):
    """An `Operator` with the signature of `jnp.einsum` of inputs and a kernel, for `nnx.Einsum`."""

    def vectors(self, equation: str, x: jax.Array, kernel: jax.Array, **_: Any) -> jax.Array:  # type: ignore[override]
        """Inputs as (..., groups, n_in)."""
        return super().vectors(x, kernel, einsum_dimensions(equation, x.ndim)[0])

    @staticmethod
    def exactly(*args: Any, **kwargs: Any) -> jax.Array:
        """The digital product that this stands for."""
        return jnp.einsum(*args, **kwargs)

    def __call__(  # type: ignore[override]
        self, equation: str, x: jax.Array, kernel: jax.Array, *, preferred_element_type: Any = None, **_: Any
    ) -> jax.Array:
        """As `jnp.einsum`."""
        y = self._product(self.vectors(equation, x, kernel), kernel)
        return jnp.transpose(y, einsum_dimensions(equation, x.ndim)[1]).astype(
            preferred_element_type or jnp.result_type(x, kernel)
        )


def einsum_dimensions(equation: str, ndim: int) -> tuple[Dimensions, Axes]:
    """The contraction of inputs with `ndim` axes by a kernel, "inputs,kernel->outputs"; and how to order its result's axes.

    Raises:
      UserError: an equation that is no such contraction: a letter twice in one place, or summed over by itself.
    """
    inputs, kernel, outputs = _letters(equation, ndim)
    whole = all(len(set(part)) == len(part) for part in (inputs, kernel, outputs))
    lonely = [c for c in inputs if c not in kernel + outputs] + [c for c in kernel if c not in inputs + outputs]
    if not whole or lonely or "." in kernel:
        raise UserError(f"The equation {equation!r} is no plain contraction of inputs by a kernel.")
    both = [c for c in kernel if c in inputs]
    batch, contracted = ([c for c in both if (c in outputs) == kept] for kept in (True, False))
    dimensions = tuple(
        tuple(tuple(part.index(c) for c in letters) for part in (inputs, kernel)) for letters in (contracted, batch)
    )
    result = [*batch, *(c for c in inputs if c not in both), *(c for c in kernel if c not in both)]
    return dimensions, tuple(result.index(c) for c in outputs)  # type: ignore[return-value]


def einsum_axes(equation: str) -> tuple[Axes, Axes]:
    """(batch axes, contracted axes) of the kernel of "inputs,kernel->outputs"."""
    inputs, _, _ = equation.partition(",")
    (_, contracted), (_, batch) = einsum_dimensions(equation, len(inputs.replace(".", "").strip()))[0]
    return batch, contracted


def _letters(equation: str, ndim: int) -> tuple[str, str, str]:
    """The three parts of an equation; letters in place of the inputs' ellipsis."""
    left, _, outputs = equation.replace(" ", "").partition("->")
    inputs, _, kernel = left.partition(",")
    unused = [c for c in map(chr, range(ord("A"), ord("z") + 1)) if c.isalpha() and c not in equation]
    more = "".join(unused[: max(0, ndim - len(inputs.replace("...", "")))])
    return inputs.replace("...", more), kernel, outputs.replace("...", more)


def _sizes(shape: Axes) -> str:
    return " x ".join(map(str, shape))
