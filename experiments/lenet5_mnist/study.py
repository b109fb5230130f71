"""The study: float networks, designs by every method at every bound, each tested once.

Seeds that are trained together are the first axis of everything that steps take. Killed and started again, it ends the same.
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
from experiments.lenet5_mnist.images import Views
from experiments.lenet5_mnist.methods import SEARCHES, Search
from experiments.lenet5_mnist.ranges import tables
from experiments.lenet5_mnist.schedule import Schedule
from experiments.lenet5_mnist.steps import Batch, Rates, Teaching, Trained, evaluate, fixed_step, float_step
from imcjax.codesign.legal import BudgetError, require_feasible, require_legal
from imcjax.codesign.projection import project
from imcjax.data import Dataset, Split
from imcjax.files import read_json, write_json
from imcjax.keys import fold_index, fold_name
from imcjax.training import Row, Stages, Store, batch_indices


PRUNE = ("ours_pruned", "bayesian_bits", "pruned")
"""How names begin of methods that can go below one bit everywhere, for they prune channels."""


@dataclass(frozen=True)
class Run:
    """Designs by a method at a bound (None: its widths are given), one from each of some seeds, trained together."""

    method: str
    bound: float | None
    seeds: tuple[int, ...]

    def name(self, *seeds: int) -> str:
        """Of the files of some of its seeds, by default of all."""
        bound = "" if self.bound is None else f"-{self.bound:.2f}"
        return f"{self.method.replace(' ', '-')}{bound}-s{'+'.join(map(str, seeds or self.seeds))}"


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
    floats: dict[int, tuple[network.Params, np.ndarray]] = field(default_factory=dict)
    lessons: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The images to train on."""
        samples = self.schedule.samples
        self.train = Split(self.data.train.x[:samples], self.data.train.y[:samples])
        self.views = Views(self.train, self.schedule.views)

    def stages(self) -> Stages:
        """A runner of stages."""
        return Stages(Store(self.out / "checkpoint"), progress=self.progress)

    def chosen(self, stage: str, seed: int, step: int) -> np.ndarray:
        """Numbers of the images of one step of a stage."""
        start = int(np.random.SeedSequence([seed, *stage.encode()]).generate_state(1)[0])
        return batch_indices(len(self.train), self.schedule.batch, step, step + 1, seed=start)[0]

    def batch(self, stage: str, seeds: tuple[int, ...], step: int, skipped: int = 0) -> Batch:
        """What each seed sees in one step of a stage, before which `skipped` epochs were trained."""
        epoch = skipped + step // self.schedule.epoch
        chosen = [self.chosen(stage, seed, step) for seed in seeds]
        said = [self._lesson(seed, epoch)[numbers] for seed, numbers in zip(seeds, chosen, strict=True)]
        x = np.stack([self.views.take(epoch, numbers) for numbers in chosen])
        return Batch(*map(jnp.asarray, (x, self.train.y[np.stack(chosen)], np.stack(said))))

    def _lesson(self, seed: int, epoch: int) -> np.ndarray:
        """(images, 10) logits of a seed's float network for the images of an epoch."""
        place = seed, self.views.number(epoch)
        if place not in self.lessons:
            self.lessons[place] = self.views.logits(self.floats[seed][0], epoch)
        return self.lessons[place]

    def pretrain(self, seeds: tuple[int, ...]) -> None:
        """Float networks of seeds and the ranges of their tensors, trained once."""
        missing = tuple(seed for seed in seeds if seed not in self.floats)
        if not missing:
            return
        schedule, stage = self.schedule, "float"
        steps = schedule.float_epochs * schedule.epoch

        def advance(state: Trained, first: int, stop: int) -> tuple[Trained, list[Row]]:
            losses = []
            for step in range(first, stop):
                rates = Rates(_cosine(schedule.float_rate, step / steps), jnp.zeros(()), jnp.zeros(()))
                chosen = [self.chosen(stage, seed, step) for seed in missing]
                x = np.stack([self.views.take(step // schedule.epoch, c) for c in chosen])
                state, loss = float_step(state, rates, x, self.train.y[np.stack(chosen)])
                losses.append(loss)
            return state, [{"step": stop, "loss": float(jnp.stack(losses).mean())}]

        name = f"{stage}-s{'+'.join(map(str, missing))}"
        start = _stacked([Trained.start(network.start(seed)) for seed in missing])
        trained = self.stages().run(name, steps, schedule.epoch, lambda: start, advance, metric=_loss)
        for i, seed in enumerate(missing):
            params = jax.tree.map(lambda leaf, i=i: jnp.array(leaf[i]), trained.params)
            self.floats[seed] = params, tables(params, self.train.x[:256])

    def accuracy(self, trained: Trained, bits: np.ndarray, keep: Any, table: np.ndarray, split: Split) -> np.ndarray:
        """(2, seeds) accuracies and mean losses over a data set."""
        found, size = np.zeros((2, len(bits))), self.schedule.evaluate
        for first in range(0, len(split), size):
            x, y = split.x[first : first + size], split.y[first : first + size]
            missing = size - len(x)
            x, y = np.pad(x, [(0, missing), (0, 0), (0, 0), (0, 0)]), np.pad(y, (0, missing), constant_values=-1)
            found += np.stack(evaluate(trained, jnp.asarray(bits, jnp.float32), keep, table, x, y))
        return found / len(split)

    def results(self, run: Run) -> list[dict[str, Any]]:
        """What a run's designs came to, computed or read from an earlier start."""
        paths = [self.out / "runs" / f"{run.name(seed)}.json" for seed in run.seeds]
        if all(path.exists() for path in paths):
            return [read_json(path) for path in paths]
        try:
            if run.bound is not None and not run.method.startswith(PRUNE):
                require_feasible(widths.LOW, widths.spent, run.bound)
            found = self._designs(run)
        except BudgetError as error:
            found = [{"status": "infeasible", "cheapest_percent": error.cost, "cheapest_bits": _list(error.bits)}] * len(paths)
        rows = [
            {"method": run.method, "bound_percent": run.bound, "seed": seed} | one
            for seed, one in zip(run.seeds, found, strict=True)
        ]
        for path, row in zip(paths, rows, strict=True):
            write_json(path, row)
        for folder in (self.out / "checkpoint").glob(f"{run.name()}-*"):
            shutil.rmtree(folder)
        return rows

    def _designs(self, run: Run) -> list[dict[str, Any]]:
        self.pretrain(run.seeds)
        params, table = [self.floats[seed][0] for seed in run.seeds], np.stack([self.floats[seed][1] for seed in run.seeds])
        stages, said, done = self.stages(), [{} for _ in run.seeds], 0
        trained = _stacked([Trained.start(p) for p in params])
        keep = [network.nothing_pruned() for _ in run.seeds]
        if run.method in SEARCHES:
            assert run.bound is not None
            trained, bits, keep, said = self._searched(run, stages, trained, table, run.bound)
            done = self.schedule.search_epochs
        elif run.bound is not None:
            few = slice(0, 64)
            x, y = self.train.x[few], self.train.y[few]
            found = [
                allocations.allocate(run.method, seed, run.bound, p, own, x, y)
                for seed, p, own in zip(run.seeds, params, table, strict=True)
            ]
            bits, keep = [own for own, _ in found], [kept for _, kept in found]
        else:
            bits = [allocations.uniform(run.method) for _ in run.seeds]
        if run.bound is not None:
            for own, kept in zip(bits, keep, strict=True):
                require_legal(own, widths.LOW, widths.HIGH, lambda b, kept=kept: widths.spent(b, kept), run.bound)
        wide, kept = np.stack(bits), _stacked(keep)
        best, validation = self._tuned(run, stages, trained, wide, kept, table, done)
        test, _ = self.accuracy(best, wide, kept, table, self.data.test)
        return [
            said[i]
            | {
                "status": "done",
                "bits": _list(bits[i]),
                "pruned": [int(np.sum(np.asarray(k) == 0)) for k in keep[i]],
                "bops_percent": widths.spent(bits[i], keep[i]),
                "bops_other_percent": widths.spent_otherwise(bits[i], keep[i]),
                "validation": float(validation[i]),
                "test": float(test[i]),
                "seconds": sum(stages.seconds.values()) / len(bits),
            }
            for i in range(len(bits))
        ]

    def _searched(
        self, run: Run, stages: Stages, trained: Trained, table: np.ndarray, bound: float
    ) -> tuple[Trained, list[np.ndarray], list[network.Keep], list[dict[str, Any]]]:
        """Weights, legal widths and channels of each seed after a search, and what is to be said about it."""
        schedule, stage = self.schedule, f"{run.name()}-search"
        steps = schedule.search_epochs * schedule.epoch
        if run.method not in self.searches:
            self.searches[run.method] = SEARCHES[run.method](steps)
        search = self.searches[run.method]
        keys = jnp.stack([fold_name(jax.random.key(seed), run.name(seed)) for seed in run.seeds])
        start = _stacked([search.start(_own(trained, i), own) for i, own in enumerate(table)])
        limits = {"budget": jnp.asarray(bound, jnp.float32), "start": jnp.asarray(widths.spent(widths.HIGH), jnp.float32)}
        width_rate = jnp.asarray(schedule.bits_per_search / steps, jnp.float32)

        def advance(state: Any, first: int, stop: int) -> tuple[Any, list[Row]]:
            losses = []
            for step in range(first, stop):
                rates = Rates(*self._rates(step), width_rate)
                progress = jnp.asarray(step / steps, jnp.float32)
                batch = self.batch(f"{run.method}-search", run.seeds, step)
                own = _at_step(keys, step)
                state, loss = search.step(state, table, rates, limits, progress, self._teaching(), own, batch)
                losses.append(loss)
            return state, [{"step": stop, "loss": float(jnp.stack(losses).mean())}]

        state = stages.run(stage, steps, schedule.epoch, lambda: start, advance, metric=_loss)
        found, keep, said = [], [], []
        for i in range(len(run.seeds)):
            one = _own(state, i)
            real, kept = search.found(one, bound)
            rounded = widths.spent(np.round(real), kept)
            keep.append(kept)
            said.append(
                {"searched": [round(float(b), 3) for b in real], "searched_percent": rounded, "reached": rounded <= bound}
            )
            found.append(real if search.legal else self._projected(one.trained, real, kept, table[i], bound))
        return state.trained, found, keep, said

    def _projected(self, trained: Trained, real: np.ndarray, keep: network.Keep, table: np.ndarray, bound: float) -> np.ndarray:
        """Legal widths near real ones, by losses measured on a part of the validation images."""
        split = Split(self.data.validation.x[: self.schedule.probe], self.data.validation.y[: self.schedule.probe])
        losses: dict[bytes, float] = {}
        one, kept = _stacked([trained]), _stacked([keep])

        def loss_of(designs: np.ndarray) -> np.ndarray:
            for bits in designs:
                if bits.tobytes() not in losses:
                    losses[bits.tobytes()] = self.accuracy(one, bits[None], kept, table[None], split)[1, 0]
            return np.array([losses[bits.tobytes()] for bits in designs])

        cost_of = lambda designs: widths.spent_each(designs, keep)  # noqa: E731
        return project(real, widths.LOW, widths.HIGH, cost_of, loss_of, bound, exchanges=self.schedule.exchanges)

    def _teaching(self) -> Teaching:
        return Teaching(jnp.float32(self.schedule.taught), jnp.float32(self.schedule.temperature))

    def _rates(self, step: int) -> tuple[jax.Array, jax.Array]:
        """Step sizes of weights and ranges, on one cosine over all quantized training, searched or not."""
        done = step / ((self.schedule.search_epochs + self.schedule.tune_epochs) * self.schedule.epoch)
        return _cosine(self.schedule.rate, done), _cosine(self.schedule.range_rate, done)

    def _tuned(
        self, run: Run, stages: Stages, trained: Trained, bits: np.ndarray, keep: Any, table: np.ndarray, done: int
    ) -> tuple[Trained, np.ndarray]:
        """Training at fixed widths from epoch `done` to the end; each seed's best of the last epochs, by validation."""
        schedule, stage = self.schedule, f"{run.name()}-tune"
        skipped = done * schedule.epoch
        steps = (schedule.search_epochs + schedule.tune_epochs) * schedule.epoch - skipped
        wide = jnp.asarray(bits, jnp.float32)
        # Adam's moments of the search belong to other widths.
        fresh = _stacked([Trained.start(_own(trained, i).params) for i in range(len(bits))])
        fresh = fresh._replace(log_factors=jnp.array(trained.log_factors))

        def advance(state: Any, first: int, stop: int) -> tuple[Any, list[Row]]:
            now, best, score = state
            losses = []
            for step in range(first, stop):
                rates = Rates(*self._rates(skipped + step), jnp.zeros(()))
                batch = self.batch(f"{run.method}-tune", run.seeds, step, done)
                now, loss = fixed_step(now, wide, keep, table, rates, self._teaching(), batch)
                losses.append(loss)
            row = {"step": stop, "loss": float(jnp.stack(losses).mean())}
            if stop > steps - schedule.chosen_epochs * schedule.epoch:
                accuracy, _ = self.accuracy(now, bits, keep, table, self.data.validation)
                row["validation"] = float(accuracy.mean())
                better = accuracy >= np.asarray(score)
                best = jax.tree.map(lambda new, old: _where(better, new, old), now, best)
                score = np.where(better, accuracy, score).astype(np.float32)
            return (now, best, score), [row]

        begin = (fresh, jax.tree.map(jnp.array, fresh), np.zeros(len(bits), np.float32))
        _, best, score = stages.run(stage, steps, schedule.epoch, lambda: begin, advance, metric=_loss)
        return best, np.asarray(score)


def _stacked(parts: list[Any]) -> Any:
    """One pytree with a first axis of seeds."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


def _own(state: Any, i: int) -> Any:
    """One seed's part."""
    return jax.tree.map(lambda leaf: leaf[i], state)


@jax.jit
def _at_step(keys: jax.Array, step: int) -> jax.Array:
    return jax.vmap(lambda key: fold_index(key, step))(keys)


def _where(better: np.ndarray, new: Any, old: Any) -> jax.Array:
    return jnp.where(better.reshape(-1, *[1] * (jnp.ndim(new) - 1)), new, old)


def _cosine(rate: float, done: float) -> jax.Array:
    return jnp.asarray(rate * (1 + math.cos(math.pi * min(1.0, done))) / 2, jnp.float32)


def _loss(row: Row) -> str:
    shown = f"loss {row['loss']:.4f}"
    return f"{shown}  validation {row['validation']:.2%}" if "validation" in row else shown


def _list(bits: Any) -> list[float]:
    return [float(b) for b in np.asarray(bits)]
