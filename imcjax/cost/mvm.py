"""Energy of a matrix-vector product on a crossbar from counts, fitted to a reference.

After Cubero-Cascante, Vaidyanathan, Pelke, Pfeifer, Leupers, Joseph, "A Calibratable Model for Fast Energy Estimation of MVM
Operations on RRAM Crossbars", AICAS 2024, arXiv 2405.04326: the circuit is condensed into few numbers, calibrated on a
circuit simulation. Their equations were not at hand; this is a model of that kind,

    E = e_0 + sum_x sum_s n_xs e_xs - sum_k l_k q_k

with n_xs the number of cells in state s whose row gets input level x, e_xs the energy of such a cell, and q_k the squared
currents in the wires: drivers, wordline segments, bitline segments, sense (A^2). To first order in the resistances a resistor
r takes r I^2 T from what the sources deliver, so l_k is the resistance times the read time, lowered by all that is of higher
order. Linear in its numbers, so least squares finds them. Counts come from actual tensors (`counts`) or from histograms
(`expected_counts`), and are differentiable: a real level counts in part for its two neighbours.
"""

import csv
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from imcjax.crossbar import Wires, solve
from imcjax.errors import UserError, check_number, concrete
from imcjax.pytree import record


@record
class MvmEnergy:
    """A fitted model; every number is a leaf.

    Attributes:
      base_j: e_0, joule.
      cell_j: (levels, states) e_xs, joule.
      wire_ohm_s: (4,) l_k of drivers, wordlines, bitlines, sense, ohm second; zeros where the reference has no wires.
      held_out: largest relative error on the samples that were not fitted.
      held_out_rms: root mean square of it.
    """

    base_j: Any
    cell_j: Any
    wire_ohm_s: Any
    held_out: Any
    held_out_rms: Any

    def energy_j(
        self, counts: Float[Array, "... levels states"], squares: Float[Array, "... 4"] | None = None
    ) -> Float[Array, "..."]:
        """Joule per product.

        Args:
          counts: (..., levels, states) of `counts` or `expected_counts`.
          squares: (..., 4) of `wire_squares` or `expected_wire_squares`; None leaves the wires out.
        """
        energy = self.base_j + jnp.sum(counts * self.cell_j, axis=(-2, -1))
        return energy if squares is None else energy - jnp.sum(squares * self.wire_ohm_s, axis=-1)


def counts(
    levels: Float[Array, "... rows"], states: Float[Array, "rows cols"], sizes: tuple[int, int]
) -> Float[Array, "... levels states"]:
    """How many cells in each state are on rows with each input level.

    Args:
      levels: (..., rows) input level of each row, 0 .. sizes[0] - 1; a real one is shared by its neighbours.
      states: (rows, cols) state of each cell, 0 .. sizes[1] - 1, or (..., rows, cols).
      sizes: numbers of levels and of states.
    """
    shares = [_share(states, s) for s in range(sizes[1])]
    on_rows = jnp.stack([_product("...ij,j->...i", each, jnp.ones(each.shape[-1], each.dtype)) for each in shares], axis=-1)
    of_rows = jnp.stack([_share(levels, x) for x in range(sizes[0])], axis=-2)
    return _product("...xi,...is->...xs", of_rows, on_rows)


def expected_counts(
    levels: Float[Array, " levels"], states: Float[Array, " states"], rows: int, cols: int
) -> Float[Array, "levels states"]:
    """The counts that histograms promise, inputs and weights taken as independent: rows x cols x p(level) x p(state).

    Args:
      levels: (levels,) frequencies of the input levels, any scale.
      states: (states,) of the cell states, any scale.
      rows, cols: of the array.

    Raises:
      UserError: negative frequencies, or none at all.
    """
    _check_histogram("levels", levels)
    _check_histogram("states", states)
    p, q = levels / jnp.sum(levels), states / jnp.sum(states)
    return rows * cols * p[:, None] * q[None, :]


