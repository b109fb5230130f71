"""Cells with a measured current-voltage curve in the whole path, without wires and with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, UserError, crossbar, hardware, mvm
from imcjax.converters import Adc, Dac
from imcjax.crossbar import Wires, cells
from imcjax.devices import Cell, RramMilo, effects
from imcjax.mapping import Differential, Offset
from imcjax.pytree import number, record
from imcjax.readout import Voltage


MILO = RramMilo(g_min=62.5e-6, g_max=110e-6, curve="measured")
NL2, NL3 = [1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], [8.871e-5, 6.7919e-4, 1.2968e-3]  # A/V^2, A/V^3, of log10(G / S)
RNG = np.random.default_rng(0)
X, W = RNG.uniform(-1, 1, (3, 10)), RNG.uniform(-1, 1, (10, 4))
LINES = Wires(2.0, 3.0, 4.0, 5.0)


def technology(encoding, device=MILO, **changes):
    chip = {"rows": 6, "cols": 8, "dac": Dac(v_read=0.4)} | changes
    return Hardware(device=device, encoding=encoding, **chip)


def carried(g, u):
    """CrossSim's polynomial, ampere."""
    log = np.log10(g)
    return g * u + np.polyval(NL2, log) * u**2 + np.polyval(NL3, log) * u**3


@functools.partial(jax.jit, static_argnames=())
def run(x, w, chip):
    return mvm(x, w, chip, Settings(input_range=1.0, weight_range=1.0))


def column_currents(encoding, x):
    """(3, 4) outputs by summing cell currents: apart, or at one node between opposite wordlines."""
    span = MILO.g_max - MILO.g_min
    positive, negative = (MILO.g_min + span * np.maximum(s * W, 0) for s in (1, -1))
    u = 0.4 * x[:, :, None]
    second = carried(negative, -u) if encoding.interleaved else -carried(negative, u)
    return (carried(positive, u) + second).sum(1) / (0.4 * span)


@pytest.mark.parametrize("encoding", [Differential(), Differential(pairs="interleaved")], ids=["apart", "interleaved"])
def test_columns_add_up_the_curves_of_their_cells(encoding):
    with jax.enable_x64(True):
        found = run(X, W, technology(encoding))
        np.testing.assert_allclose(found, column_currents(encoding, X), rtol=1e-9)
        linear = run(X, W, technology(encoding, MILO.replace(curve="linear")))
        np.testing.assert_allclose(linear, X @ W, rtol=1e-9)
        assert np.abs(found - X @ W).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("encoding", [Differential(), Differential(pairs="interleaved")], ids=["apart", "interleaved"])
def test_wires_of_no_resistance_leave_the_curves_and_real_ones_do_not(encoding):
    with jax.enable_x64(True):
        none = run(X, W, technology(encoding, wires=Wires(0.0, 0.0, 0.0, 0.0)))
        np.testing.assert_allclose(none, column_currents(encoding, X), rtol=1e-6)
        some = run(X, W, technology(encoding, wires=LINES))
    assert 1e-3 < np.abs(some - none).max() < 0.5


