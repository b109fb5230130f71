"""Node and supply -> energy, delay and area of logic, relative to a reference process.

Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to 7 nm", Integration
58 (2017) 74-81: per node, energy is a polynomial of degree two and delay one of degree three of the supply, fitted to SPICE
with predictive technology models (the high-performance ones from 45 nm down); area is their table. Between their nodes the
logarithm is interpolated in ln(node) by monotone cubic pieces: every factor has a continuous derivative to node and supply.

Valid from 7 nm to 180 nm and, at each node, in the window of supplies of `check`. Outside it, and where the cubic of the delay
would turn up again (above 0.84 V at 32 nm, 0.95 V at 45 nm, 0.96 V at 20 nm and 16 nm), a factor goes on along its tangent in
ln(supply): finite, positive and with a continuous derivative. Energy and area fall with the node; delay rises from 32 nm to
20 nm above 0.8 V, where the source's models change from planar transistors to FinFETs.
"""

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.cost.interpolate import monotone_cubic
from imcjax.errors import UserError, check_number, concrete
from imcjax.quantize import clip_through
from imcjax.technology import Technology


NODE_M = 28e-9
"""The node that the cost model's constants are for, metre."""
SUPPLY_V = 0.9
"""The supply that they are for, volt."""

# node nm, area, lowest and highest supply V, delay d3 V^3 + d2 V^2 + d1 V + d0, energy a2 V^2 + a1 V + a0
# fmt: off
_TABLE = np.array([
    [7,   0.0032, 0.5, 0.9, -28.58, 76.6,  -70.26, 24.69, 0.1776, -0.09097, 0.02447],
    [10,  0.0055, 0.5, 0.9, -34.95, 93.65, -85.99, 30.4,  0.2068, -0.09311, 0.02375],
    [14,  0.0093, 0.5, 1.0, -40.66, 109.2, -100.6, 35.92, 0.2363, -0.09675, 0.02239],
    [16,  0.010,  0.5, 1.0, 0.0,    24.8,  -47.52, 28.87, 0.2958, -0.1241,  0.03024],
    [20,  0.011,  0.5, 1.1, 0.0,    34.63, -66.37, 41.15, 0.373,  -0.1582,  0.04104],
    [32,  0.025,  0.6, 1.1, -1047,  2982,  -2797,  873.5, 0.8367, -0.4341,  0.1701],
    [45,  0.053,  0.6, 1.2, -501.6, 1567,  -1619,  566.1, 1.018,  -0.3107,  0.1539],
    [65,  0.08,   0.8, 1.3, -53.3,  230.4, -333.9, 178.6, 3.755,  -4.398,   1.975],
    [90,  0.15,   0.8, 1.4, -60.34, 262.5, -384.2, 210.9, 4.762,  -4.781,   2.092],
    [130, 0.34,   0.8, 1.5, -76.65, 334.9, -493.4, 275.8, 7.171,  -6.709,   2.904],
    [180, 1.0,    1.2, 1.9, 0.0,    97.09, -356.7, 406.5, 0.0,    24.64,    -17.98],
])
# fmt: on
_NODES, _AREA, _LOWEST, _HIGHEST = _TABLE[:, :4].T
_DELAY, _ENERGY = _TABLE[:, 4:8], _TABLE[:, 8:]


def _turns_up(coefficients: np.ndarray) -> float:
    """The supply where a delay stops falling: its first minimum or, where it has none, the inflexion before it plunges."""
    d3, d2, d1, _ = coefficients
    if d3 == 0:
        return -d1 / (2 * d2)
    discriminant = d2**2 - 3 * d3 * d1
    return (-d2 + np.sqrt(discriminant)) / (3 * d3) if discriminant > 0 else -d2 / (3 * d3)


_DELAY_TOP = np.array([_turns_up(row) for row in _DELAY])


