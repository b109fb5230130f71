"""One resistive line with a shunt at every node: the tridiagonal solve that every exact solver here is made of.

A wordline seen from its driver (a bitline from its sense end) is a ladder with a terminal at one end and nothing at the other:

    terminal --rho_0-- node 0 --rho_1-- node 1 -- ... --rho_K-1-- node K-1   (open)
                          |                |                          |
                         g_0              g_1                       g_K-1     (to the other line of each cell)

Eliminating from the open end gives the conductance e_k looking into node k away from the terminal, and the Norton current y_k
that the injected currents x leave there:

    e_k = g_k + s_{k+1} e_{k+1}      y_k = x_k + s_{k+1} y_{k+1}      s_k = 1 / (1 + rho_k e_k)

and back towards the open end, with q_k = rho_k s_k and w_{-1} the terminal's voltage:  w_k = s_k w_{k-1} + q_k y_k.

Nothing is ever subtracted, so float32 keeps its digits, and nothing is divided by a resistance or a conductance, so zero ones
are ordinary numbers. (Textbook elimination starts from 2/rho + g and loses g against 1/rho.)

Layout: the position along the line is axis 0, scanned; all other axes are independent lines.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from imcjax.pytree import record, static


@record
class Line:
    """A factorised set of lines. `forward` says whether the terminal is at index 0 (True) or at the last index."""

    s: Float[Array, "nodes ..."]
    q: Float[Array, "nodes ..."]
    into: Float[Array, "..."]  # e at the node next to the terminal, S
    forward: bool = static()


def factor(
    g: Float[Array, "nodes ..."],
    rho: Float[Array, " nodes"],
    *,
    forward: bool,
    floating: Bool[Array, "..."] | None = None,
) -> Line:
    """Factorise lines of shunts `g` (S) with `rho` ohm from each node to the next one towards the terminal.

    A line that is `floating` has no terminal; one that also has no shunt is at 0 V.
    """
    first = 0 if forward else g.shape[0] - 1

    def step(tail, node):
        g_k, rho_k = node
        e = g_k + tail
        s = 1 / (1 + rho_k * e)
        return e * s, (s, e)

    _, (s, e) = lax.scan(step, jnp.zeros_like(g[0]), (g, rho), reverse=forward)
    q = rho.reshape(rho.shape + (1,) * (g.ndim - 1)) * s
    into = e[first]
    if floating is not None:
        # An infinite resistance to the terminal.
        alone = jnp.where(into > 0, 1 / jnp.where(into > 0, into, 1), 0)
        s = s.at[first].set(jnp.where(floating, 0, s[first]))
        q = q.at[first].set(jnp.where(floating, alone, q[first]))
    return Line(s, q, into, forward)


def shared_currents(
    out_of: Float[Array, "nodes ..."], other: Float[Array, "nodes ..."], *, forward: bool
) -> Float[Array, "nodes arrays"]:
    """For each segment, the product of the currents through it for two sets of currents (A) out of the nodes.

    Axes are (nodes, arrays, inputs, lines); inputs and lines are summed over. The segment of a node is the one towards the
    terminal.
    """

    def step(tail, node):
        passing = jax.tree.map(jnp.add, tail, node)
        return passing, jnp.sum(passing[0] * passing[1], (1, 2))

    zero = jnp.zeros_like(out_of[0])
    return lax.scan(step, (zero, zero), (out_of, other), reverse=forward)[1]


def solve_line(
    line: Line, injected: Float[Array, "nodes ..."], terminal: Float[Array, "..."] | None = None
) -> tuple[Float[Array, "nodes ..."], Float[Array, "..."]]:
    """Node voltages (V) for currents `injected` (A) into the nodes and `terminal` volts (None: 0) at the terminal.

    Returns the voltages and the current (A) that flows from the line out into the terminal.
    """

    def collect(tail, node):
        x_k, s_k = node
        y = x_k + tail
        return s_k * y, y

    def spread(before, node):
        y_k, s_k, q_k = node
        w = s_k * before + q_k * y_k
        return w, w

    zero = jnp.zeros_like(injected[0])
    out, y = lax.scan(collect, zero, (injected, line.s), reverse=line.forward)
    start = zero if terminal is None else jnp.broadcast_to(terminal, zero.shape)
    _, w = lax.scan(spread, start, (y, line.s, line.q), reverse=not line.forward)
    if terminal is not None:
        first = 0 if line.forward else -1
        out = out - line.s[first] * line.into * terminal
    return w, out
