"""The projection against brute force on made-up energies and losses."""

import itertools

import numpy as np
import pytest

from imcjax import UserError
from imcjax.codesign import menu
from imcjax.codesign.legal import BudgetError, require_feasible, require_legal
from imcjax.codesign.projection import project
from imcjax.converters import Adc, Dac
from imcjax.mapping import Differential

from .example import HARDWARE


MENU = HARDWARE.replace(encoding=Differential(weight_bits=4), dac=Dac(input_bits=3, bits=1), adc=Adc(bits=4))
SIGNED = (False, True)
LOW, HIGH = menu.bounds(SIGNED, MENU)
EVERY = np.array(
    list(itertools.product(*[np.arange(a, b + 1) for a, b in zip(LOW.ravel(), HIGH.ravel())])), dtype=float
).reshape(-1, 2, 3)


class Problem:
    """An energy of products of widths, as a chip's, and a loss that falls with every bit, each by its own weight."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.price, self.noise = rng.uniform(1, 4, (2, 3)), rng.uniform(0.2, 2, (2, 3))
        self.sizes = rng.uniform(1, 5, 2)
        self.asked = 0

    def energy(self, designs):
        assert designs.ndim == 3
        products = (self.sizes * designs[..., 0] * designs[..., 1]).sum(-1)
        return products + (self.price * 2.0**designs).sum((-1, -2))

    def loss(self, designs):
        assert designs.ndim == 3
        assert len(designs)
        self.asked += len(designs)
        return (self.noise * 2.0**-designs).sum((-1, -2))

    def budget(self, share):
        smallest, widest = self.energy(np.stack([LOW, HIGH]))
        return smallest + share * (widest - smallest)

    def project(self, bits, budget, **kwargs):
        return project(bits, LOW, HIGH, self.energy, self.loss, budget, **kwargs)


def best(problem, budget):
    losses = np.where(problem.energy(EVERY) <= budget, problem.loss(EVERY), np.inf)
    return losses.min()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_design_is_legal_in_budget_and_near_the_best_of_all(seed, share):
    problem = Problem(seed)
    budget = problem.budget(share) * (1 + 1e-12)
    start = np.random.default_rng(seed + 100).uniform(LOW - 1, HIGH + 1)
    bits = problem.project(start, budget)
    menu.require_legal(bits, SIGNED, MENU)
    assert problem.energy(bits[None])[0] <= budget
    widest, narrowest = problem.loss(np.stack([HIGH, LOW]))
    gap = (problem.loss(bits[None])[0] - best(problem, budget)) / (narrowest - widest)
    assert gap <= 0.06
    for wider in menu.neighbours(bits, LOW, HIGH, 1):  # no slack is left that would buy anything
        assert problem.energy(wider[None])[0] > budget


def test_most_designs_are_the_very_best_of_all():
    hits = 0
    for seed, share in itertools.product(range(6), (0.05, 0.2, 0.5)):
        problem = Problem(seed)
        bits = problem.project(HIGH, problem.budget(share))
        hits += problem.loss(bits[None])[0] <= best(problem, problem.budget(share)) * (1 + 1e-9)
    assert hits >= 9


def test_a_budget_of_the_smallest_or_of_the_widest_design_gives_that_design():
    problem = Problem(0)
    np.testing.assert_array_equal(problem.project(HIGH, problem.budget(0.0)), LOW)
    np.testing.assert_array_equal(problem.project(LOW, problem.budget(1.0)), HIGH)


def test_a_budget_below_the_smallest_design_is_said_and_not_stumbled_over():
    problem = Problem(0)
    with pytest.raises(BudgetError, match="smallest legal design") as caught:
        problem.project(HIGH, problem.budget(0.0) * 0.99)
    assert caught.value.cost == pytest.approx(problem.budget(0.0))
    np.testing.assert_array_equal(caught.value.bits, LOW)


def test_steps_in_the_energy_are_crossed():
    """Cells of 2 bits: widths 3 and 2 take one slice both, 4 takes two; ADC bits are free. One bit less may save nothing."""
    asked = []

    def energy(designs):
        asked.append(len(designs))
        assert len(asked) < 1000
        return np.ceil((designs[..., 0] - 1) / 2).sum(-1)

    def loss(designs):
        return (2.0**-designs).sum((-1, -2))

    bits = project(HIGH, LOW, HIGH, energy, loss, 2.0)
    np.testing.assert_array_equal(bits, [[3, 3, 4], [3, 3, 4]])
    # and up again: from 2 bits, 3 are free, and the two slices that are left go where they help most
    uneven = project(LOW, LOW, HIGH, energy, lambda d: (np.array([[1], [2]]) * 2.0**-d).sum((-1, -2)), 3.0)
    np.testing.assert_array_equal(uneven, [[3, 3, 4], [4, 3, 4]])


def test_equal_losses_everywhere_end_at_once():
    bits = project(HIGH, LOW, HIGH, lambda d: d.sum((-1, -2)), lambda d: np.ones(len(d)), 14.0)
    menu.require_legal(bits, SIGNED, MENU)
    assert bits.sum() <= 14


def test_an_exchange_mends_what_single_moves_cannot():
    """From this start the budget is full and no single width may rise; moving three bits across lowers the loss."""
    weights = np.array([[1.0, 0.1, 0.1], [8.0, 0.1, 0.1]])
    start = np.array([[4.0, 3, 4], [2.0, 3, 4]])

    def run(exchanges):
        energy, loss = (lambda d: d.sum((-1, -2))), (lambda d: (weights * 2.0**-d).sum((-1, -2)))
        return project(start, LOW, HIGH, energy, loss, start.sum(), exchanges=exchanges)

    np.testing.assert_array_equal(run(0), start)
    assert run(4)[1, 0] == 4
    assert run(4).sum() <= start.sum()


def test_every_move_is_told_and_the_last_is_the_result():
    problem, rows = Problem(1), []
    bits = problem.project(HIGH, problem.budget(0.3), tell=rows.append)
    assert rows
    for row in rows:
        assert row["cost"] == pytest.approx(problem.energy(row["bits"][None])[0])
        assert row["loss"] == pytest.approx(problem.loss(row["bits"][None])[0])
    np.testing.assert_array_equal(rows[-1]["bits"], bits)


@pytest.mark.parametrize("seed", range(4))
def test_widths_in_a_row_are_projected_as_well_as_those_in_a_table(seed):
    """Six tensors, as of a network without converters, with a cost of products; every design is looked at."""
    rng = np.random.default_rng(seed)
    low, high = np.ones(6), np.full(6, 4.0)
    every = np.array(list(itertools.product(np.arange(1.0, 5.0), repeat=6)))
    sizes, noise = rng.uniform(1, 5, 3), rng.uniform(0.2, 2, 6)

    def cost(designs):
        return (sizes * designs[:, :3] * designs[:, 3:]).sum(-1)

    def loss(designs):
        return (noise * 4.0**-designs).sum(-1)

    for share in (0.05, 0.3):
        budget = cost(low[None])[0] + share * (cost(high[None])[0] - cost(low[None])[0])
        bits = project(high, low, high, cost, loss, budget, exchanges=4)
        require_legal(bits, low, high, lambda b: cost(b[None])[0], budget)
        least = np.where(cost(every) <= budget, loss(every), np.inf).min()
        assert loss(bits[None])[0] - least <= 0.03 * (loss(low[None])[0] - loss(high[None])[0])


def test_legal_check_refuses_widths_and_costs():
    low, high = np.array([1.0, 2.0]), np.array([4.0, 4.0])
    require_legal(np.array([1, 4]), low, high, np.sum, 5.0)
    for bits, says in (
        ([1.5, 2], r"Width 0 has 1.5 bits; give a whole number from 1 to 4"),
        ([1, 1], r"Width 1 has 1 bits; give a whole number from 2 to 4"),
        ([1, np.nan], r"Width 1 has nan bits"),
        ([4, 4], r"costs 8, and the budget is 5; project"),
    ):
        with pytest.raises(UserError, match=says):
            require_legal(np.array(bits), low, high, np.sum, 5.0)
    with pytest.raises(BudgetError, match="smallest legal design costs 3") as caught:
        require_feasible(low, np.sum, 2.9)
    np.testing.assert_array_equal(caught.value.bits, low)
    require_feasible(low, np.sum, 3.0)
