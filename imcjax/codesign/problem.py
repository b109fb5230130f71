"""What is to be co-designed, and the quantities that every part of a run asks for."""

import dataclasses
from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax import data, models, pipeline
from imcjax.codesign import menu
from imcjax.codesign.bill import Bill
from imcjax.codesign.menu import BudgetError
from imcjax.codesign.network import Network, Ranges
from imcjax.codesign.plan import Plan
from imcjax.fast_random import fast_key
from imcjax.hardware import Hardware
from imcjax.keys import fold_index, fold_name
from imcjax.nn import calibrate, convert, record_inputs
from imcjax.training import batch_indices, correct, cross_entropy


MARGIN = 0.99
"""The part of the budget that a design may take before tuning: tuned weights conduct a little more or less."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What the user asks for; the budget is a fraction of the energy of the widest uniform design."""

    data: data.Dataset
    model: str
    hardware: Hardware
    energy_budget: float
    chips: int
    seed: int
    plan: Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A finished network on hardware: parameters, whole bit-widths (layers, 3), static ranges."""

    params: nnx.State
    bits: np.ndarray
    ranges: Ranges


class FloatProblem:
    """The network without hardware, and the data.

    Attributes:
      task: what was asked for.
      key: of everything random.
      train_x, train_y: the training set.
      graph, start, rest: the float model, split.
    """

    def __init__(self, task: Task):
        self.task = task
        self.key = fast_key(task.seed)
        self.train_x, self.train_y = jnp.asarray(task.data.train.x), jnp.asarray(task.data.train.y)
        self.model = models.build(task.model, task.data.shape, task.data.classes, task.seed)
        self.graph, self.start, self.rest = nnx.split(self.model, nnx.Param, ...)

    def batches(self, stage: str, batch: int, first: int, stop: int) -> tuple[jax.Array, jax.Array]:
        """(steps, batch, ...) training inputs and labels of the steps [first, stop) of a stage."""
        seed = int(np.random.SeedSequence([self.task.seed, *stage.encode()]).generate_state(1)[0])
        chosen = batch_indices(len(self.train_x), batch, first, stop, seed=seed)
        return self.train_x[chosen], self.train_y[chosen]

    def accuracy(self, params: nnx.State, split: data.Split, batch: int = 500) -> float:
        """Accuracy of the network without hardware."""
        count = jax.jit(lambda p, x, y: correct(nnx.merge(self.graph, p, self.rest)(x), y).sum())
        hits = [int(count(params, split.x[i : i + batch], split.y[i : i + batch])) for i in range(0, len(split), batch)]
        return sum(hits) / len(split)


class Problem(FloatProblem):
    """The network on hardware: calibrated inputs, frozen input statistics, costs, the budget in joule.

    Attributes:
      hardware, fast: the technology, with exact and with approximate wires.
      network: the converted model.
      params: the float network's parameters, as the network takes them.
      inputs: (samples, groups, n_in) calibration inputs of each layer.
      bill: costs of designs.
      low, high: (layers, 3) legal bit-widths.
      reference_j, budget_j: energy of the widest uniform design, and the bound.
    """

    def __init__(self, task: Task, params: nnx.State, *, slack: float = 1.0):
        """Put trained (or untrained) parameters on hardware.

        Raises:
          BudgetError: a budget more than a factor `slack` below the smallest legal design.
        """
        super().__init__(task)
        self.hardware = task.hardware
        self.fast = pipeline.quickly_wired(task.hardware)
        converted = convert(nnx.merge(self.graph, params, self.rest, copy=True), self.fast)
        sample = self.train_x[: task.plan.calibration]
        calibrate(converted, [sample])
        self.network, self.params = Network.of(converted)
        recorded = record_inputs(converted, [sample])
        self.inputs = {path: jnp.asarray(seen.inputs) for path, seen in recorded.items()}
        self.bill = Bill.of(self.network, self.params, recorded, self.hardware)
        self.low, self.high = menu.bounds(self.network.signed, self.hardware)
        self.reference_j = float(self.energy(self.params, self.high[None])[0])
        self.budget_j = task.energy_budget * self.reference_j
        smallest_j = float(self.energy(self.params, self.low[None])[0])
        if smallest_j > self.budget_j * MARGIN * slack:
            raise BudgetError(
                f"--energy-budget {task.energy_budget:g} is {self.budget_j:.3g} J per inference, but the smallest legal design "
                f"costs {'about ' if slack > 1 else ''}{smallest_j:.3g} J; give at least "
                f"{self.affordable(smallest_j):g}."
            )

    def energy(self, params: nnx.State, designs: np.ndarray) -> np.ndarray:
        """Exact joule per inference of designs (designs, layers, 3), bit-widths rounded, ranges of least squared error."""
        return np.array([float(self._energy(params, jnp.asarray(bits))) for bits in designs])

    def energy_of(self, design: Design) -> float:
        """Exact joule per inference of a finished design, with its own ranges."""
        return float(self._energy(design.params, jnp.asarray(design.bits), design.ranges))

    def losses(self, params: nnx.State, designs: np.ndarray) -> np.ndarray:
        """Validation losses of designs (designs, layers, 3), without training: the mean of a few chips, ranges chosen anew.

        By these the searched bit-widths are made legal and the uniform designs are ranked. Chips and samples are the same for
        all designs; wires are approximated.
        """
        split, count = self.task.data.validation, self.task.plan.probe
        x, y = jnp.asarray(split.x[:count]), jnp.asarray(split.y[:count])
        return np.array([float(self._loss(params, jnp.asarray(bits), x, y)) for bits in designs])

    @cached_property
    def find_ranges(self) -> Callable[..., Ranges]:
        """(params, bits) -> ranges of least squared error."""
        return jax.jit(lambda params, bits: self.network.find_ranges(params, bits, self.inputs, self.fast))

    @cached_property
    def _energy(self) -> Callable[..., jax.Array]:
        return jax.jit(lambda params, bits, ranges=None: self.bill.energy(params, bits, hard=True, ranges=ranges))

    @cached_property
    def _loss(self) -> Callable[..., jax.Array]:
        keys = [fold_index(fold_name(self.key, "probe"), i) for i in range(self.task.plan.probe_chips)]

        def loss(params: nnx.State, bits: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            ranges = self.network.find_ranges(params, bits, self.inputs, self.fast)
            losses = [cross_entropy(self.network.apply(params, bits, ranges, self.fast, x, key=key), y) for key in keys]
            return jnp.mean(jnp.stack(losses))

        return jax.jit(loss)

    def affordable(self, joules: float) -> float:
        """An --energy-budget that allows a design of so many joules, with a few percent of room for trained weights."""
        return float(np.ceil(100 * 1.05 * joules / self.reference_j / MARGIN) / 100)

    def uniform_bits(self, triple: np.ndarray) -> np.ndarray:
        """(layers, 3) bit-widths with the same (weight, input, ADC) in all layers."""
        return np.repeat(triple[None], len(self.network.paths), axis=0)

    def named(self, bits: np.ndarray) -> dict[str, list[float]]:
        """Bit-widths by layer, for the history."""
        return {path: [round(float(b), 3) for b in row] for path, row in zip(self.network.paths, bits, strict=True)}
