"""A co-design run from beginning to end, each part a stage with checkpoints: killed and started again, it ends the same."""

from typing import Any

import numpy as np

from imcjax.codesign import menu
from imcjax.codesign.problem import Design, FloatProblem, Problem, Task
from imcjax.codesign.result import build_result
from imcjax.codesign.stages import fit, judge, search, train_float
from imcjax.codesign.uniform import best_uniform, screened
from imcjax.training import Stages


def check_budget(task: Task) -> None:
    """Refuse a budget that no training can save, before the float training, which may take minutes.

    Untrained weights cost about as much as trained ones.

    Raises:
      BudgetError: a budget far below the smallest legal design.
    """
    Problem(task, FloatProblem(task).start, slack=1.5)


def codesign(task: Task, stages: Stages) -> dict[str, Any]:
    """The whole run; the result as result.json holds it.

    Raises:
      BudgetError: the budget is below the smallest legal design.
      UserError: the training diverged; the last good checkpoint is kept.
    """
    trained = train_float(FloatProblem(task), stages)
    problem = Problem(task, trained)
    origin, found = mixed_design(problem, stages)
    baseline, considered = best_uniform(problem, stages)
    chips = judge(problem, stages, "chips", found, task.chips)
    uniform_chips = judge(problem, stages, "uniform-chips", baseline, task.chips)
    # The uniform design is one of those that co-design may choose; validation decides.
    uniform_wins = uniform_chips[:, 0].mean() > chips[:, 0].mean()
    origin, design, design_chips = ("uniform", baseline, uniform_chips) if uniform_wins else (origin, found, chips)
    menu.require_legal(design.bits, problem.network.signed, problem.hardware)
    return build_result(
        problem, trained, design, design_chips, baseline, uniform_chips, considered, origin, dict(stages.seconds)
    )


def mixed_design(problem: Problem, stages: Stages) -> tuple[str, Design]:
    """The design with bit-widths of its own for each layer that is best on validation, and where it comes from.

    Two are finished, both with search_steps + tune_steps of training: "searched", to which the gradient search leads, and
    "grown", which measured losses make of the best uniform design before training.
    """
    plan = problem.task.plan
    triples, _, losses = screened(problem, stages)
    grown = problem.uniform_bits(triples[int(np.nanargmin(losses))])
    state = search(problem, stages)
    designs = {
        "searched": fit(problem, stages, "searched", state.params, np.asarray(state.bits), plan.tune_steps),
        "grown": fit(problem, stages, "grown", problem.params, grown, plan.search_steps + plan.tune_steps),
    }
    few = min(plan.judge_chips, problem.task.chips)
    scores = {
        name: judge(problem, stages, f"{name}-chips", design, few, test=False)[:, 0].mean() for name, design in designs.items()
    }
    best = max(scores, key=lambda name: scores[name])
    return best, designs[best]


def finished_design(task: Task, stages: Stages, chosen: str) -> tuple[Problem, Design]:
    """The design of a finished run, from its checkpoints: nothing is trained anew."""
    problem = Problem(task, train_float(FloatProblem(task), stages))
    return problem, best_uniform(problem, stages)[0] if chosen == "uniform" else mixed_design(problem, stages)[1]
