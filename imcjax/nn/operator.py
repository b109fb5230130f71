"""The analog matrix product as an operator that Flax layers take in place of their digital one; its use in convolutions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from imcjax import layout, pipeline
from imcjax.answers import of_cells
from imcjax.digits import largest_magnitude
from imcjax.errors import UserError
from imcjax.fast_random import rough_normal
from imcjax.hardware import Hardware
from imcjax.keys import fold_index, fold_name
from imcjax.mapping import Packing
from imcjax.nn import convolved, direct
from imcjax.nn.convolution import convolve_rows
from imcjax.nn.pace import paced
from imcjax.nn.unrolled import some_vectors, unroll
from imcjax.nn.variables import Bits, Calls, HardwareVariable, Noise, Range
from imcjax.noise import parts_with_noise, with_noise
from imcjax.quantize import straight_through
from imcjax.settings import Settings


BITS = ("weight_bits", "input_bits", "adc_bits")
RANGES = ("weight_range", "input_range", "adc_range")
BACKWARDS = ("exact", "straight_through")
"""Backward passes: the derivative of what the hardware computes, or that of the digital product in its place."""


def respond(chips: pipeline.Programmed, s: jax.Array, hardware: Hardware) -> pipeline.Settled:
    """`pipeline.columns` of a layer's groups; leaves and result have a leading axis of groups."""
    return jax.vmap(lambda chip, s: pipeline.columns(chip, s, hardware))(chips, s)


def answers(chips: pipeline.Programmed, g: jax.Array, hardware: Hardware) -> jax.Array:
    """`imcjax.answers.of_cells` of a layer's groups; leaves and result have a leading axis of groups."""
    if chips.key is None:
        return jax.vmap(lambda g: of_cells(g, hardware))(g)
    return jax.vmap(lambda key, g: of_cells(g, hardware, key=key))(chips.key, g)


