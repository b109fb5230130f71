"""A co-design run from beginning to end, each part a stage with checkpoints: killed and started again, it ends the same."""

from typing import Any

import numpy as np

from imcjax.codesign import menu
from imcjax.codesign.problem import MARGIN, Design, FloatProblem, Problem, Task
from imcjax.codesign.result import build_result
from imcjax.codesign.stages import judge, make_legal, search, train_float, tune_within_budget
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
    found = searched_design(problem, stages)
    baseline, considered = best_uniform(problem, stages)
    chips = judge(problem, stages, "chips", found, task.chips)
    uniform_chips = judge(problem, stages, "uniform-chips", baseline, task.chips)
    # The uniform design is one of those that co-design may choose; validation decides.
    uniform_wins = uniform_chips[:, 0].mean() > chips[:, 0].mean()
    design, design_chips = (baseline, uniform_chips) if uniform_wins else (found, chips)
    menu.require_legal(design.bits, problem.network.signed, problem.hardware)
    chosen = "uniform" if uniform_wins else "searched"
    return build_result(
        problem, trained, design, design_chips, baseline, uniform_chips, considered, chosen, dict(stages.seconds)
    )


def searched_design(problem: Problem, stages: Stages) -> Design:
    """The design that search, projection and tuning lead to.

    The projection starts from the searched bit-widths and from the best uniform ones: what it measures decides.
    """
    triples, _, losses = screened(problem, stages)
    state = search(problem, stages)
    starts = [np.asarray(state.bits), problem.uniform_bits(triples[int(np.nanargmin(losses))])]
    bits = make_legal(problem, stages, "project", state.params, starts, problem.budget_j * MARGIN)
    return tune_within_budget(problem, stages, state.params, bits)


def finished_design(task: Task, stages: Stages, chosen: str) -> tuple[Problem, Design]:
    """The design of a finished run, from its checkpoints: nothing is trained anew."""
    problem = Problem(task, train_float(FloatProblem(task), stages))
    return problem, best_uniform(problem, stages)[0] if chosen == "uniform" else searched_design(problem, stages)
