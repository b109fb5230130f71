"""Judging a design: many chips, each programmed, settled through exact wires, and read over a whole data set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.codesign.network import Network, Ranges
from imcjax.crossbar import transfer_matrix
from imcjax.crossbar.solvers import pick_repeated
from imcjax.devices import bends
from imcjax.hardware import Hardware
from imcjax.keys import fold_index, fold_name
from imcjax.nn.operator import answers, respond
from imcjax.pipeline import Settled
from imcjax.training import correct


ARRAYS = 16
"""How many arrays are solved in one call."""


def chip_judge(
    network: Network,
    params: nnx.State,
    bits: np.ndarray,
    ranges: Ranges,
    hardware: Hardware,
    *,
    key: jax.Array,
    batch: int,
    time: float = 0.0,
) -> Callable[[np.ndarray, list[tuple[np.ndarray, np.ndarray]]], np.ndarray]:
    """A function from chip numbers and data sets [(x, y), ...] to accuracies (chips, sets).

    Chip number i has the key fold_index(fold_name(key, "chip"), i), whatever other chips are judged beside it. Each chip is
    read once: its read noise is that of slow fluctuations, the same for all inputs. What converters and readouts add to each
    conversion is drawn anew for every batch of every set. The chips given are computed together, vmapped over their keys.

    Args:
      network, params, bits, ranges: the design.
      hardware: the technology, wires included.
      key: of the whole Monte-Carlo experiment.
      batch: inputs computed at a time.
      time: seconds since programming.
    """
    small = network.trimmed(bits, hardware)
    design = (params, jnp.asarray(bits), small.trimmed_ranges(ranges, hardware), hardware)

    def keys_of(numbers: jax.Array) -> jax.Array:
        return jax.vmap(lambda i: fold_index(fold_name(key, "chip"), i))(numbers)

    @jax.jit
    def draw(design: Any, numbers: jax.Array) -> Any:
        params, widths, kept, hardware = design
        return jax.vmap(lambda k: small.conductances(params, widths, kept, hardware, k, time))(keys_of(numbers))

    joined = jax.jit(jax.vmap(respond, in_axes=(0, 0, None)))

    def settle(numbers: jax.Array) -> dict[str, Settled]:
        drawn = draw(design, numbers)
        return {path: joined(chips, in_pieces(chips, g, hardware), hardware) for path, (chips, g) in drawn.items()}

    @jax.jit
    def hits(design: Any, chips: Any, numbers: jax.Array, place: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        params, widths, kept, hardware = design

        def logits(chip: Any, own: jax.Array) -> jax.Array:
            drawn = fold_index(fold_index(fold_name(own, "conversions"), place[0]), place[1])
            return small.apply(params, widths, kept, hardware, x, key=drawn, chip=chip)

        return jax.vmap(correct, in_axes=(0, None))(jax.vmap(logits)(chips, keys_of(numbers)), y).sum(axis=-1)

    def judge(numbers: np.ndarray, sets: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        known = jnp.asarray(numbers, jnp.uint32)
        chips = settle(known)
        scores = []
        for which, (x, y) in enumerate(sets):
            count = np.zeros(len(numbers))
            for first in range(0, len(x), batch):
                part, labels = x[first : first + batch], y[first : first + batch]
                missing = batch - len(part)  # the last batch is filled up, with labels that no class has
                part = jnp.asarray(np.pad(part, [(0, missing)] + [(0, 0)] * (x.ndim - 1)))
                labels = jnp.asarray(np.pad(labels, (0, missing), constant_values=-1))
                place = jnp.asarray([which, first // batch], jnp.uint32)
                count += np.asarray(hits(design, chips, known, place, part, labels))
            scores.append(count / len(x))
        return np.stack(scores, axis=1)

    return judge


def in_pieces(chips: Any, g: jax.Array, hardware: Hardware) -> jax.Array:
    """What the columns of many chips answer. Wires are solved for a fixed number of arrays in each call.

    So one program serves all layers and designs on arrays of one size.
    """
    linear = hardware.readout.kind == "current" and not bends(hardware.device)
    if hardware.wires is None or hardware.encoding.interleaved or not linear:
        return jax.vmap(answers, in_axes=(0, 0, None))(chips, g, hardware)
    solver = pick_repeated(hardware.solver, hardware.wires, *g.shape[-2:])
    arrays = g.reshape(-1, *g.shape[-2:])
    count = len(arrays)
    pieces = -(-count // ARRAYS)
    arrays = jnp.pad(arrays, [(0, pieces * ARRAYS - count), (0, 0), (0, 0)])
    solved = [transfer_matrix(arrays[i * ARRAYS : (i + 1) * ARRAYS], hardware.wires, solver=solver) for i in range(pieces)]
    return jnp.concatenate(solved)[:count].reshape(g.shape)


def spread(accuracies: np.ndarray) -> dict[str, Any]:
    """Mean, sample standard deviation (0 for one chip), 1 % quantile and number of chips, with the values."""
    values = np.asarray(accuracies, dtype=float)
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "q01": float(np.quantile(values, 0.01)),
        "n": len(values),
        "values": [float(v) for v in values],
    }