def wire_squares(v: Float[Array, "... rows"], g: Float[Array, "... rows cols"]) -> Float[Array, "... 4"]:
    """Squared currents, A^2, summed over drivers, wordline segments, bitline segments and sense terminals, of ideal wires.

    Args:
      v: (..., rows) volt.
      g: (..., rows, cols) siemens, driven at column 0, sensed below the last row.
    """
    # A wordline segment in front of column j carries the cells from j on: over all segments a pair (a, b) of cells meets in
    # min(a, b) of them, and a pair of rows in rows - 1 - max(a, b) segments of each bitline. Sums of squares are such forms.
    rows, cols = g.shape[-2:]
    square = jnp.square(v)
    meet = jnp.minimum(*jnp.meshgrid(jnp.arange(cols), jnp.arange(cols))).astype(g.dtype)
    on_row = jnp.square(_product("...ij,j->...i", g, jnp.ones(cols, g.dtype)))
    on_wordline = _product("...ij,...ij->...i", _product("...ij,jk->...ik", g, meet), g)
    below = rows - 1 - jnp.maximum(*jnp.meshgrid(jnp.arange(rows), jnp.arange(rows))).astype(g.dtype)
    pairs = _product("...ij,...kj->...ik", g, g) * below
    currents = _product("...i,...ij->...j", v, g)
    return jnp.stack(
        [
            _product("...i,...i->...", square, on_row),
            _product("...i,...i->...", square, on_wordline),
            _product("...i,...i->...", _product("...i,...ij->...j", v, pairs), v),
            _product("...j,...j->...", currents, currents),
        ],
        -1,
    )


def _product(subscripts: str, *factors: jax.Array) -> jax.Array:
    """A sum of products, full precision. XLA vectorises it on a CPU, plain sums over the last axis it does not."""
    return jnp.einsum(subscripts, *factors, precision=jax.lax.Precision.HIGHEST)


def expected_wire_squares(
    levels: Float[Array, " levels"],
    states: Float[Array, " states"],
    volts: Float[Array, " levels"],
    siemens: Float[Array, " states"],
    rows: int,
    cols: int,
) -> Float[Array, "4"]:
    """The mean of `wire_squares` over independent inputs and cells with these histograms.

    A line with k cells carries the sum of k independent currents: its mean square is k times their variance and k^2 times
    their squared mean.
    """
    p, q = levels / jnp.sum(levels), states / jnp.sum(states)
    v1, v2 = jnp.sum(p * volts), jnp.sum(p * jnp.square(volts))
    g1, g2 = jnp.sum(q * siemens), jnp.sum(q * jnp.square(siemens))

    def upto(k: int) -> tuple[float, float]:
        return k * (k + 1) / 2, k * (k + 1) * (2 * k + 1) / 6

    spread_g, spread_i, mean_i = g2 - g1**2, v2 * g2 - (v1 * g1) ** 2, v1 * g1
    driver = rows * v2 * (cols * spread_g + cols**2 * g1**2)
    first, second = upto(cols - 1)
    wordline = rows * v2 * (first * spread_g + second * g1**2)
    first, second = upto(rows - 1)
    bitline = cols * (first * spread_i + second * mean_i**2)
    sense = cols * (rows * spread_i + rows**2 * mean_i**2)
    return jnp.stack([driver, wordline, bitline, sense])


def driver_energy_j(
    g: Float[Array, "... rows cols"], v: Float[Array, "... rows"], wires: Wires, time_s: float
) -> Float[Array, "..."]:
    """Joule that the sources deliver in `time_s`, from the exact nodal solution: T sum_i V_i I_i."""
    return time_s * jnp.sum(v * solve(g, v, wires).source_currents, -1)


