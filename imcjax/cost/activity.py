"""What the data asks of the arrays: voltages on the rows, conductances behind them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from imcjax import layout
from imcjax.cost.interpolate import ramp
from imcjax.digits import input_digits, weight_digits
from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.pytree import record
from imcjax.quantize import clip_through
from imcjax.settings import Settings, complete


@record
class Activity:
    """How strongly the inputs of a layer drive its rows, for every input width.

    Attributes:
      volts_squared: (bits_max, n_in) V^2; row b - 1 is the mean over samples of the sum over phases of V^2 when the inputs
        are sent with b bits. Widths below the least legal one (2 where inputs are signed) repeat it. A leading axis of groups
        is allowed.
      spread: (bits_max, n_in) V^2, the same over the mean voltage of the wordlines of a tile instead of over ground, summed
        over the wordlines of an input; what floating columns (`imcjax.cost.reads`) are costed by. None: not measured.
    """

    volts_squared: jax.Array
    spread: jax.Array | None = None

    def at(self, bits: jax.Array | float) -> Float[Array, "... n_in"]:
        """(n_in,) V^2 at a real width: exact at whole ones, linear between (see `between`)."""
        return between(jnp.moveaxis(self.volts_squared, -2, 0), bits)


def between(table: Float[Array, "bits_max ..."], bits: jax.Array | float) -> Float[Array, "..."]:
    """Row b - 1 of `table` at whole b in 1..bits_max, linear between: the expectation under random rounding of the width.

    The derivative is the slope of the piece, and at whole b the mean of the slopes on its two sides (of the one side there is,
    at 1 and bits_max). Widths beyond the table take its end, without gradient.
    """
    # The first slope, and a ramp for each change of slope: nothing is looked up, so many widths are one vectorised pass.
    most = table.shape[0]
    if most == 1:
        return table[0]
    b = clip_through(jnp.asarray(bits, dtype=table.dtype), 1.0, float(most))
    slopes = jnp.diff(table, axis=0)
    total = table[0] + slopes[0] * (b - 1)
    for whole, bend in enumerate(jnp.diff(slopes, axis=0), start=2):
        total += bend * ramp(b - whole)
    return total


def measure(x: Float[Array, "samples *groups n_in"], settings: Settings, hardware: Hardware) -> Activity:
    """The activity of input vectors as the DACs of the hardware send them; the spread where columns answer in volts.

    Args:
      x: (samples, n_in) inputs, any unit, or (samples, groups, n_in).
      settings: the layer's; its input width is not used, all are measured. Its input range None takes max|x|, of each group.
      hardware: the DAC.

    Raises:
      UserError: inputs of another shape, or hardware whose inputs are continuous.
    """
    most = hardware.dac.input_bits
    if most is None:
        raise UserError("hardware.dac.input_bits is absent, so inputs are continuous and have no cost; set it.")
    if x.ndim == 3:
        return jax.vmap(lambda group: measure(group, settings, hardware), in_axes=1)(x)
    if x.ndim != 2:
        raise UserError(f"x has shape {x.shape}; give (samples, n_in), or (samples, groups, n_in).")
    least = 2 if settings.input_signed else 1

    def one(bits: jax.Array) -> Activity:
        sent = settings.replace(input_bits=jnp.clip(bits, least, max(most, least)), phases=None)
        digits, _, _ = input_digits(x, hardware, complete(sent, hardware))
        volts_squared = jnp.mean(jnp.sum(jnp.square(hardware.dac.voltages(digits)), axis=0), axis=0)
        return Activity(volts_squared, _spread(digits, hardware) if hardware.readout.unit == "V" else None)

    return lax.map(one, jnp.arange(1, most + 1, dtype=x.dtype))


def _spread(digits: Float[Array, "P B n_in"], hardware: Hardware) -> Float[Array, " n_in"]:
    """V^2 of the wordlines over the mean of their tile: sum over phases, mean over samples."""
    tiling, per_input = layout.tiling((digits.shape[-1], 1), hardware), hardware.encoding.rows_per_input
    # Cells of an interleaved pair meet between wordlines of opposite voltage, whose mean is zero.
    centred = 0.0 if hardware.encoding.interleaved else 1.0
    volts = hardware.dac.voltages(hardware.encoding.drive(tiling.cut_rows(digits)))  # (P, B, T, lines)
    used = np.arange(volts.shape[-2] * volts.shape[-1]).reshape(volts.shape[-2:]) < digits.shape[-1] * per_input
    mean = jnp.sum(volts * used, axis=-1, keepdims=True) / np.sum(used, axis=-1, keepdims=True)
    squared = jnp.mean(jnp.sum(jnp.square(volts - centred * mean), axis=0), axis=0)
    return jnp.sum(squared.reshape(-1, per_input), axis=-1)[: digits.shape[-1]]


def row_conductance(
    w: Float[Array, "*groups n_in n_out"], hardware: Hardware, settings: Settings
) -> Float[Array, "*groups n_in"]:
    """(n_in,) siemens: the target conductances on each row, summed over columns, both polarities and the slices in use.

    Slices not in use and the cells that pad the last tile are not counted. Where an input has two wordlines, one of which it
    drives, the mean of both counts.

    Args:
      w: (n_in, n_out) weights, any unit, or (groups, n_in, n_out).
      hardware: encoding and device.
      settings: the layer's weight width and range.

    Raises:
      UserError: settings that the hardware does not have.
    """
    if w.ndim == 3:
        return jax.vmap(lambda group: row_conductance(group, hardware, settings))(w)
    digits, _ = weight_digits(w, hardware, complete(settings, hardware))
    encoding, tile = hardware.encoding, digits.values[:, None, None]
    g = encoding.encode(tile, hardware.device.g_min, hardware.device.g_max, digits.zero)  # (S, D, 1, 1, rows, columns)
    on_rows = jnp.einsum("sdtcij,s->i", g, (digits.place != 0).astype(g.dtype))
    return jnp.mean(on_rows.reshape(-1, encoding.rows_per_input), axis=1)
