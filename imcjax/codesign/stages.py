"""The stages of a co-design run: float training, search, projection, tuning, judging."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from imcjax.codesign import menu
from imcjax.codesign.chips import chip_judge
from imcjax.codesign.constraints import Multiplier, homotopy, raise_multiplier
from imcjax.codesign.menu import BudgetError
from imcjax.codesign.problem import MARGIN, Design, FloatProblem, Problem
from imcjax.codesign.projection import project
from imcjax.codesign.steps import FloatState, SearchState, TuneState, float_chunk, search_chunk, tune_chunk
from imcjax.keys import fold_name
from imcjax.training import Row, Stages


RHO = 4.0
"""Weight of the augmented Lagrangian's quadratic term, and the multiplier's step size."""


def train_float(problem: FloatProblem, stages: Stages) -> nnx.State:
    """Parameters of the network without hardware."""
    plan = problem.task.plan
    optimizer = optax.adam(optax.cosine_decay_schedule(plan.float_rate, plan.float_steps))
    chunk = float_chunk(problem.model, optimizer)

    def advance(state: FloatState, first: int, stop: int) -> tuple[FloatState, list[Row]]:
        state, losses = chunk(state, *problem.batches("float", plan.float_batch, first, stop))
        return state, [{"phase": "float", "step": stop, "loss": float(losses.mean())}]

    return stages.run(
        "float",
        plan.float_steps,
        plan.chunk * 4,
        lambda: FloatState(problem.start, optimizer.init(problem.start)),
        advance,
        metric=lambda row: f"loss {row['loss']:.3f}",
    ).params


def search(problem: Problem, stages: Stages) -> SearchState:
    """Weights and real bit-widths moved together, from the widest widths down to the budget."""
    plan = problem.task.plan
    optimizer = optax.adam(plan.rate)
    bit_optimizer = optax.adam(optax.cosine_decay_schedule(plan.bit_rate, plan.search_steps, alpha=0.1), b1=0.95, b2=0.99)
    chunk = search_chunk(problem.network, problem.bill, problem.fast, optimizer, bit_optimizer, problem.low, problem.high, RHO)
    log_start, log_end = np.log(problem.reference_j), np.log(problem.budget_j * MARGIN)
    key = fold_name(problem.key, "search")

    def start() -> SearchState:
        bits = jnp.asarray(problem.high)
        return SearchState(problem.params, optimizer.init(problem.params), bits, bit_optimizer.init(bits), Multiplier.zero())

    def advance(state: SearchState, first: int, stop: int) -> tuple[SearchState, list[Row]]:
        ranges = problem.find_ranges(state.params, state.bits)
        target = homotopy(stop / plan.search_steps, log_start, log_end)
        x, y = problem.batches("search", plan.batch, first, stop)
        state, losses = chunk(state, ranges, jnp.asarray(target, jnp.float32), key, jnp.arange(first, stop), x, y)
        joules = float(problem.energy(state.params, np.asarray(state.bits)[None])[0])
        ratio = jnp.asarray(np.log(joules) - target, jnp.float32)
        state = state._replace(bound=state.bound._replace(value=raise_multiplier(state.bound.value, ratio, RHO)))
        row = {"phase": "search", "step": stop, "loss": float(losses.mean()), "energy_j": joules}
        return state, [row | {"target_j": float(np.exp(target)), "bits": problem.named(np.asarray(state.bits))}]

    def metric(row: Row) -> str:
        return f"loss {row['loss']:.3f}  energy {row['energy_j'] / problem.reference_j:.3f}"

    return stages.run("search", plan.search_steps, plan.chunk, start, advance, metric=metric)


def make_legal(problem: Problem, stages: Stages, stage: str, params: nnx.State, bits: np.ndarray, bound_j: float) -> np.ndarray:
    """Whole bit-widths that cost at most `bound_j`, from real ones, by measured validation losses.

    Raises:
      BudgetError: with these weights even the smallest legal design costs more.
    """

    def advance(_: Any, first: int, stop: int) -> tuple[np.ndarray, list[Row]]:
        rows: list[Row] = []

        def tell(move: dict[str, Any]) -> None:
            row = {"phase": "project", "stage": stage, "step": len(rows) + 1}
            rows.append({"bits": problem.named(move["bits"]), "energy_j": move["cost"], "loss": move["loss"]} | row)

        try:
            legal = project(
                bits,
                problem.low,
                problem.high,
                lambda designs: problem.energy(params, designs),
                lambda designs: problem.losses(params, designs),
                bound_j,
                exchanges=problem.task.plan.exchanges,
                tell=tell,
            )
        except BudgetError as error:  # the weights may have come to conduct more since the budget was checked
            raise BudgetError(
                f"With the weights as trained, the smallest legal design costs {error.cost:.3g} J per inference, and "
                f"{bound_j:.3g} J may be spent; give a larger --energy-budget."
            ) from error
        return legal, rows

    legal = stages.run(stage, 1, 1, lambda: np.zeros_like(problem.low), advance)
    menu.require_legal(legal, problem.network.signed, problem.hardware)
    return legal


def tune(problem: Problem, stages: Stages, stage: str, params: nnx.State, bits: np.ndarray, steps: int) -> Design:
    """Weights and ranges trained at fixed bit-widths, a new chip in every step."""
    plan = problem.task.plan
    small = problem.network.trimmed(bits, problem.hardware)
    optimizer = optax.multi_transform(
        {
            "weights": optax.adam(optax.cosine_decay_schedule(plan.rate, steps)),
            "ranges": optax.adam(optax.cosine_decay_schedule(plan.range_rate, steps)),
        },
        ("weights", "ranges"),
    )
    chunk = tune_chunk(small, problem.fast, optimizer)
    widths, key = jnp.asarray(bits), fold_name(problem.key, stage)

    def start() -> TuneState:
        log_ranges = jax.tree.map(jnp.log, small.trimmed_ranges(problem.find_ranges(params, widths), problem.hardware))
        return TuneState(params, log_ranges, optimizer.init((params, log_ranges)))

    def finished(state: TuneState) -> Design:
        return Design(state.params, bits, jax.tree.map(jnp.exp, state.log_ranges))

    def advance(state: TuneState, first: int, stop: int) -> tuple[TuneState, list[Row]]:
        x, y = problem.batches(stage, plan.batch, first, stop)
        state, losses = chunk(state, widths, key, jnp.arange(first, stop), x, y)
        row = {
            "phase": "baseline" if stage.startswith("uniform") else "tune",
            "stage": stage,
            "step": stop,
            "loss": float(losses.mean()),
            "energy_j": problem.energy_of(finished(state)),
            "target_j": problem.budget_j,
            "bits": problem.named(bits),
        }
        return state, [row]

    return finished(stages.run(stage, steps, plan.chunk, start, advance, metric=lambda row: f"loss {row['loss']:.3f}"))


def fit(problem: Problem, stages: Stages, name: str, params: nnx.State, bits: np.ndarray, steps: int) -> Design:
    """From real bit-widths to a finished design in budget: make them legal, and tune.

    Where the tuned weights cost more than the budget, bits are lowered and the tuning is repeated.

    Raises:
      BudgetError: no legal design is cheap enough, or ten attempts crossed the budget.
    """
    bound_j = problem.budget_j * MARGIN
    for attempt in range(10):
        suffix = f"-{attempt + 1}" if attempt else ""
        bits = make_legal(problem, stages, f"project-{name}{suffix}", params, bits, bound_j)
        design = tune(problem, stages, f"tune-{name}{suffix}", params, bits, steps)
        joules = problem.energy_of(design)
        if joules <= problem.budget_j:
            return design
        # The projection costs designs with ranges of least squared error; learned ones may conduct more.
        params = design.params
        bound_j = problem.budget_j * MARGIN / max(1.0, joules / problem.energy(params, bits[None])[0])
    raise BudgetError("Tuning crossed the energy budget ten times; give a larger --energy-budget.")


def judge(problem: Problem, stages: Stages, stage: str, design: Design, chips: int, *, test: bool = True) -> np.ndarray:
    """Accuracies (chips, 2) as `score`, or (chips, 1) without the test set, with a checkpoint after each group of chips."""
    group = problem.task.plan.judge_chips
    groups = -(-chips // group)
    score = scorer(problem, design, test=test)

    def advance(table: np.ndarray, first: int, stop: int) -> tuple[np.ndarray, list[Row]]:
        table = np.array(table)
        for i in range(first, stop):
            table[i * group : (i + 1) * group] = score(np.arange(i * group, (i + 1) * group))
        return table, [{"phase": stage, "step": stop, "accuracy": float(table[: stop * group, 0].mean())}]

    table = stages.run(
        stage,
        groups,
        1,
        lambda: np.zeros((groups * group, 2 if test else 1)),
        advance,
        metric=lambda row: f"validation {row['accuracy']:.2%}",
    )
    return table[:chips]


def score(problem: Problem, design: Design, chips: int, *, time: float = 0.0) -> np.ndarray:
    """(chips, 2) accuracies on validation and test of a design through exact wires, `time` seconds after programming.

    Chips are computed in groups of one size, so that one program serves them; the surplus of the last is cut off.
    """
    group, one = problem.task.plan.judge_chips, scorer(problem, design, time=time)
    return np.concatenate([one(np.arange(i, i + group)) for i in range(0, chips, group)])[:chips]


def scorer(problem: Problem, design: Design, *, time: float = 0.0, test: bool = True) -> Callable[[np.ndarray], np.ndarray]:
    """A function from chip numbers to accuracies (chips, 2) on validation and test, or (chips, 1) on validation alone."""
    split = problem.task.data
    sets = [(part.x, part.y) for part in ((split.validation, split.test) if test else (split.validation,))]
    of_chips = chip_judge(
        problem.network,
        design.params,
        design.bits,
        design.ranges,
        problem.hardware,
        key=fold_name(problem.key, "judge"),
        batch=problem.task.plan.judge_batch,
        time=time,
    )
    return lambda numbers: of_chips(numbers, sets)