def fit(
    counts: Float[Array, "samples levels states"] | np.ndarray,
    energy_j: Float[Array, " samples"] | np.ndarray,
    *,
    squares: Float[Array, "samples 4"] | None = None,
    nominal_j: Float[Array, "levels states"] | None = None,
    held_out: float = 0.25,
) -> MvmEnergy:
    """Least squares to a reference, relative to each sample's energy; on the host, in double precision.

    What the samples do not determine (all counts together are the number of cells) stays at `nominal_j`.

    Args:
      counts: (samples, levels, states).
      energy_j: (samples,) of the reference: a nodal solution, a circuit simulation, measurements.
      squares: (samples, 4) of the wires; None: the reference has none.
      nominal_j: (levels, states) where to start, V^2 G T; None: zeros.
      held_out: part of the samples kept for the error, evenly spread over them.

    Raises:
      UserError: shapes that do not fit, energies that are not positive, too few samples, or cells of negative energy.
    """
    n, y = np.asarray(counts, float), np.asarray(energy_j, float)
    if n.ndim != 3 or y.shape != n.shape[:1]:
        raise UserError(f"counts has shape {n.shape} and energy_j {y.shape}; give (samples, levels, states) and (samples,).")
    if not (np.isfinite(n).all() and (n >= 0).all()):
        raise UserError("counts holds negative or infinite numbers; give how many cells there are of each kind.")
    if not (np.isfinite(y).all() and (y > 0).all()):
        raise UserError("energy_j holds energies that are not positive; a calibration needs joules of a reference.")
    check_number("held_out", held_out, 0.05, 0.9)
    sizes = n.shape[1:]
    start = np.zeros(sizes) if nominal_j is None else np.asarray(nominal_j, float)
    q = np.zeros((len(y), 4)) if squares is None else np.asarray(squares, float)
    if start.shape != sizes or q.shape != (len(y), 4):
        raise UserError(f"nominal_j has shape {start.shape} and squares {q.shape}; give {sizes} and {(len(y), 4)}.")
    every = max(2, round(1 / held_out))
    kept = np.arange(len(y)) % every == every - 1
    numbers = 1 + n[0].size + (0 if squares is None else 4)
    if (~kept).sum() < numbers:
        raise UserError(f"{(~kept).sum()} samples are fitted to {numbers} numbers; give at least {math.ceil(numbers / 0.7)}.")
    system = np.concatenate([np.ones((len(y), 1)), n.reshape(len(y), -1), -q], 1) / y[:, None]
    size = np.linalg.norm(system, axis=0)
    size[size == 0] = 1
    rest = 1 - n.reshape(len(y), -1) @ start.ravel() / y
    found, *_ = np.linalg.lstsq((system / size)[~kept], rest[~kept], rcond=1e-10)
    found = found / size
    cell = start + found[1 : 1 + n[0].size].reshape(sizes)
    if cell.min() < -0.01 * np.abs(cell).max():
        x, s = np.unravel_index(cell.argmin(), sizes)
        raise UserError(
            f"The calibration gives a negative energy, {cell.min():.3g} J, to cells in state {s} at "
            f"input level {x}; give samples with more various counts, or nominal_j."
        )
    errors = np.abs(rest - system @ found)[kept]
    return MvmEnergy(
        float(found[0]), cell, found[1 + n[0].size :], float(errors.max()), float(np.sqrt(np.mean(np.square(errors))))
    )


