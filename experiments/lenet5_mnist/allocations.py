"""Designs that are chosen without a search: by sensitivity, at random, by memory, by the size of channels."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lenet5_mnist import bits as widths
from experiments.lenet5_mnist import network
from experiments.lenet5_mnist.ranges import WIDEST
from imcjax.codesign import BudgetError
from imcjax.codesign.bitwidths import choose, cut_largest, hessian_trace, perturbation, random_legal
from imcjax.training import cross_entropy


NAMES = ("random", "hawq", "cut_largest", "pruned W1A2")
MENU = tuple(float(b) for b in range(1, WIDEST + 1))
UNIFORM = {"uniform W1A2": (1.0, 2.0), "uniform W2A2": (2.0, 2.0), "uniform W4A4": (4.0, 4.0)}


def uniform(name: str) -> np.ndarray:
    """(7,) the widths of a uniform design."""
    weight, inputs = UNIFORM[name]
    return np.array([weight] * 4 + [inputs] * 3)


def allocate(
    name: str, seed: int, bound: float, params: network.Params, table: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, network.Keep]:
    """(7,) widths within the bound, and the channels that are kept: all, but of "pruned W1A2".

    Args:
      name: one of `NAMES`.
      seed: of what is random.
      bound: relative BOPs, percent.
      params, table: the float network and its ranges.
      x, y: a few training images and their labels, for the sensitivities.

    Raises:
      BudgetError: the bound is below the cheapest legal design.
    """
    if name == "pruned W1A2":
        return uniform("uniform W1A2"), strongest(params, uniform("uniform W1A2"), bound)
    if name == "random":
        rng = np.random.default_rng([seed, round(1000 * bound)])
        return random_legal(rng, widths.LOW, widths.HIGH, widths.spent, bound), network.nothing_pruned()
    if name == "cut_largest":
        return cut_largest(widths.HIGH, widths.LOW, network.COUNTS, widths.spent, bound), network.nothing_pruned()
    harm = harms(params, table, jnp.asarray(x), jnp.asarray(y), jax.random.key(seed))
    groups = [[(w,) for w in MENU], *([list(product(MENU, MENU))] * 3)]
    total, cost = [], []
    for i, options in enumerate(groups):
        total.append(np.array([harm[i, int(o[0]) - 1] + (harm[3 + i, int(o[1]) - 1] if i else 0.0) for o in options]))
        designs = np.ones((len(options), len(network.TENSORS)))
        designs[:, i] = [o[0] for o in options]
        if i:
            designs[:, 3 + i] = [o[1] for o in options]
        # What the other layers cost at one bit each is taken off again: BOPs of layers add.
        own = widths.IMAGE_BITS if i == 0 else 1.0
        work = network.WORKS[i]
        share = work.n_in * work.n_out * work.positions / sum(w.n_in * w.n_out * w.positions for w in network.WORKS)
        cost.append(widths.spent_each(designs) - widths.spent(np.ones(7)) + 100 * share * own / 1024)
    chosen = [groups[i][option] for i, option in enumerate(choose(total, cost, bound))]
    return np.array([o[0] for o in chosen] + [o[1] for o in chosen[1:]]), network.nothing_pruned()


def strongest(params: network.Params, bits: np.ndarray, bound: float) -> network.Keep:
    """As many channels of the first layer as the bound allows, those first whose weights in and out are the largest.

    The strength of a channel is the product of the mean magnitudes of its weights in the first layer and in the second.

    Raises:
      BudgetError: not even one fits.
    """
    leaving = np.abs(np.asarray(params["conv2"]["kernel"])).mean(1).reshape(-1, network.WORKS[0].n_out).mean(0)
    order = np.argsort(-np.abs(np.asarray(params["conv1"]["kernel"])).mean(0) * leaving)
    _, *others = network.nothing_pruned()
    cost = np.inf
    for count in range(len(order), 0, -1):
        kept = np.zeros(len(order), np.float32)
        kept[order[:count]] = 1
        keep = (jnp.asarray(kept), *others)
        cost = widths.spent(bits, keep)
        if cost <= bound:
            return keep
    raise BudgetError.of(cost, bound, bits)


def harms(params: network.Params, table: np.ndarray, x: jax.Array, y: jax.Array, key: jax.Array) -> np.ndarray:
    """(7, widths) mean Hessian trace of each tensor times the squared error that each width makes in it."""
    kernels = [params[name]["kernel"] for name in network.LAYERS]
    probes = [jnp.zeros((len(x), *shape)) for shape in ((12, 12, 32), (1024,), (512,))]

    def loss(tensors: list[jax.Array]) -> jax.Array:
        moved = {name: params[name] | {"kernel": k} for name, k in zip(network.LAYERS, tensors[:4], strict=True)}
        return cross_entropy(network.forward(moved, x, lambda i, v: v if i < 4 else v + tensors[i]), y)

    traces = jax.jit(lambda tensors: hessian_trace(loss, tensors, key, samples=4))([*kernels, *probes])
    found = []
    for i, values in enumerate(network.seen(params, x)):
        scale = network.column_scale(kernels[i]) if i < 4 else 1.0
        errors = jnp.stack([
            perturbation(values * scale, [table[i, int(b)] * scale], (b,), signed=network.SIGNED[i])[0] for b in MENU
        ])  # fmt: skip
        found.append(jnp.abs(traces[i]) / values.size * errors)
    return np.asarray(jnp.stack(found), float)
