"""The 1T1R array whose inputs gate the cells: every column is a ladder by itself, solved exactly in one pass.

A source line runs beside each bitline. It is driven at row 0 with the read voltage; the bitline is sensed below the last row.
The part of a column above some row meets the rest at two nodes, a on the source line and b on the bitline, where the rest draws
the current i_a and takes the current i_b:

    a = e - R i_a + k b        i_b = f - Y b - k i_a        (k twice by reciprocity)

A segment of both lines and a cell change (e, R, k, j = 1 - k, f, Y) by sums, products and quotients of positive numbers, so
float32 keeps its digits, and zero resistances and cells are ordinary.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def read_voltage(v: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
    """The one voltage, V, that the inputs of a `gate_input` array switch: the value farthest from 0."""
    high, low = jnp.max(v, -1), jnp.min(v, -1)
    return jnp.where(high >= -low, high, low)


def currents(
    g: Float[Array, "arrays rows cols"], v: Float[Array, "arrays inputs rows"], wires: Float[Array, "4"]
) -> Float[Array, "arrays inputs cols"]:
    """Currents (A) out of the bitlines; cells of rows with v = 0 are open. Plain differentiable array code."""
    segment, bitline, driver, sense = wires
    shape = (*v.shape[:2], g.shape[2])
    on = (v != 0).astype(g.dtype)
    # The segment before row 0 is the driver; the bitline's has no effect there, as nothing hangs on it.
    before = jnp.full(g.shape[1], segment).at[0].set(driver)
    rows = before, jnp.moveaxis(g, 1, 0)[:, :, None, :], jnp.moveaxis(on, 2, 0)[..., None]

    def next_row(state, row):
        ohms, g_row, on_row = row
        e, r, k, j, f, y = _along_segment(state, ohms, bitline)
        d = g_row * on_row
        q = 1 / (1 + d * r)
        return (e * q, r * q, (k + d * r) * q, j * q, f + j * d * q * e, y + j * j * d * q), None

    zero, one = jnp.zeros(shape, g.dtype), jnp.ones(shape, g.dtype)
    start = (read_voltage(v)[..., None] * one, zero, zero, one, zero, zero)
    (_, _, _, _, f, y), _ = lax.scan(next_row, start, rows)
    return f / (1 + y * sense)


def _along_segment(state, segment, bitline):
    e, r, k, j, f, y = state
    s = 1 / (1 + y * bitline)
    drop = bitline * s
    return e + k * drop * f, r + segment + k * k * drop, k * s, (j + y * bitline) * s, f * s, y * s