def check(technology: Technology, *, extrapolate: bool = False) -> tuple[str, ...]:
    """Refuse a concrete node outside 7 nm to 180 nm, or a concrete supply outside what the fits cover at a concrete node.

    The windows are where the energy rises with the supply as a circuit's does, up to some 20 % above nominal: 0.5 V to 0.9 V at
    7 nm, 0.6 V to 1.1 V at 32 nm, 0.8 V to 1.3 V at 65 nm, 1.2 V to 1.9 V at 180 nm; linear in ln(node) between.

    Args:
      technology: node and supply.
      extrapolate: go on along the ends instead of refusing.

    Returns:
      A sentence for each number that is extrapolated.

    Raises:
      UserError: naming the field and what is allowed.
    """
    rounding = 1e-6  # 7e-9 m in single precision is a little less
    node = concrete(technology.node_m)
    found: list[str] = []
    limits = ("technology.node_m", technology.node_m, 7e-9 * (1 - rounding), 180e-9 * (1 + rounding))
    try:
        check_number(*limits, unit="m")
    except UserError as error:
        if not extrapolate:
            raise UserError(f"{error} To go on beyond it, ask for extrapolate.") from None
        found.append(f"extrapolated: {error}")
    if node is None:
        return tuple(found)
    place = np.log(node * 1e9), np.log(_NODES)
    low, high = np.interp(*place, _LOWEST), np.interp(*place, _HIGHEST)
    name = "technology.supply_v" if node.ndim else f"technology.supply_v at the node of {float(node) * 1e9:g} nm"
    try:
        check_number(name, technology.supply_v, float(np.min(low)) - 1e-3, float(np.max(high)) + 1e-3, unit="V")
    except UserError as error:
        if not extrapolate:
            raise UserError(f"{error} To go on beyond it, ask for extrapolate.") from None
        found.append(f"extrapolated: {error}")
    return tuple(found)


def energy(technology: Technology, node_m: float = NODE_M, supply_v: float = SUPPLY_V) -> jax.Array:
    """Energy of a logic operation relative to the same at `node_m` and `supply_v`, no unit."""
    return jnp.exp(_log_energy(technology.node_m, technology.supply_v) - _log_energy(node_m, supply_v))


def delay(technology: Technology, node_m: float = NODE_M, supply_v: float = SUPPLY_V) -> jax.Array:
    """Delay of a gate relative to the same at `node_m` and `supply_v`, no unit."""
    return jnp.exp(_log_delay(technology.node_m, technology.supply_v) - _log_delay(node_m, supply_v))


def area(technology: Technology, node_m: float = NODE_M) -> jax.Array:
    """Area of logic relative to the same at `node_m`, no unit."""
    return jnp.exp(_log_area(technology.node_m) - _log_area(node_m))


# Compiled functions: traced once however many components of however many layers call them.
@jax.jit
def _log_energy(node_m: jax.Array, supply_v: jax.Array) -> jax.Array:
    return _between_nodes(_log_polynomial(_ENERGY, supply_v, _HIGHEST), node_m)


@jax.jit
def _log_delay(node_m: jax.Array, supply_v: jax.Array) -> jax.Array:
    return _between_nodes(_log_polynomial(_DELAY, supply_v, _DELAY_TOP), node_m)


@jax.jit
def _log_area(node_m: jax.Array) -> jax.Array:
    return _between_nodes(jnp.asarray(np.log(_AREA), jnp.result_type(float)), node_m)


def _log_polynomial(coefficients: np.ndarray, supply_v: jax.Array, top: np.ndarray) -> jax.Array:
    """(11,) ln of each node's polynomial of the supply, beyond [lowest, top] along its tangent in ln(supply)."""
    c = jnp.asarray(coefficients.T, jnp.result_type(float))
    lowest, top_v = jnp.asarray(_LOWEST, c.dtype), jnp.asarray(top, c.dtype)
    held = clip_through(jnp.asarray(supply_v, c.dtype), lowest, top_v)
    value, slope = c[0], jnp.zeros_like(c[0])
    for row in c[1:]:
        slope = slope * held + value
        value = value * held + row
    return jnp.log(value) + held * slope / value * (jnp.log(supply_v) - jnp.log(held))


def _between_nodes(values: jax.Array, node_m: jax.Array) -> jax.Array:
    """A quantity known at each node of the table, at `node_m`; outside the table it is the value at its end."""
    return monotone_cubic(values, jnp.log(jnp.asarray(node_m, values.dtype) * 1e9), np.log(_NODES))