def calibrate(
    volts: Any, siemens: Any, wires: Wires, *, rows: int, cols: int, time_s: float, samples: int = 96, seed: int = 0
) -> MvmEnergy:
    """Fit to the exact nodal solution of random arrays with random inputs, from nearly empty to nearly full ones.

    Args:
      volts: (levels,) of the input levels.
      siemens: (states,) of the cell states.
      wires: of the array.
      rows, cols: of it.
      time_s: of one read.
      samples: how many arrays; a quarter of them gives the held-out error.
      seed: of the patterns.

    Raises:
      UserError: as `fit`.
    """
    check_number("time_s", time_s, 1e-15, 1e3, unit="s")
    volts, siemens = np.asarray(volts, float), np.asarray(siemens, float)
    levels, states = patterns(len(volts), len(siemens), rows, cols, samples, seed)
    v, g = jnp.asarray(volts, float)[levels], jnp.asarray(siemens, float)[states]
    energy = np.concatenate([driver_energy_j(g[i : i + 16], v[i : i + 16], wires, time_s) for i in range(0, samples, 16)])
    access = 1 + siemens * float(np.asarray(wires.access))
    n, q = _features(jnp.asarray(levels, float), jnp.asarray(states, float), v, g, sizes=(len(volts), len(siemens)))
    nominal = time_s * volts[:, None] ** 2 * (siemens / access)[None, :]
    return fit(n, energy, squares=q, nominal_j=nominal)


def patterns(n_levels: int, n_states: int, rows: int, cols: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(samples, rows) levels and (samples, rows, cols) states, each sample with histograms of its own (Dirichlet)."""
    rng = np.random.default_rng(seed)
    p, q = (rng.dirichlet(np.ones(k), samples) for k in (n_levels, n_states))
    levels = np.stack([rng.choice(n_levels, rows, p=row) for row in p])
    levels[np.all(levels == 0, 1), 0] = n_levels - 1  # a product with no input at all has no energy to compare with
    states = np.stack([rng.choice(n_states, (rows, cols), p=row) for row in q])
    return levels, states


def load_csv(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(samples, levels, states) counts and (samples,) joules of measurements.

    The file has a header with `energy_j` and `n_<level>_<state>` for every pair of both, from 0 on; one product a line.

    Raises:
      UserError: no such file, a missing column, or something that is not a number.
    """
    try:
        with open(path, newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"The measurements {path} cannot be read ({error.strerror or error}).") from None
    if not lines or "energy_j" not in lines[0]:
        raise UserError(f"The measurements {path} have no column energy_j, or no line; give energy_j and n_<level>_<state>.")
    pairs = [name.split("_")[1:] for name in lines[0] if name.startswith("n_")]
    if not all(len(pair) == 2 and all(part.isdigit() for part in pair) for pair in pairs):
        raise UserError(f"The measurements {path} have a column n_... that is not n_<level>_<state>.")
    sizes = tuple(1 + max((int(pair[k]) for pair in pairs), default=-1) for k in (0, 1))
    names = [f"n_{x}_{s}" for x in range(sizes[0]) for s in range(sizes[1])]
    missing = [name for name in names if name not in lines[0]]
    if missing or not names:
        raise UserError(f"The measurements {path} lack the column {(missing or ['n_0_0'])[0]}.")
    try:
        table = np.array([[float(line[name]) for name in ("energy_j", *names)] for line in lines])
    except (TypeError, ValueError):
        raise UserError(f"The measurements {path} hold something that is not a number.") from None
    return table[:, 1:].reshape(-1, *sizes), table[:, 0]


@jax.jit
def _squares(v: jax.Array, g: jax.Array) -> jax.Array:
    return wire_squares(v, g)


def _features(
    levels: jax.Array, states: jax.Array, v: jax.Array, g: jax.Array, sizes: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda x, s: counts(x, s, sizes))(levels, states), _squares(v, g)


def _share(index: jax.Array, whole: int) -> jax.Array:
    """How much a real index belongs to a whole one: 1 at it, linear to 0 at its neighbours."""
    index = jnp.asarray(index)
    index = index if jnp.issubdtype(index.dtype, jnp.floating) else index.astype(float)
    distance = jnp.abs(index - whole)
    return jnp.where(distance < 1, 1 - distance, 0.0)


def _check_histogram(name: str, values: Any) -> None:
    known = concrete(values)
    if known is not None and (not np.isfinite(known).all() or (known < 0).any() or known.sum() <= 0):
        raise UserError(f"The histogram of {name} holds negative numbers or nothing; give frequencies, 0 or larger.")
