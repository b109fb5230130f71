"""A co-design run: float training, search under the budget, projection, tuning, the uniform baseline, many chips, a report.

Each part is a stage with checkpoints of its own; a run that was killed goes on from the last one and ends the same.
"""

import dataclasses
import platform
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from imcjax import data, models
from imcjax.codesign import menu
from imcjax.codesign.bill import Bill
from imcjax.codesign.chips import chip_judge, spread
from imcjax.codesign.constraint import homotopy, raise_multiplier
from imcjax.codesign.network import Network, Ranges
from imcjax.codesign.plan import Plan
from imcjax.codesign.projection import project
from imcjax.codesign.steps import FloatState, SearchState, TuneState, float_chunk, search_chunk, tune_chunk
from imcjax.errors import UserError
from imcjax.fast_random import fast_key
from imcjax.hardware import Hardware, to_dict
from imcjax.keys import fold_name
from imcjax.nn import convert, record_inputs
from imcjax.nn.calibrate import calibrate
from imcjax.training import Row, Stages, batch_indices, correct, cross_entropy


RHO = 2.0
"""Weight of the augmented Lagrangian's quadratic term, and the multiplier's step size."""
MARGIN = 0.99
"""The part of the budget that a design may take before tuning: tuned weights conduct a little more or less."""
SUSPICIOUS = 0.2
"""Budgets below this fraction are looked at before the float training, which may take minutes."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be co-designed."""

    data: data.Dataset
    model: str
    hardware: Hardware
    energy_budget: float
    chips: int
    seed: int
    plan: Plan


class BudgetError(UserError):
    """The budget is below the smallest legal design."""