class Operator(nnx.Module):
    """A layer's place on the hardware: its settings, and the chip it is on.

    Without a chip every call programs a fresh one from the layer's weights (training); with one, calls read it.

    Attributes:
      path: the layer's path in the model, '/'-joined.
      hardware: the shared technology.
      weight_bits, input_bits, adc_bits: `Bits`, or None for the hardware's widest.
      weight_range, input_range, adc_range: `Range`, or None for the uncalibrated default.
      input_signed, replicas, slices, phases: as in `Settings`, static.
      noise: the shared `Noise`, or None for noise-free layers.
      chip: a `Chip`, or None.
      correction: a `Correction`, or None.
      weight_noise: a `WeightNoise`, or None.
      backward: whose derivative the product has (static), one of `BACKWARDS`.
      direct: whether products on fresh chips are those of `imcjax.nn.direct` (static).
      paced: whether the gradients of static ranges have the scale of LSQ (static), as `imcjax.nn.pace` says.
      stack: leading axes of the layer's kernel (static): several layers that `nnx.scan` or `nnx.vmap` runs as one. All of an
        operator's variables have these axes too.
    """

    weight_bits: Any
    input_bits: Any
    adc_bits: Any
    weight_range: Any
    input_range: Any
    adc_range: Any

    def __init__(
        self,
        path: str,
        hardware: HardwareVariable,
        bits: dict[str, float | None],
        noise: Noise | None,
        *,
        stack: tuple[int, ...] = (),
    ):
        self.path = path
        self.stack = stack
        self.hardware = hardware
        for name in BITS:
            width = bits.get(name)
            setattr(self, name, nnx.data(None if width is None else Bits(jnp.full(stack, width, dtype=float))))
        for name in RANGES:
            setattr(self, name, nnx.data(None))
        self.input_signed = True
        self.replicas = 1
        self.slices: int | None = None
        self.phases: int | None = None
        self.noise = nnx.data(noise)
        self.calls = Calls(jnp.zeros(stack, jnp.uint32))
        self.chip: Any = nnx.data(None)
        self.correction: Any = nnx.data(None)
        self.weight_noise: Any = nnx.data(None)
        self.backward = "exact"
        self.direct = False
        self.paced = False

    @property
    def technology(self) -> Hardware:
        """The hardware that this layer is on."""
        return self.hardware.get_value()

    def settings(self) -> Settings:
        """The layer's settings as the pipeline takes them."""
        leaves = {name: getattr(self, name) for name in (*BITS, *RANGES)}
        values = {name: None if leaf is None else leaf.get_value() for name, leaf in leaves.items()}
        static = {name: getattr(self, name) for name in ("input_signed", "replicas", "slices", "phases")}
        return Settings(**values, **static)

    def set_range(self, name: str, value: jax.Array | float) -> None:
        """Make a range static at `value` (`weight_range`, `input_range` or `adc_range`)."""
        setattr(self, name, nnx.data(Range(jnp.asarray(value, dtype=float))))

    def matmul(self, x: jax.Array, w: jax.Array) -> jax.Array:
        """x (..., groups, n_in) by w (groups, n_in, n_out): (..., groups, n_out)."""
        key = self._draw()
        hardware, settings = self.technology, self.settings()
        # Codes of many bits are not exact in half precision.
        x, w = (a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in (x, w))
        if self.paced:
            settings = paced(settings, x, w, hardware)
        tiles, unit = self._tiles(w, key)
        digital = (x, tiles)
        if self.backward == "straight_through":
            x, tiles = lax.stop_gradient(digital)

        def one(chip: Any, x: jax.Array, tiles: tuple[jax.Array, ...], group: jax.Array) -> jax.Array:
            own = fold_index(key, group)
            if chip is None and self.direct:
                return direct.product(x, tiles, hardware, settings, largest=unit, key=fold_name(own, "adc"))
            settled, own = self._settled(chip, tiles, settings, own)
            return pipeline.multiply(settled, x, hardware, settings, key=fold_name(own, "adc"))

        chip = None if self.chip is None else self.chip.get_value()
        groups = w.shape[0]
        if groups == 1:
            first = jax.tree.map(lambda leaf: leaf[0], chip)
            y = one(first, x[..., 0, :], tuple(tile[0] for tile in tiles), jnp.uint32(0))[..., None, :]
        else:
            run = jax.vmap(one, in_axes=(0, -2, 0, 0), out_axes=-2)
            y = run(chip, x, tiles, jnp.arange(groups, dtype=jnp.uint32))
        if self.correction is not None:
            gain, offset = self.correction.get_value()
            y = y * gain + offset
        if self.backward == "straight_through":
            y = straight_through(y, jnp.einsum("...gi,gio->...go", digital[0], jnp.concatenate(digital[1], axis=1)))
        return y

    def _settled(
        self, chip: Any, tiles: Sequence[jax.Array], settings: Settings, key: jax.Array | None
    ) -> tuple[pipeline.Settled, jax.Array | None]:
        """One group's chip at a read, a fresh one where there is none, and the key of what it reads."""
        if isinstance(chip, pipeline.Settled):
            return chip, key
        if chip is None:
            chip = pipeline.program(jnp.concatenate(tiles), self.technology, settings, key=fold_name(key, "program"))
        key = fold_name(key, "read")
        return pipeline.settle(chip, self.technology, key=key), key

    def _tiles(self, w: jax.Array, key: jax.Array | None) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
        """The row tiles (groups, rows, n_out) of the weights with their noise, and the largest without; None: there is none."""
        sizes = layout.tiling(w.shape[1:], self.technology).row_sizes
        if self.weight_noise is None or key is None:
            return tuple(lax.split(w, sizes, axis=1)), None
        unit = lax.stop_gradient(largest_magnitude(w))
        sigma, own = self.weight_noise.get_value() * unit, fold_name(key, "weights")
        if len(w) == 1:
            found = parts_with_noise(w[0], sigma, own, sizes, draw=rough_normal, number=sigma)
            return tuple(tile[None] for tile in found), unit
        return tuple(lax.split(with_noise(w, sigma, own, draw=rough_normal, number=sigma), sizes, axis=1)), unit

    def check_single(self) -> None:
        """Refuse a stack of layers that is called as if it were one.

        Raises:
          UserError: naming the layer.
        """
        if self.calls.get_value().ndim:
            raise UserError(
                f"Layer {self.path!r} is a stack of {self.stack}, but its state was not taken apart with its kernel; scan or "
                "map all state of the module along axis 0."
            )

    def conductances(
        self, w: jax.Array, key: jax.Array | None, time: jax.Array | float = 0.0
    ) -> tuple[pipeline.Programmed, jax.Array]:
        """Program (groups, n_in, n_out) weights into a chip and read its cells, siemens: leaves with a leading group axis.

        The key is the chip's; this layer's part of it is folded with the layer's path.
        """
        chips = self.program(w, key)
        return chips, self.cells(chips, key, time)

    def program(self, w: jax.Array, key: jax.Array | None) -> pipeline.Programmed:
        """The chip of `conductances` by itself: what can be read at several times."""
        hardware, settings = self.technology, self.settings()
        return self._by_group(lambda w, own: pipeline.program(w, hardware, settings, key=fold_name(own, "program")), key, w)

    def cells(self, chips: pipeline.Programmed, key: jax.Array | None, time: jax.Array | float = 0.0) -> jax.Array:
        """The cells of a chip that `program` returned with the same key, at one read, siemens; leading group axis."""
        hardware = self.technology

        def one(chip: pipeline.Programmed, own: jax.Array | None) -> jax.Array:
            return pipeline.conductances(chip, hardware, key=fold_name(own, "read"), time=time)

        return self._by_group(one, key, chips)

    def _by_group(self, one: Callable[[Any, jax.Array | None], Any], key: jax.Array | None, tree: Any) -> Any:
        """one(tree, key) of each group with its own key; leaves of `tree` and of the result have a leading group axis."""
        own = fold_name(key, self.path)
        groups = jax.tree.leaves(tree)[0].shape[0]
        if groups == 1:
            alone = one(jax.tree.map(lambda leaf: leaf[0], tree), fold_index(own, jnp.uint32(0)))
            return jax.tree.map(lambda leaf: leaf[None], alone)
        return jax.vmap(lambda part, group: one(part, fold_index(own, group)))(tree, jnp.arange(groups, dtype=jnp.uint32))

    def settle(self, w: jax.Array, key: jax.Array | None, time: jax.Array | float = 0.0) -> pipeline.Settled:
        """The chip of `conductances`, wires included: what `Chip` takes."""
        chip, g = self.conductances(w, key, time)
        return respond(chip, answers(chip, g, self.technology), self.technology)

    def _draw(self) -> jax.Array | None:
        if self.noise is None:
            return None
        count = self.calls.get_value()
        self.calls.set_value(count + 1)
        return fold_index(fold_name(self.noise.get_value(), self.path), count)


