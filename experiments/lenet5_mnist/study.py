"""The study: float networks, designs by every method at every bound, each tested once.

Killed and started again, it ends the same.
"""

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lenet5_mnist import allocations, network
from experiments.lenet5_mnist import bits as widths
from experiments.lenet5_mnist.methods import SEARCHES, Search
from experiments.lenet5_mnist.ranges import tables
from experiments.lenet5_mnist.schedule import Schedule
from experiments.lenet5_mnist.steps import Rates, Trained, evaluate, fixed_step, float_step
from imcjax.codesign.legal import BudgetError, require_feasible, require_legal
from imcjax.codesign.projection import project
from imcjax.data import Dataset, Split
from imcjax.files import read_json, write_json
from imcjax.keys import fold_index, fold_name
from imcjax.training import Row, Stages, Store, batch_indices


@dataclass(frozen=True)
class Run:
    """One design: a method at a bound (None: its widths are given) from one seed."""

    method: str
    bound: float | None
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        bound = "" if self.bound is None else f"-{self.bound:.2f}"
        return f"{self.method.replace(' ', '-')}{bound}-s{self.seed}"


@dataclass(eq=False)
class Study:
    """Everything that runs share.

    Attributes:
      data: MNIST.
      schedule: sizes.
      out: folder of checkpoints and results.
      progress: whether to show bars.
    """

    data: Dataset
    schedule: Schedule
    out: Path
    progress: bool = True
    searches: dict[str, Search] = field(default_factory=dict)
    floats: dict[int, tuple[Trained, np.ndarray]] = field(default_factory=dict)

    @property
    def train(self) -> Split:
        """The part of the training set that is used."""
        return Split(self.data.train.x[: self.schedule.samples], self.data.train.y[: self.schedule.samples])

    def stages(self) -> Stages:
        """A runner of stages."""
        return Stages(Store(self.out / "checkpoint"), progress=self.progress)

    def batch(self, stage: str, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of one step of a stage."""
        seed = int(np.random.SeedSequence(list(stage.encode())).generate_state(1)[0])
        chosen = batch_indices(len(self.train), self.schedule.batch, step, step + 1, seed=seed)[0]
        return self.train.x[chosen], self.train.y[chosen]

    def pretrained(self, seed: int) -> tuple[Trained, np.ndarray]:
        """The float network of a seed and the ranges of its tensors, trained once."""
        if seed not in self.floats:
            schedule, stage = self.schedule, f"float-s{seed}"
            steps = schedule.float_epochs * schedule.epoch

            def advance(state: Trained, first: int, stop: int) -> tuple[Trained, list[Row]]:
                losses = []
                for step in range(first, stop):
                    rate = _cosine(schedule.float_rate, step / steps)
                    state, loss = float_step(state, Rates(rate, jnp.zeros(()), jnp.zeros(())), *self.batch(stage, step))
                    losses.append(loss)
                return state, [{"step": stop, "loss": float(jnp.stack(losses).mean())}]

            trained = self.stages().run(
                stage, steps, schedule.epoch, lambda: Trained.start(network.start(seed)), advance, metric=_loss
            )
            trained = Trained.start(jax.tree.map(jnp.asarray, trained.params))
            self.floats[seed] = trained, tables(trained.params, self.train.x[:256])
        return self.floats[seed]

    def accuracy(self, trained: Trained, bits: np.ndarray, keep: Any, table: np.ndarray, split: Split) -> tuple[float, float]:
        """Accuracy and mean loss over a data set."""
        hits, losses, size = 0.0, 0.0, self.schedule.evaluate
        for first in range(0, len(split), size):
            x, y = split.x[first : first + size], split.y[first : first + size]
            missing = size - len(x)
            x, y = np.pad(x, [(0, missing), (0, 0), (0, 0), (0, 0)]), np.pad(y, (0, missing), constant_values=-1)
            right, loss = evaluate(trained, jnp.asarray(bits, jnp.float32), keep, table, x, y)
            hits, losses = hits + float(right), losses + float(loss)
        return hits / len(split), losses / len(split)

    def result(self, run: Run) -> dict[str, Any]:
        """What a run came to, computed or read from an earlier start."""
        path = self.out / "runs" / f"{run.name}.json"
        if path.exists():
            return read_json(path)
        row = {"method": run.method, "bound_percent": run.bound, "seed": run.seed}
        try:
            if run.bound is not None:
                require_feasible(widths.LOW, widths.spent, run.bound)
            row |= self._design(run)
        except BudgetError as error:
            row |= {"status": "infeasible", "cheapest_percent": error.cost, "cheapest_bits": _list(error.bits)}
        write_json(path, row)
        for folder in (self.out / "checkpoint").glob(f"{run.name}-*"):
            shutil.rmtree(folder)
        return row

    def _design(self, run: Run) -> dict[str, Any]:
        trained, table = self.pretrained(run.seed)
        schedule, stages, row = self.schedule, self.stages(), {}
        keep, done = network.nothing_pruned(), 0
        if run.method in SEARCHES:
            assert run.bound is not None
            trained, bits, keep, row = self._searched(run, stages, trained, table, run.bound)
            done = schedule.search_epochs
        elif run.bound is not None:
            few = slice(0, 64)
            x, y = self.train.x[few], self.train.y[few]
            bits = allocations.allocate(run.method, run.seed, run.bound, trained.params, table, x, y)
        else:
            bits = allocations.uniform(run.method)
        if run.bound is not None:
            require_legal(bits, widths.LOW, widths.HIGH, lambda b: widths.spent(b, keep), run.bound)
        best, validation = self._tuned(run, stages, trained, bits, keep, table, done)
        return row | {
            "status": "done",
            "bits": _list(bits),
            "pruned": [int(np.sum(np.asarray(k) == 0)) for k in keep],
            "bops_percent": widths.spent(bits, keep),
            "bops_other_percent": widths.spent_otherwise(bits, keep),
            "validation": validation,
            "test": self.accuracy(best, bits, keep, table, self.data.test)[0],
            "seconds": sum(stages.seconds.values()),
        }

    def _searched(
        self, run: Run, stages: Stages, trained: Trained, table: np.ndarray, bound: float
    ) -> tuple[Trained, np.ndarray, network.Keep, dict[str, Any]]:
        """Weights, legal widths and channels after a search, and what is to be said about it."""
        schedule, stage = self.schedule, f"{run.name}-search"
        steps = schedule.search_epochs * schedule.epoch
        if run.method not in self.searches:
            self.searches[run.method] = SEARCHES[run.method](steps)
        search = self.searches[run.method]
        key = fold_name(jax.random.key(run.seed), stage)
        start = search.start(trained, table)
        limits = {"budget": jnp.asarray(bound, jnp.float32), "start": jnp.asarray(widths.spent(widths.HIGH), jnp.float32)}
        width_rate = jnp.asarray(schedule.bits_per_search / steps, jnp.float32)

        def advance(state: Any, first: int, stop: int) -> tuple[Any, list[Row]]:
            losses = []
            for step in range(first, stop):
                rates = Rates(*self._rates(step), width_rate)
                progress = jnp.asarray(step / steps, jnp.float32)
                x, y = self.batch(stage, step)
                state, loss = search.step(state, table, rates, limits, progress, fold_index(key, step), x, y)
                losses.append(loss)
            return state, [{"step": stop, "loss": float(jnp.stack(losses).mean())}]

        state = stages.run(stage, steps, schedule.epoch, lambda: start, advance, metric=_loss)
        real, keep = search.found(state, bound)
        rounded = widths.spent(np.round(real), keep)
        said = {"searched": [round(float(b), 3) for b in real], "searched_percent": rounded, "reached": rounded <= bound}
        if search.legal:
            return state.trained, real, keep, said

        split = Split(self.data.validation.x[: schedule.probe], self.data.validation.y[: schedule.probe])
        losses: dict[bytes, float] = {}

        def loss_of(designs: np.ndarray) -> np.ndarray:
            for bits in designs:
                if bits.tobytes() not in losses:
                    losses[bits.tobytes()] = self.accuracy(state.trained, bits, keep, table, split)[1]
            return np.array([losses[bits.tobytes()] for bits in designs])

        legal = project(
            real,
            widths.LOW,
            widths.HIGH,
            lambda designs: widths.spent_each(designs, keep),
            loss_of,
            bound,
            exchanges=schedule.exchanges,
        )
        return state.trained, legal, keep, said

    def _rates(self, step: int) -> tuple[jax.Array, jax.Array]:
        """Step sizes of weights and ranges, on one cosine over all quantized training, searched or not."""
        done = step / ((self.schedule.search_epochs + self.schedule.tune_epochs) * self.schedule.epoch)
        return _cosine(self.schedule.rate, done), _cosine(self.schedule.range_rate, done)

    def _tuned(
        self, run: Run, stages: Stages, trained: Trained, bits: np.ndarray, keep: Any, table: np.ndarray, done: int
    ) -> tuple[Trained, float]:
        """Training at fixed widths from epoch `done` to the end; the best epoch of the last `tune_epochs`, by validation."""
        schedule, stage = self.schedule, f"{run.name}-tune"
        skipped = done * schedule.epoch
        steps = (schedule.search_epochs + schedule.tune_epochs) * schedule.epoch - skipped
        wide = jnp.asarray(bits, jnp.float32)
        # Adam's moments of the search belong to other widths.
        fresh = Trained.start(trained.params)._replace(log_factors=trained.log_factors)

        def advance(state: Any, first: int, stop: int) -> tuple[Any, list[Row]]:
            now, best, score = state
            losses = []
            for step in range(first, stop):
                x, y = self.batch(stage, step)
                rates = Rates(*self._rates(skipped + step), jnp.zeros(()))
                now, loss = fixed_step(now, wide, keep, table, rates, x, y)
                losses.append(loss)
            row = {"step": stop, "loss": float(jnp.stack(losses).mean())}
            if stop > steps - schedule.tune_epochs * schedule.epoch:
                accuracy, _ = self.accuracy(now, bits, keep, table, self.data.validation)
                row["validation"] = accuracy
                if accuracy >= float(score):
                    best, score = now, np.asarray(accuracy, np.float32)
            return (now, best, score), [row]

        begin = (fresh, fresh, np.zeros((), np.float32))
        _, best, score = stages.run(stage, steps, schedule.epoch, lambda: begin, advance, metric=_loss)
        return best, float(score)


def _cosine(rate: float, done: float) -> jax.Array:
    return jnp.asarray(rate * (1 + math.cos(math.pi * min(1.0, done))) / 2, jnp.float32)


def _loss(row: Row) -> str:
    shown = f"loss {row['loss']:.4f}"
    return f"{shown}  validation {row['validation']:.2%}" if "validation" in row else shown


def _list(bits: Any) -> list[float]:
    return [float(b) for b in np.asarray(bits)]