class Run:
    """The stages of one task, in order; the properties compute what lies between them once."""

    def __init__(self, task: Task, stages: Stages, tell: Callable[[str], None] = lambda text: None):
        self.task, self.stages, self.tell = task, stages, tell
        self.plan = task.plan
        self.hardware = task.hardware
        self.fast = task.hardware if task.hardware.wires is None else task.hardware.replace(solver="pade")
        self.key = fast_key(task.seed)
        self.train_x, self.train_y = jnp.asarray(task.data.train.x), jnp.asarray(task.data.train.y)
        self.model = models.build(task.model, task.data.shape, task.data.classes, task.seed)

    # --- float -------------------------------------------------------------------------------------------------------------

    def train_float(self) -> nnx.State:
        """Weights of the network without hardware."""
        plan = self.plan
        schedule = optax.cosine_decay_schedule(plan.float_rate, plan.float_steps)
        optimizer = optax.adam(schedule)
        chunk = float_chunk(self.model, optimizer)
        _, params, _ = nnx.split(self.model, nnx.Param, ...)

        def advance(state: FloatState, start: int, stop: int) -> tuple[FloatState, list[Row]]:
            state, losses = chunk(state, *self._batches("float", plan.float_batch, start, stop))
            return state, [{"phase": "float", "step": stop, "loss": float(losses.mean())}]

        state = self.stages.run(
            "float",
            plan.float_steps,
            plan.chunk * 4,
            lambda: FloatState(params, optimizer.init(params)),
            advance,
            metric=lambda row: f"loss {row['loss']:.3f}",
        )
        return state.params

    def float_accuracy(self, params: nnx.State, split: data.Split) -> float:
        """Accuracy of the network without hardware."""
        graph, _, rest = nnx.split(self.model, nnx.Param, ...)
        count = jax.jit(lambda p, x, y: correct(nnx.merge(graph, p, rest)(x), y).sum())
        batch = 500
        return sum(
            int(count(params, split.x[i : i + batch], split.y[i : i + batch])) for i in range(0, len(split), batch)
        ) / len(split)

    # --- on hardware -------------------------------------------------------------------------------------------------------

    def check_budget(self) -> None:
        """Refuse a budget that no training can save, before the float training: untrained weights cost about as much.

        Raises:
          BudgetError: a budget far below the smallest legal design.
        """
        if self.task.energy_budget < SUSPICIOUS:
            _, params, _ = nnx.split(self.model, nnx.Param, ...)
            Run(self.task, self.stages).place(params, slack=1.5)

    def place(self, params: nnx.State, *, slack: float = 1.0) -> None:
        """Put the float network on hardware: calibrated inputs, costs, reference energy, budget.

        Raises:
          BudgetError: a budget that is more than a factor `slack` below the smallest legal design.
        """
        plan, task = self.plan, self.task
        converted = convert(self.with_params(params), self.fast)
        sample = self.train_x[: plan.calibration]
        calibrate(converted, [sample])
        self.network, self.float_params = Network.of(converted)
        self.recorded = record_inputs(converted, [sample])
        self.inputs = {path: jnp.asarray(seen.inputs) for path, seen in self.recorded.items()}
        self.bill = Bill.of(self.network, self.float_params, self.recorded, self.hardware)
        self.low, self.high = menu.bounds(self.network.signed, self.hardware)
        self.reference_j = float(self.energy(self.float_params, self.high[None])[0])
        self.budget_j = task.energy_budget * self.reference_j
        smallest = float(self.energy(self.float_params, self.low[None])[0])
        if smallest > self.budget_j * MARGIN * slack:
            raise BudgetError(
                f"--energy-budget {task.energy_budget:g} is {self.budget_j:.3g} J per inference, but the smallest legal design costs "
                f"{'about ' if slack > 1 else ''}{smallest:.3g} J; give at least "
                f"{np.ceil(1000 * smallest / self.reference_j / MARGIN) / 1000:g}."
            )

    def with_params(self, params: nnx.State) -> Any:
        """The float model with these parameters."""
        graph, _, rest = nnx.split(self.model, nnx.Param, ...)
        return nnx.merge(graph, params, rest, copy=True)

    def energy(self, params: nnx.State, designs: np.ndarray) -> np.ndarray:
        """Exact joule per inference of whole designs (designs, layers, 3)."""
        return np.array([float(self._energy(params, jnp.asarray(bits))) for bits in designs])

    @cached_property
    def _energy(self) -> Callable[..., jax.Array]:
        return jax.jit(lambda params, bits: self.bill.energy(params, bits, hard=True))

    @cached_property
    def find_ranges(self) -> Callable[..., Ranges]:
        """(params, bits) -> ranges of least squared error."""
        return jax.jit(lambda params, bits: self.network.find_ranges(params, bits, self.inputs, self.fast))

    @cached_property
    def probe(self) -> Callable[..., jax.Array]:
        """(params, bits, x, y) -> cross-entropy of one chip at these bit-widths, ranges chosen anew."""

        def loss(params: nnx.State, bits: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            ranges = self.network.find_ranges(params, bits, self.inputs, self.fast)
            key = fold_name(self.key, "probe")
            return cross_entropy(self.network.apply(params, bits, ranges, self.fast, x, key=key), y)

        return jax.jit(loss)

    def losses(self, params: nnx.State, designs: np.ndarray, x: Any, y: Any) -> np.ndarray:
        """Measured losses of designs (designs, layers, 3)."""
        return np.array([float(self.probe(params, jnp.asarray(bits), x, y)) for bits in designs])

    # --- search ------------------------------------------------------------------------------------------------------------

    def search(self) -> SearchState:
        """Weights and real bit-widths moved together, from the widest widths down to the budget."""
        plan = self.plan
        optimizer = optax.adam(plan.rate)
        bit_optimizer = optax.adam(plan.bit_rate, b1=0.9, b2=0.99)
        chunk = search_chunk(self.network, self.bill, self.fast, optimizer, bit_optimizer, self.low, self.high, RHO)
        log_start, log_end = np.log(self.reference_j), np.log(self.budget_j * MARGIN)
        key = fold_name(self.key, "search")

        def start() -> SearchState:
            bits = jnp.asarray(self.high)
            return SearchState(
                self.float_params, optimizer.init(self.float_params), bits, bit_optimizer.init(bits), jnp.zeros(())
            )

        def advance(state: SearchState, first: int, stop: int) -> tuple[SearchState, list[Row]]:
            ranges = self.find_ranges(state.params, state.bits)
            target = homotopy(stop / plan.search_steps, log_start, log_end)
            numbers, (x, y) = jnp.arange(first, stop), self._batches("search", plan.batch, first, stop)
            state, losses = chunk(state, ranges, jnp.asarray(target, jnp.float32), key, numbers, x, y)
            joules = float(self.energy(state.params, np.asarray(state.bits)[None])[0])
            ratio = jnp.asarray(np.log(joules) - target, jnp.float32)
            state = state._replace(multiplier=raise_multiplier(state.multiplier, ratio, RHO))
            row = {
                "phase": "search",
                "step": stop,
                "loss": float(losses.mean()),
                "energy_j": joules,
                "target_j": float(np.exp(target)),
                "bits": self._bits_of(np.asarray(state.bits)),
            }
            return state, [row]

        return self.stages.run(
            "search",
            plan.search_steps,
            plan.chunk,
            start,
            advance,
            metric=lambda row: f"loss {row['loss']:.3f}  energy {row['energy_j'] / self.reference_j:.3f} of widest",
        )

    def make_legal(self, params: nnx.State, bits: np.ndarray, stage: str) -> np.ndarray:
        """Whole bit-widths within the budget, from real ones."""
        x, y = self.train_x[-self.plan.probe :], self.train_y[-self.plan.probe :]

        def advance(_: Any, first: int, stop: int) -> tuple[np.ndarray, list[Row]]:
            rows: list[Row] = []

            def tell(move: dict[str, Any]) -> None:
                rows.append(move | {"phase": "project", "step": len(rows) + 1, "bits": self._bits_of(move["bits"])})

            legal = project(
                bits,
                self.network.signed,
                self.hardware,
                lambda designs: self.energy(params, designs),
                lambda designs: self.losses(params, designs, x, y),
                self.budget_j * MARGIN,
                tell=tell,
            )
            return legal, rows

        legal = self.stages.run(stage, 1, 1, lambda: np.zeros_like(self.low), advance)
        menu.require_legal(legal, self.network.signed, self.hardware)
        return legal

    def tune(self, stage: str, params: nnx.State, bits: np.ndarray, steps: int) -> tuple[nnx.State, Ranges]:
        """Weights and ranges trained at these bit-widths, a new chip in every step."""
        plan = self.plan
        small = self.network.trimmed(bits, self.hardware)
        rates = optax.multi_transform(
            {
                "weights": optax.adam(optax.cosine_decay_schedule(plan.rate, steps)),
                "ranges": optax.adam(optax.cosine_decay_schedule(plan.range_rate, steps)),
            },
            ("weights", "ranges"),
        )
        chunk = tune_chunk(small, self.fast, rates)
        widths, key = jnp.asarray(bits), fold_name(self.key, stage)

        def start() -> TuneState:
            log_ranges = jax.tree.map(jnp.log, small.trimmed_ranges(self.find_ranges(params, widths)))
            return TuneState(params, log_ranges, rates.init((params, log_ranges)))

        def advance(state: TuneState, first: int, stop: int) -> tuple[TuneState, list[Row]]:
            numbers, (x, y) = jnp.arange(first, stop), self._batches(stage, plan.batch, first, stop)
            state, losses = chunk(state, widths, key, numbers, x, y)
            row = {
                "phase": "baseline" if stage.startswith("uniform") else "tune",
                "step": stop,
                "loss": float(losses.mean()),
                "energy_j": float(self.energy(state.params, bits[None])[0]),
                "target_j": self.budget_j,
                "bits": self._bits_of(bits),
            }
            return state, [row]

        state = self.stages.run(stage, steps, plan.chunk, start, advance, metric=lambda row: f"loss {row['loss']:.3f}")
        return state.params, jax.tree.map(jnp.exp, state.log_ranges)

    # --- judging -----------------------------------------------------------------------------------------------------------

    def judge(self, stage: str, design: "Design", chips: int) -> np.ndarray:
        """(chips, 2) accuracies on validation and test, as `score`, with a checkpoint after each group of chips."""
        group = self.plan.judge_chips
        groups = -(-chips // group)
        score = self._scorer(design, 0.0)

        def advance(table: np.ndarray, first: int, stop: int) -> tuple[np.ndarray, list[Row]]:
            table = np.array(table)
            for i in range(first, stop):
                table[i * group : (i + 1) * group] = score(np.arange(i * group, (i + 1) * group))
            return table, [{"phase": stage, "step": stop, "accuracy": float(table[: stop * group, 0].mean())}]

        table = self.stages.run(
            stage,
            groups,
            1,
            lambda: np.zeros((groups * group, 2)),
            advance,
            metric=lambda row: f"validation {row['accuracy']:.2%}",
        )
        return table[:chips]

    def score(self, design: "Design", chips: int, *, time: float = 0.0) -> np.ndarray:
        """(chips, 2) accuracies on validation and test of a design through exact wires, `time` seconds after programming.

        Chips are computed in groups of one size, so that one program serves them; the surplus of the last is cut off.
        """
        group, score = self.plan.judge_chips, self._scorer(design, time)
        return np.concatenate([score(np.arange(i, i + group)) for i in range(0, chips, group)])[:chips]

    def _scorer(self, design: "Design", time: float) -> Callable[[np.ndarray], np.ndarray]:
        judge = chip_judge(
            self.network,
            design.params,
            design.bits,
            design.ranges,
            self.hardware,
            key=fold_name(self.key, "judge"),
            batch=self.plan.judge_batch,
            time=time,
        )
        sets = [(self.task.data.validation.x, self.task.data.validation.y), (self.task.data.test.x, self.task.data.test.y)]
        return lambda numbers: judge(numbers, sets)

    # --- the uniform baseline ----------------------------------------------------------------------------------------------

    def uniform(self) -> tuple["Design", list[dict[str, Any]]]:
        """The best uniform design within the budget, by validation, and the table of those considered.

        Of all uniform triples that fit, those that another one exceeds in no width are ranked by their validation loss without
        training; the first `finalists` are trained for as many steps as the co-design took, and the best on validation stays.

        Raises:
          UserError: no uniform design fits.
        """
        plan = self.plan
        split = self.task.data.validation
        x, y = jnp.asarray(split.x[: plan.screen]), jnp.asarray(split.y[: plan.screen])

        def screen(_: Any, first: int, stop: int) -> tuple[dict[str, np.ndarray], list[Row]]:
            triples = menu.uniform_triples(self.network.signed, self.hardware)
            joules = self.energy(self.float_params, triples)
            table = np.full((len(triples), 2), np.nan)
            fits = joules <= self.budget_j * MARGIN
            best = [i for i in np.flatnonzero(fits) if not _dominated(triples[i, 0], triples[fits, 0])]
            table[:, 0] = joules
            table[best, 1] = self.losses(self.float_params, triples[best], x, y)
            return {"triples": triples[:, 0], "table": table}, []

        count = len(menu.uniform_triples(self.network.signed, self.hardware))
        blank = {"triples": np.zeros((count, 3)), "table": np.zeros((count, 2))}
        found = self.stages.run("uniform-screen", 1, 1, lambda: blank, screen)
        triples, joules, losses = found["triples"], found["table"][:, 0], found["table"][:, 1]
        order = [int(i) for i in np.argsort(losses) if np.isfinite(losses[i])]
        if not order:
            raise UserError("No uniform design fits the budget; give a larger --energy-budget.")
        considered = [
            {"weight": int(t[0]), "input": int(t[1]), "adc": int(t[2]), "energy_j": float(joules[i]), "validation": None}
            for i in order
            for t in [triples[i]]
        ]
        designs: list[tuple[float, Design]] = []
        for rank, i in enumerate(order):
            if len(designs) == plan.finalists:
                break
            bits = np.repeat(triples[i][None], len(self.network.paths), axis=0)
            params, ranges = self.tune(f"uniform-{rank}", self.float_params, bits, plan.search_steps + plan.tune_steps)
            design = Design(params, bits, ranges)
            if self.energy(params, bits[None])[0] > self.budget_j:
                continue
            accuracy = float(self.judge(f"uniform-{rank}-chips", design, min(plan.judge_chips, self.task.chips))[:, 0].mean())
            considered[rank]["validation"] = accuracy
            designs.append((accuracy, design))
        if not designs:
            raise UserError("No uniform design stayed within the budget in training; give a larger --energy-budget.")
        return max(designs, key=lambda pair: pair[0])[1], considered

    # --- all of it ---------------------------------------------------------------------------------------------------------

    def finished_design(self, chosen: str) -> "Design":
        """The design of a finished run, from its checkpoints: nothing is computed anew."""
        self.place(self.train_float())
        if chosen == "uniform":
            return self.uniform()[0]
        found = self.search()
        return self._tuned(found.params, self.make_legal(found.params, np.asarray(found.bits), "project"))

    def execute(self) -> dict[str, Any]:
        """The whole run; the result as `result.json` holds it."""
        task, plan = self.task, self.plan
        params = self.train_float()
        self.place(params)
        found = self.search()
        bits = self.make_legal(found.params, np.asarray(found.bits), "project")
        design = self._tuned(found.params, bits)
        baseline, considered = self.uniform()
        chips = self.judge("chips", design, task.chips)
        uniform_chips = self.judge("uniform-chips", baseline, task.chips)
        chosen = "searched"
        if uniform_chips[:, 0].mean() > chips[:, 0].mean():
            # The uniform design is one of the designs that co-design may choose; validation decides.
            design, chips, chosen = baseline, uniform_chips, "uniform"
        menu.require_legal(design.bits, self.network.signed, self.hardware)
        return self._result(params, design, chips, baseline, uniform_chips, considered, chosen)

    def _tuned(self, params: nnx.State, bits: np.ndarray) -> "Design":
        """Tune; where the tuned weights cost more than the budget, lower bits and tune again."""
        steps = self.plan.tune_steps
        for attempt in range(10):
            suffix = f"-{attempt + 1}" if attempt else ""
            tuned, ranges = self.tune(f"tune{suffix}", params, bits, steps)
            if self.energy(tuned, bits[None])[0] <= self.budget_j:
                return Design(tuned, bits, ranges)
            bits = self.make_legal(tuned, bits, f"project-{attempt + 2}")
        raise UserError("Tuning crossed the energy budget ten times; give a larger --energy-budget.")

    def _result(
        self,
        params: nnx.State,
        design: "Design",
        chips: np.ndarray,
        baseline: "Design",
        uniform_chips: np.ndarray,
        considered: list[dict[str, Any]],
        chosen: str,
    ) -> dict[str, Any]:
        task, split = self.task, self.task.data
        bills = self.bill.layers(design.params, jnp.asarray(design.bits), hard=True)
        joules = float(self.energy(design.params, design.bits[None])[0])
        weight, sent, adc = (int(b) for b in baseline.bits[0])
        layers = []
        for i, (work, bill) in enumerate(zip(self.bill.works, bills, strict=True)):
            tiling = work.tiling(self.hardware)
            slices = self.network.trimmed(design.bits, self.hardware).counts[i][0]
            layers.append(
                {
                    "path": work.path,
                    **dict(zip(("weight_bits", "input_bits", "adc_bits"), (int(b) for b in design.bits[i]), strict=True)),
                    "energy_j": float(bill.energy_j),
                    "latency_s": float(bill.latency_s),
                    "area_m2": float(bill.area_m2),
                    "n_in": work.n_in,
                    "n_out": work.n_out,
                    "groups": work.groups,
                    "positions": work.positions,
                    "arrays": work.groups * slices * 2 * tiling.row_tiles * tiling.col_tiles,
                    "utilisation": tiling.utilisation,
                    "energy": {name: float(value) for name, value in bill.energy.items()},
                    "area": {name: float(value) for name, value in bill.area.items()},
                }
            )
        return {
            "data": split.name,
            "model": task.model,
            "seed": task.seed,
            "accuracy": {
                "float": self.float_accuracy(params, split.test),
                "uniform_baseline": spread(uniform_chips[:, 1]),
                "chips": spread(chips[:, 1]),
            },
            "validation": {
                "float": self.float_accuracy(params, split.validation),
                "uniform_baseline": spread(uniform_chips[:, 0]),
                "chips": spread(chips[:, 0]),
            },
            "energy_j": joules,
            "latency_s": sum(layer["latency_s"] for layer in layers),
            "area_m2": sum(layer["area_m2"] for layer in layers),
            "budget": {
                "fraction": task.energy_budget,
                "energy_j": self.budget_j,
                "reference_energy_j": self.reference_j,
                "satisfied": bool(joules <= self.budget_j),
            },
            "chosen": chosen,
            "uniform_baseline": {
                "bits": {"weight": weight, "input": sent, "adc": adc},
                "energy_j": float(self.energy(baseline.params, baseline.bits[None])[0]),
                "candidates": considered,
            },
            "layers": layers,
            "hardware": to_dict(self.hardware),
            "plan": dataclasses.asdict(self.plan),
            "seconds": dict(self.stages.seconds),
            "conventions": CONVENTIONS,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("imcjax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")},
            },
        }

    def _batches(self, stage: str, batch: int, first: int, stop: int) -> tuple[jax.Array, jax.Array]:
        seed = int(np.random.SeedSequence([self.task.seed, *stage.encode()]).generate_state(1)[0])
        chosen = batch_indices(len(self.train_x), batch, first, stop, seed=seed)
        return self.train_x[chosen], self.train_y[chosen]

    def _bits_of(self, bits: np.ndarray) -> dict[str, list[float]]:
        return {path: [round(float(b), 3) for b in row] for path, row in zip(self.network.paths, bits, strict=True)}


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A finished network on hardware: parameters, whole bit-widths (layers, 3), static ranges."""

    params: nnx.State
    bits: np.ndarray
    ranges: Ranges


def _dominated(triple: np.ndarray, others: np.ndarray) -> bool:
    return bool(((others >= triple).all(axis=1) & (others > triple).any(axis=1)).any())


CONVENTIONS = {
    "accuracy": "share of correct answers; chips are simulated with exact wires, each programmed and read once",
    "std": "sample standard deviation over chips; q01 is their 1 % quantile",
    "energy": "joule for one inference (one image): ADC, array read, wordlines, DAC, digital, buffers; no weight writing, no leakage",
    "budget": "a fraction of the energy of the uniform design with the widest legal bits on the same hardware and float weights",
    "uniform_baseline": "best on validation of the uniform triples within the budget, given the same number of training steps",
    "bits": "weight bits include the sign; input bits include it where inputs can be negative; an ADC of b bits has 2^b - 1 levels",
    "selection": "designs are chosen on validation data; the test set is used once, at the end",
}
