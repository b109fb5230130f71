"""Cells whose programming error is a fit of the target: PCM of Joshi et al., RRAM of Milo et al."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.crossbar import cells
from imcjax.devices import PcmJoshi, RramMilo


DRAWS = 100_000
PROGRAM, READ = jax.random.split(jax.random.key(2))
CELLS = [PcmJoshi(), RramMilo()]


@pytest.mark.parametrize(
    "cell, us, coefficients",
    [
        (CELLS[0], [0.25, 3.0, 12.0, 21.2, 25.0], [-0.00178767, 0.07585724, 0.28638599]),
        (CELLS[1], [50.0, 100.0, 225.0], [-0.009107, 4.782321]),
    ],
)
def test_spread_around_the_target(cell, us, coefficients):
    us = np.array(us)
    target = jnp.broadcast_to(jnp.asarray(us * 1e-6, jnp.float32), (DRAWS, len(us)))
    g = np.asarray(jax.jit(cell.program)(target, PROGRAM).g, float) * 1e6
    sigma = np.polyval(coefficients, us)
    far = us > 4 * sigma  # elsewhere what would fall below zero is cut off
    np.testing.assert_allclose(g.mean(0)[far], us[far], atol=4 * sigma.max() / np.sqrt(DRAWS))
    np.testing.assert_allclose(g.std(0)[far], sigma[far], rtol=4 / np.sqrt(2 * DRAWS))
    assert far.sum() >= 3
    assert g.min() >= 0


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_drawn_without_a_key_and_reads_repeat(cell):
    target = jnp.linspace(float(cell.g_min), float(cell.g_max), 5)
    np.testing.assert_array_equal(cell.read(cell.program(target, None), None, 1e9), target)
    state = cell.program(target, PROGRAM)
    np.testing.assert_array_equal(cell.read(state, READ), state.g)  # the sources have no read noise
    noisy = cell.replace(read_sigma=0.1)
    np.testing.assert_allclose(
        noisy.read(state, READ), state.g * (1 + 0.1 * jax.random.normal(READ, (5,))), rtol=1e-5
    )  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_at_no_error(cell):
    target = jnp.linspace(float(cell.g_min), float(cell.g_max), 3)

    def programmed(target, scale):
        return cell.replace(program_scale=scale).program(target, PROGRAM).g

    to_target, to_scale = jax.jacobian(programmed, (0, 1))(target, 0.0)
    np.testing.assert_array_equal(to_target, np.eye(3))
    one = programmed(target, 1e-2)
    np.testing.assert_allclose(to_scale, (one - target) / 1e-2, rtol=1e-2)


def test_milo_current_voltage_curve():
    g = np.array([50e-6, 100e-6, 225e-6])
    with jax.enable_x64(True):
        found = np.asarray(RramMilo.nonlinearity(jnp.asarray(g)))
    log = np.log10(g)
    quadratic = np.polyval([1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], log)
    cubic = np.polyval([8.871e-5, 6.7919e-4, 1.2968e-3], log)
    u = 0.3
    for k in range(3):
        current = g[k] * u + quadratic[k] * u**2 + cubic[k] * u**3
        cell = cells.Polynomial(coefficients=np.float32(found[:, k]))
        assert float(cell.current(jnp.float32(g[k]), jnp.float32(u))) == pytest.approx(current, rel=1e-5)
        cells.check_cell(cell, np.array([0.5]))
    assert (np.abs(found[:, 0]) > 10 * np.abs(found[:, 2])).all()