def test_wired_cells_are_solved_for_each_input():
    """One array of single cells: our currents are those of the circuit with CrossSim's polynomial in every cell."""
    encoding = Offset(weight_bits=3, cell_bits=3)
    x, w = RNG.uniform(0, 1, (2, 6)), RNG.integers(-3, 4, (6, 4)).astype(float)
    chip = technology(encoding, wires=LINES, dac=Dac(v_read=0.4))
    g = MILO.g_min + (w + 4) / 7 * (MILO.g_max - MILO.g_min)
    with jax.enable_x64(True):
        settings = Settings(input_range=1.0, weight_range=3.0)
        found = jax.jit(lambda x, w: mvm(x, w, chip, settings))(x, w)
        volts = jnp.asarray(0.4 * x)

        def again(_, effective):  # every cell a linear one at its own voltage: a fixed point of the linear solver
            nodes = crossbar.solve(effective, volts, LINES)
            u = nodes.wordline_v - nodes.bitline_v
            return g + jnp.polyval(jnp.asarray(NL2), jnp.log10(g)) * u + jnp.polyval(jnp.asarray(NL3), jnp.log10(g)) * u**2

        effective = jax.jit(lambda start: jax.lax.fori_loop(0, 30, again, start))(jnp.asarray(np.stack([g, g])))
        out = np.asarray(crossbar.currents(effective, volts, LINES))
    level = (MILO.g_max - MILO.g_min) / 7
    expected = out / (0.4 * level) - (MILO.g_min / level + 4) * x.sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_curve_is_that_of_the_nearer_end_where_errors_take_a_cell_beyond():
    g = jnp.asarray([1e-6, 50e-6, 225e-6, 240e-6])
    found = np.asarray(MILO.nonlinearity(g))
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    np.testing.assert_array_equal(found[:, 3], found[:, 2])
    np.testing.assert_allclose(found[0, 1:3] * g[1:3], np.polyval(NL2, np.log10(g[1:3])), rtol=1e-3, atol=1e-8)


def test_slopes_of_cells_and_voltages_are_those_of_the_curve():
    chip = technology(Differential(), dac=Dac(v_read=0.3))
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda chip, x: jnp.sum(mvm(x, W, chip, Settings(input_range=1.0, weight_range=1.0)) ** 2)))

        def loss(chip):
            return float(jnp.sum(run(X, W, chip) ** 2))

        found = slope(chip, X)
        for path, step in (("dac", 1e-5), ("device", 1e-9)):
            name = {"dac": "v_read", "device": "g_max"}[path]
            ends = []
            for sign in (1, -1):
                part = getattr(chip, path)
                moved = part.replace(**{name: getattr(part, name) + sign * step})
                ends.append(loss(chip.replace(**{path: moved})))
            assert float(getattr(getattr(found, path), name)) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_nothing_clips_at_full_scale():
    quantized = technology(Differential(weight_bits=5), dac=Dac(input_bits=5, bits=4, v_read=0.4), adc=Adc(bits=12))
    x, w = np.ones((1, 6)), np.ones((6, 4))  # the polarity in which the other cell of a pair takes less away
    exact = run(x, w, quantized.replace(adc=Adc()))
    assert exact.min() > 6.5
    np.testing.assert_allclose(run(x, w, quantized), exact, rtol=1e-2)


def test_effects_around_the_cells_leave_their_curve():
    held = Cell(base=MILO, drift=effects.Drift())
    np.testing.assert_array_equal(run(X, W, technology(Differential(), held)), run(X, W, technology(Differential())))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dac": Dac(v_read=0.6)}, r"dac.v_read is 0.6 V, but the curve of device rram_milo is known up to 0.5 V"),
        ({"device": RramMilo(g_min=40e-6)}, r"device.g_min is 4e-05 S; give finite numbers in \[4.99999e-05, "),
        ({"device": RramMilo(curve="bent")}, r"device.curve is 'bent'"),
        ({"encoding": Offset(), "readout": Voltage()}, "readout is 'voltage', which knows no device.curve"),
        ({"wires": LINES, "solver": "pade"}, "solver is 'pade', which knows no device.curve; give one of auto"),
    ],
)
def test_what_the_curve_is_not_for_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        hardware.check(Hardware(**{"device": MILO, "dac": Dac(v_read=0.4)} | changes))


@record
class Falling:
    """A curve with a maximum at 0.5 V."""

    g_min: float = number(default=1e-6)
    g_max: float = number(default=1e-4)

    def nonlinearity(self, g):
        return -jnp.ones_like(g)[None]


def test_the_solver_refuses_voltages_at_which_the_current_falls():
    g = np.full((4, 3), 62.5e-6)
    crossbar.currents(g, np.full(4, 0.4), LINES, cell=cells.ByConductance(Falling()))
    with pytest.raises(UserError, match="less current at more voltage"):
        crossbar.currents(g, np.full(4, 2.0), LINES, cell=cells.ByConductance(Falling()))
