"""The 1T1R array whose inputs gate the cells: every column is one resistor, found exactly in one pass.

A source line runs beside each bitline. It is driven at row 0 with the read voltage V; the bitline is sensed below the last row.
Whatever current I enters a column leaves it, so across any cut the source line carries I minus what the bitline carries, C_k,
the sum of the cell currents down to row k. The voltages u_k = a_k - b_k across the cells d_k therefore make a single line,

    C_k = C_{k-1} + d_k u_k        u_{k+1} = u_k + rho C_k - r_s I        rho = r_s + r_b, per segment.

Going down, the rows passed are known by what they make of the voltage u = u_k and the current I:

    C_k = e u + h I        V - b_k = p I + w u        (w = 1 - h by reciprocity; z = r_s - rho h)

    row 0:        e = d_0, h = 0, w = 1, z = r_s, p = driver
    a segment:    s = 1 / (1 + rho e);  p += w s z;  h += e s z;  p += r_b h;  w = s (w + r_b e);  z = s z;  e = s e
    a cell:       e += d

Below the last row C = I and b = sense I, so that I = G V with G = e / (w^2 + e (p + sense)). Upwards again, x = u / V starts
with w / (w^2 + e (p + sense)) and goes on with x_k = s_k (x_{k+1} + z_k G). Every number is a sum, product or quotient of
positive ones, so float32 keeps its digits, and zero resistances and cells are ordinary.

A resistor is its own adjoint, so its gradient needs no solve beyond the one for x (Cohn's theorem):

    dG/dd_k = x_k^2      dG/dr_b = - sum (C_k / V)^2      dG/dr_s = - sum ((I - C_k) / V)^2      dG/ddriver = dG/dsense = - G^2

It goes down again to find e, h and z of each row, instead of keeping them from the first time.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from imcjax.crossbar.chunks import in_chunks
from imcjax.crossbar.solution import Solution


def read_voltage(v: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
    """The one voltage, V, that the inputs of a `gate_input` array switch; NaN where there are several."""
    high, low = jnp.max(v, -1), jnp.min(v, -1)
    read = jnp.where(high >= -low, high, low)
    return jnp.where(jnp.all((v == 0) | (v == read[..., None]), -1), read, jnp.nan)


def currents(
    g: Float[Array, "arrays rows cols"], v: Float[Array, "arrays inputs rows"], wires: Float[Array, "4"]
) -> Float[Array, "arrays inputs cols"]:
    """Currents (A) out of the bitlines; cells of rows with v = 0 are open. Differentiable in `g`, `v` and `wires`."""
    return read_voltage(v)[..., None] * _conductance(g, v != 0, wires)


def solve(g: Float[Array, "arrays rows cols"], v: Float[Array, "arrays inputs rows"], wires: Float[Array, "4"]) -> Solution:
    """The solved circuit; `wordline_v` are the nodes of the source lines, `source_currents` what each of these draws."""

    def piece(g, inputs):
        on, siemens, bottom = inputs

        def row_above(b, row, x, collected, passed):
            b = b + wires[1] * collected
            return b, (b + x, b)

        sense_v = wires[3] * siemens
        _, above = _up(g, on, wires, siemens, bottom, sense_v, row_above)
        fields = (jnp.concatenate([rest, last[None]]) for rest, last in zip(above, (sense_v + bottom, sense_v), strict=True))
        return (), tuple(jnp.moveaxis(field, 0, 2) for field in fields)

    volts, on = read_voltage(v)[..., None], v != 0
    found, none = volts * _conductance(g, on, wires), jnp.zeros(v.shape[:-1], g.dtype)
    _, fields = in_chunks(partial(partial, piece), (g,), (on, *_down(g, on, wires)), fields=6)
    source_v, bitline_v = (volts[..., None] * field for field in fields)
    return Solution(found, source_v, bitline_v, found, none, none.astype(jnp.int32))


@jax.custom_vjp
def _conductance(
    g: Float[Array, "arrays rows cols"], on: Bool[Array, "arrays inputs rows"], wires: Float[Array, "4"]
) -> Float[Array, "arrays inputs cols"]:
    """G (siemens) of each column."""
    return _down(g, on, wires)[0]


def _forward(g, on, wires):
    siemens, bottom = _down(g, on, wires)
    return siemens, (g, on, wires, siemens, bottom)


def _backward(saved, cotangent):
    g, on, wires, siemens, bottom = saved

    def piece(g, inputs):
        on, siemens, bottom, cotangent = inputs

        def to_cells(on_row, x):
            return jnp.sum(jnp.where(on_row, cotangent * x**2, 0), 1)

        def row_above(squares, row, x, collected, passed):
            return (squares[0] + passed**2, squares[1] + collected**2), to_cells(row, x)

        zero = jnp.zeros_like(bottom)
        (_, _, along), above = _up(g, on, wires, siemens, bottom, (zero, zero), row_above)
        to_g = jnp.concatenate([above, to_cells(on[:, :, -1:], bottom)[None]])
        ends = siemens**2
        to_wires = [jnp.sum(cotangent * squares, (1, 2)) for squares in (*along, ends, ends)]
        return (jnp.moveaxis(to_g, 0, 1), -jnp.stack(to_wires, -1)), ()

    (to_g, to_wires), _ = in_chunks(partial(partial, piece), (g,), (on, siemens, bottom, cotangent), fields=3)
    return to_g, None, jnp.sum(to_wires, 0)


_conductance.defvjp(_forward, _backward)


def _down(g, on, wires):
    """G (siemens) of each column and x of its last row, (arrays, inputs, cols)."""
    # One row of the state (e, h, w, z, p) is in use at a time.
    return in_chunks(lambda g: lambda on: ((), _down_at_once(g, on, wires)), (g,), on, fields=5 / g.shape[1])[1]


def _down_at_once(g, on, wires):
    segment, bitline, driver, sense = wires
    g, on = _rows_first(g, on)

    def next_row(state, row):
        e, h, w, z, p = state
        s, e_below, h_below, z_below = _past_segment(segment + bitline, e, h, z)
        w_below = s * w + bitline * e_below
        p = p + w * z_below + bitline * h_below
        return (e_below + jnp.where(row[1], row[0], 0), h_below, w_below, z_below, p), None

    first = jnp.where(on[0], g[0], 0)
    zero = jnp.zeros_like(first)
    (e, _, w, _, p), _ = lax.scan(next_row, (first, zero, zero + 1, zero + segment, zero + driver), (g[1:], on[1:]))
    scale = 1 / (w * w + e * (p + sense))
    return e * scale, w * scale


def _up(g, on, wires, siemens, bottom, start, row_above):
    """Upwards from the last row: (x, I - C, state) of row 0, and what `row_above(state, on, x, C, I - C)` made of each row."""
    rho = wires[0] + wires[1]
    g, on = _rows_first(g, on)

    def down(state, row):
        _, e, h, z = _past_segment(rho, *state)
        return (e + jnp.where(row[1], row[0], 0), h, z), state

    def up(state, row):
        x, passed, other = state
        (e, h, z), (g_below, on_below), on_row = row
        passed = passed + jnp.where(on_below, g_below, 0) * x
        x = (x + z * siemens) / (1 + rho * e)
        other, kept = row_above(other, on_row, x, e * x + h * siemens, passed)
        return (x, passed, other), kept

    first, zero = jnp.where(on[0], g[0], 0), jnp.zeros_like(bottom)
    _, rows = lax.scan(down, (first, zero, zero + wires[0]), (g[1:], on[1:]))
    return lax.scan(up, (bottom, zero, start), (rows, (g[1:], on[1:]), on[:-1]), reverse=True)


def _past_segment(rho, e, h, z):
    s = 1 / (1 + rho * e)
    return s, s * e, h + s * e * z, s * z


def _rows_first(g, on):
    """(rows, arrays, 1, cols) and (rows, arrays, inputs, 1)."""
    return jnp.moveaxis(g, 1, 0)[:, :, None, :], jnp.moveaxis(on, 2, 0)[..., None]
