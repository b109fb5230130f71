"""The HERMES cells against their published fits, evaluated by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from imcjax.devices import PcmHermes1, PcmHermes2


DAY = 86400.0
DRAWS = 100_000
PROGRAM, READ = jax.random.split(jax.random.key(3))

HERMES = {
    # sigma (low to high power); nu: break, clip; Q: break, clip, polynomial low to high power. From the published fits, uS.
    PcmHermes1: (
        10.35, 200, [0.15781817, 2.32443916, -2.16310839, 0.68841818],
        (0.3039, -0.0120, -0.0023, 0.0124, [0.0104, 0.0116, -0.0165]),
        (0.1591, -0.0078, 0.0038, 0.0179, [0.0088, 0.0768, -0.1352, 0.0664]),
    ),
    PcmHermes2: (
        20.7, 300, [0.16603222, 4.71806468, -8.48101252, 4.68961419],
        (0.3055, -0.0117, -0.0057, 0.0091, [0.0073, 0.0093, -0.0118]),
        (0.16, -0.0117, -0.0069, 0.015, [0.0123, 0.0211, -0.0280, 0.0069]),
    ),
}  # fmt: skip


def two_branches(r, edge, slope, offset, low, polynomial, high=0.04):
    branch = np.clip(slope * np.log(np.maximum(r, 1e-7)) + offset, low, high)
    return np.where(r < edge, branch, np.polynomial.polynomial.polyval(r, polynomial))


@pytest.mark.parametrize("cls", HERMES)
def test_hermes_cells_follow_the_published_fits(cls):
    g_max, t0, sigma, nu, q = HERMES[cls]
    r = np.array([0.0, 0.01, 0.05, 0.0944, 0.0946, 0.15, 0.17, 0.3, 0.31, 0.6, 1.0])
    target = np.asarray(r * g_max * 1e-6, np.float32)
    cell = cls()
    assert cell.g_max == pytest.approx(g_max * 1e-6)
    program, read = jax.jit(cell.program), jax.jit(cell.read)
    state = program(jnp.broadcast_to(target, (DRAWS, len(r))), PROGRAM)
    g, spread = np.asarray(state.g, float) * 1e6, np.polynomial.polynomial.polyval(r, sigma)
    np.testing.assert_allclose(g[:, 3:].mean(0), (r * g_max)[3:], atol=4 * spread.max() / np.sqrt(DRAWS))
    np.testing.assert_allclose(g[:, 3:].std(0), spread[3:], rtol=0.01)
    mean = two_branches(r, 0.0945, -0.0387, -0.0182, 0.0720, [0.0736, -0.0126, -0.0436], high=0.13)
    exponents, s = np.asarray(state.nu, float), two_branches(r, *nu)
    folded = scipy.stats.foldnorm(mean / s, scale=s)  # |mu + s N|
    np.testing.assert_allclose(exponents.mean(0), folded.mean(), atol=4 * 0.04 / np.sqrt(DRAWS))
    np.testing.assert_allclose(exponents.std(0), folded.std(), rtol=0.01)
    fixed = program(target, None)
    np.testing.assert_allclose(fixed.nu, mean, rtol=1e-5)
    noisy = read(program(jnp.broadcast_to(target, (DRAWS, len(r))), None), READ, DAY)
    drifted = target * ((DAY + t0) / t0) ** -mean
    np.testing.assert_allclose(read(fixed, None, DAY), drifted, rtol=1e-5)
    size = two_branches(r, *q) * np.sqrt(np.log((DAY + t0 + 512e-9) / (2 * 512e-9)))
    np.testing.assert_allclose(np.asarray(noisy, float).std(0), drifted * size, rtol=0.01)
