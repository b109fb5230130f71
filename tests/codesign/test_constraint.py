"""The augmented Lagrangian against its formula, finite differences and a problem with a known solution."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.codesign.constraint import homotopy, penalty, raise_multiplier


@pytest.mark.parametrize(
    "ratio, multiplier, rho, expected",
    [
        (0.5, 0.0, 2.0, 0.25),  # rho c^2 / 2
        (0.5, 3.0, 2.0, 1.75),  # mu c + rho c^2 / 2
        (-0.5, 3.0, 2.0, -1.25),  # the same below the target, while the multiplier is up
        (-2.0, 3.0, 2.0, -2.25),  # far below: -mu^2 / (2 rho), whatever the cost
        (-9.0, 0.0, 2.0, 0.0),
    ],
)
def test_penalty_is_the_formula(ratio, multiplier, rho, expected):
    assert float(penalty(jnp.float32(ratio), jnp.float32(multiplier), rho)) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("ratio, multiplier", [(0.3, 0.0), (0.3, 1.5), (-0.4, 1.5), (-2.0, 1.5), (-0.1, 0.0)])
def test_slope_is_the_multiplier_that_the_next_ascent_gives(ratio, multiplier):
    rho, step = 2.0, 1e-2
    slope = float(jax.grad(penalty)(ratio, multiplier, rho))
    finite = (penalty(ratio + step, multiplier, rho) - penalty(ratio - step, multiplier, rho)) / (2 * step)
    assert slope == pytest.approx(float(finite), abs=1e-4)
    assert slope == pytest.approx(max(0.0, multiplier + rho * ratio), rel=1e-6)
    assert slope == pytest.approx(float(raise_multiplier(jnp.float32(multiplier), ratio, rho)), rel=1e-6)


def test_multiplier_rises_above_the_target_and_falls_to_zero_below_it():
    assert float(raise_multiplier(jnp.float32(1.0), jnp.float32(0.25), 2.0)) == pytest.approx(1.5)
    assert float(raise_multiplier(jnp.float32(1.0), jnp.float32(-0.25), 2.0)) == pytest.approx(0.5)
    assert float(raise_multiplier(jnp.float32(1.0), jnp.float32(-3.0), 2.0)) == 0.0


def test_descent_and_ascent_end_at_the_bound_with_the_multiplier_of_kkt():
    """min (b - 5)^2 with log(2^b / 2^3) <= 0: b = 3, where 2 (b - 5) + mu log 2 = 0."""
    rho = 2.0
    slope = jax.jit(jax.grad(lambda b, mu: (b - 5) ** 2 + penalty((b - 3) * jnp.log(2.0), mu, rho)))
    b, mu = jnp.float32(5.0), jnp.float32(0.0)
    for _ in range(60):
        for _ in range(20):
            b = b - 0.1 * slope(b, mu)
        mu = raise_multiplier(mu, (b - 3) * jnp.log(2.0), rho)
    assert float(b) == pytest.approx(3.0, abs=1e-3)
    assert float(mu) == pytest.approx(4 / np.log(2), rel=1e-2)


def test_homotopy_goes_from_start_to_end_and_stays_there():
    start, end = np.log(8.0), np.log(2.0)
    assert homotopy(0.0, start, end) == start
    assert homotopy(0.3, start, end, reach=0.6) == pytest.approx(np.log(4.0))
    for progress in (0.6, 0.8, 1.0):
        assert homotopy(progress, start, end, reach=0.6) == pytest.approx(end, rel=1e-12)
    path = [homotopy(p, start, end) for p in np.linspace(0, 1, 21)]
    assert all(a >= b for a, b in itertools.pairwise(path))