class ConvGeneralDilated(Operator):
    """An `Operator` with the signature of `lax.conv_general_dilated`, for `nnx.Conv`.

    The static geometry is the layer's: window, strides, padding, dilation, groups.
    """

    @staticmethod
    def exactly(*args: Any, **kwargs: Any) -> jax.Array:
        """The digital convolution that this stands for."""
        return lax.conv_general_dilated(*args, **kwargs)

    def matrices(self, kernel: jax.Array, groups: int) -> jax.Array:
        """The kernel (*window, channels / groups, n_out) as (groups, prod(window) * channels / groups, n_out / groups).

        Groups that share an array are one block-diagonal matrix.
        """
        flat = kernel.reshape(-1, groups, kernel.shape[-1] // groups)
        return self._packing(kernel.shape, groups).pack(jnp.moveaxis(flat, 1, 0))

    def _packing(self, kernel_shape: Sequence[int], groups: int) -> Packing:
        if self.technology.packing == "apart":
            return Packing(groups, 1)
        n_in, n_out = math.prod(kernel_shape[:-1]), kernel_shape[-1] // groups
        return Packing.of(groups, n_in, n_out, *layout.usable(self.technology))

    def vectors(
        self,
        x: jax.Array,
        kernel: jax.Array,
        window_strides: Sequence[int],
        padding: Any,
        lhs_dilation: Sequence[int] | None = None,
        rhs_dilation: Sequence[int] | None = None,
        feature_group_count: int = 1,
        **_: Any,
    ) -> jax.Array:
        """Inputs (batch, *space, channels) as (batch, *positions, groups, n_in).

        Raises:
          UserError: a convolution that dilates its input, or inputs of other channels.
        """
        self._check(x, kernel, lhs_dilation, feature_group_count)
        rows = unroll(x, kernel.shape, window_strides, padding, rhs_dilation, feature_group_count)
        return self._packing(kernel.shape, feature_group_count).join(rows)

    def some_vectors(
        self,
        most: int,
        x: jax.Array,
        kernel: jax.Array,
        window_strides: Sequence[int],
        padding: Any,
        lhs_dilation: Sequence[int] | None = None,
        rhs_dilation: Sequence[int] | None = None,
        feature_group_count: int = 1,
        **_: Any,
    ) -> tuple[jax.Array, int]:
        """At most `most` of the `vectors`, evenly chosen, as (vectors, groups, n_in); and how many there are."""
        self._check(x, kernel, lhs_dilation, feature_group_count)
        rows, total = some_vectors(x, kernel.shape, window_strides, padding, rhs_dilation, feature_group_count, most)
        return self._packing(kernel.shape, feature_group_count).join(rows), total

    def _check(self, x: jax.Array, kernel: jax.Array, lhs_dilation: Sequence[int] | None, groups: int) -> None:
        self.check_single()
        channels = kernel.shape[-2] * groups
        if x.shape[-1] != channels:
            raise UserError(
                f"Layer {self.path!r} was given inputs of shape {x.shape}; their last axis must have {channels} channels."
            )
        if lhs_dilation is not None and math.prod(lhs_dilation) != 1:
            raise UserError(f"Layer {self.path!r} dilates its input; leave it digital with Rule({self.path!r}, digital=True).")

    def __call__(
        self,
        x: jax.Array,
        kernel: jax.Array,
        window_strides: Sequence[int],
        padding: Any,
        *,
        feature_group_count: int = 1,
        precision: Any = None,
        preferred_element_type: Any = None,
        **geometry: Any,
    ) -> jax.Array:
        """As `lax.conv_general_dilated`, channels last."""
        dtype = preferred_element_type or jnp.result_type(x, kernel)
        if feature_group_count == 1 and not self.paced:
            return self._of_images(x, kernel, window_strides, padding, **geometry).astype(dtype)
        rows = self.vectors(x, kernel, window_strides, padding, feature_group_count=feature_group_count, **geometry)
        y = self.matmul(rows, self.matrices(kernel, feature_group_count))
        y = self._packing(kernel.shape, feature_group_count).part(y)
        return y.reshape(*y.shape[:-2], -1).astype(dtype)

    def _of_images(self, x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **geometry: Any) -> jax.Array:
        """A convolution without groups, not unrolled where the hardware lets XLA convolve."""
        self._check(x, kernel, geometry.get("lhs_dilation"), 1)
        hardware, settings, key = self.technology, self.settings(), self._draw()
        x, kernel = (a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in (x, kernel))
        tiles, unit = self._tiles(self.matrices(kernel, 1), key)
        tiles = tuple(tile[0] for tile in tiles)
        digital = (x, tiles)
        if self.backward == "straight_through":
            x, tiles = lax.stop_gradient(digital)

        def by(images: jax.Array, w: jax.Array, first: int = 0) -> jax.Array:
            return convolve_rows(images, w, first, kernel.shape[:-2], strides, padding, **geometry)

        own = fold_index(key, jnp.uint32(0))
        chip = None if self.chip is None else jax.tree.map(lambda leaf: leaf[0], self.chip.get_value())
        if chip is None and self.direct:
            adc = fold_name(own, "adc")
            y = direct.product(x, tiles, hardware, settings, largest=unit, key=adc, by=by)
        else:
            settled, own = self._settled(chip, tiles, settings, own)
            adc = fold_name(own, "adc")
            if convolved.applies(hardware, settled, settings):
                y = convolved.multiply(settled, x, hardware, settings, by=by, key=adc)
            else:
                rows = self.vectors(x, kernel, strides, padding, **geometry)[..., 0, :]
                y = pipeline.multiply(settled, rows, hardware, settings, key=adc)
        if self.correction is not None:
            gain, offset = self.correction.get_value()
            y = y * gain[0] + offset[0]
        if self.backward == "straight_through":
            y = straight_through(y, by(digital[0], jnp.concatenate(digital[1])))
        return y
