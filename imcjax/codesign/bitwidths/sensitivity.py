"""Widths from sensitivities, without training them: an integer program over second-order estimates (HAWQ).

HAWQ-V2 (Dong et al., NeurIPS 2020) estimates what quantizing tensor l to b bits does to the loss as its mean Hessian trace
times the squared error of its values, and HAWQ-V3 (Yao et al., ICML 2021) picks the widths of least sum within a budget by an
integer program:

    minimise sum_l Omega_l(b_l),   Omega_l(b) = tr(H_l) / n_l |Q_b(w_l) - w_l|^2,   subject to sum_l cost_l(b_l) <= budget
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.codesign.bitwidths.base import at_width
from imcjax.codesign.constraints.base import ROUNDING
from imcjax.codesign.legal import BudgetError
from imcjax.errors import UserError
from imcjax.keys import fold_index


def hessian_trace(loss: Callable[[Any], jax.Array], params: Any, key: jax.Array, samples: int = 8) -> Any:
    """Trace of each leaf's own block of the Hessian of `loss`, in the structure of `params`.

    Hutchinson's estimate, the mean of v H v over vectors of random signs: exact for a diagonal Hessian.
    """
    leaves, structure = jax.tree.flatten(params)
    gradient = jax.grad(loss)

    def one(number: jax.Array) -> list[jax.Array]:
        own = fold_index(key, number)
        signs = [jax.random.rademacher(fold_index(own, i), leaf.shape, leaf.dtype) for i, leaf in enumerate(leaves)]
        _, along = jax.jvp(gradient, (params,), (jax.tree.unflatten(structure, signs),))
        return [jnp.vdot(v, h) for v, h in zip(signs, jax.tree.leaves(along), strict=True)]

    drawn = jax.lax.map(one, jnp.arange(samples))
    return jax.tree.unflatten(structure, [jnp.mean(d) for d in drawn])


def perturbation(
    values: jax.Array, ranges: Sequence[jax.Array] | jax.Array, menu: Sequence[float], *, signed: bool
) -> jax.Array:
    """(widths,) squared error of a tensor at each width of the menu.

    Args:
      values: (...) weights or a sample of activations.
      ranges: (widths, ...) the range at each width, broadcasting against the values.
      menu: the widths.
      signed: whether codes have a sign.
    """
    found = [at_width(values, r, b, signed=signed) for r, b in zip(ranges, menu, strict=True)]
    return jnp.stack([jnp.sum((q - values) ** 2) for q in found])


def choose(harm: Sequence[np.ndarray], cost: Sequence[np.ndarray], budget: float) -> list[int]:
    """One option of each group, of least total harm within the budget: a multiple-choice knapsack, solved exactly.

    A group may be a tensor with its widths as options or, for a cost that multiplies two widths, a layer with its pairs.

    Args:
      harm: for each group (options,) what each option does to the loss.
      cost: for each group (options,) what each option costs; the costs of the groups add.
      budget: in the unit of the cost.

    Returns:
      The number of the option of each group.

    Raises:
      UserError: numbers that are not finite, or harms and costs that do not fit each other.
      BudgetError: the cheapest options cost more than the budget.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # slow to import, and only this needs it

    sizes = [len(options) for options in harm]
    if sizes != [len(options) for options in cost]:
        raise UserError(f"There are {sizes} harms and {[len(c) for c in cost]} costs of options; give as many of each.")
    flat_harm, flat_cost = (np.concatenate([np.asarray(a, dtype=float) for a in table]) for table in (harm, cost))
    if not (np.isfinite(flat_harm).all() and np.isfinite(flat_cost).all()):
        raise UserError("A harm or a cost is not a finite number; look for NaN among the weights or the samples.")
    least = sum(float(np.min(options)) for options in cost)
    if least > budget * (1 + ROUNDING):
        raise BudgetError.of(least, budget)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    one_each = (owner == np.arange(len(sizes))[:, None]).astype(float)
    # The solver compares with absolute tolerances: both are brought to the order of one.
    harm_unit, cost_unit = max(np.abs(flat_harm).max(), 1e-300), max(abs(budget), 1e-300)
    solved = milp(
        flat_harm / harm_unit,
        integrality=np.ones(len(flat_harm)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(flat_cost[None] / cost_unit, -np.inf, 1 + ROUNDING),
        ],
        options={"mip_rel_gap": 0.0},
    )
    if solved.x is None:
        raise BudgetError.of(least, budget)
    return [int(np.argmax(np.where(owner == i, solved.x, -1.0)) - sum(sizes[:i])) for i in range(len(sizes))]
