"""The baseline: the best design with the same weight, input and ADC bits in all layers, trained as long as the co-design."""

from typing import Any

import numpy as np

from imcjax.codesign import menu
from imcjax.codesign.menu import BudgetError
from imcjax.codesign.problem import MARGIN, Design, Problem
from imcjax.codesign.stages import judge, tune
from imcjax.training import Row, Stages


def best_uniform(problem: Problem, stages: Stages) -> tuple[Design, list[dict[str, Any]]]:
    """The best uniform design within the budget, by validation, and the table of those considered.

    Of all uniform triples that fit, those that another one exceeds in no width are ranked by their validation loss without
    training; the first `finalists` are trained for as many steps as the co-design takes, and the best on validation stays.

    Raises:
      BudgetError: no uniform design stays within the budget.
    """
    plan, chips = problem.task.plan, problem.task.chips
    triples, joules, losses = screened(problem, stages)
    order = [int(i) for i in np.argsort(losses) if np.isfinite(losses[i])]
    names = ("weight", "input", "adc")
    considered = [
        dict(zip(names, (int(b) for b in triples[i]), strict=True)) | {"energy_j": float(joules[i]), "validation": None}
        for i in order
    ]
    finalists: list[tuple[float, Design]] = []
    for rank, i in enumerate(order):
        if len(finalists) == plan.finalists:
            break
        bits = problem.uniform_bits(triples[i])
        design = tune(problem, stages, f"uniform-{rank}", problem.params, bits, plan.search_steps + plan.tune_steps)
        if problem.energy_of(design) > problem.budget_j:
            continue
        few = min(plan.judge_chips, chips)
        accuracy = float(judge(problem, stages, f"uniform-{rank}-chips", design, few, test=False)[:, 0].mean())
        considered[rank]["validation"] = accuracy
        finalists.append((accuracy, design))
    if not finalists:
        raise BudgetError("No uniform design stays within the energy budget in training; give a larger --energy-budget.")
    return max(finalists, key=lambda pair: pair[0])[1], considered


def screened(problem: Problem, stages: Stages) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All triples (n, 3), their energies, and their validation losses without training; NaN where they are out of the race.

    Raises:
      BudgetError: no uniform design fits the budget.
    """
    designs = menu.uniform_triples(problem.network.signed, problem.hardware)

    def advance(_: np.ndarray, first: int, stop: int) -> tuple[np.ndarray, list[Row]]:
        table = np.full((len(designs), 2), np.nan)
        table[:, 0] = problem.energy(problem.params, designs)
        fits = table[:, 0] <= problem.budget_j * MARGIN
        best = [i for i in np.flatnonzero(fits) if not _dominated(designs[i, 0], designs[fits, 0])]
        if best:
            table[best, 1] = problem.losses(problem.params, designs[best])
        return table, []

    table = stages.run("uniform-screen", 1, 1, lambda: np.zeros((len(designs), 2)), advance)
    if not np.isfinite(table[:, 1]).any():
        smallest_j = float(table[:, 0].min())
        raise BudgetError(
            f"--energy-budget {problem.task.energy_budget:g} is {problem.budget_j:.3g} J per inference, but the smallest "
            f"design with the same bits in all layers costs {smallest_j:.3g} J; "
            f"give at least {problem.affordable(smallest_j):g}."
        )
    return designs[:, 0], table[:, 0], table[:, 1]


def _dominated(triple: np.ndarray, others: np.ndarray) -> bool:
    return bool(((others >= triple).all(axis=1) & (others > triple).any(axis=1)).any())
