"""Convolutions that are not unrolled against those that are: the same numbers, the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, converters, devices
from imcjax.mapping import Differential, Offset
from imcjax.nn import convolved, operators


SLICED = Differential(weight_bits=5, cell_bits=2)
CASES = {
    "plain": {},
    "slices, phases, devices": {
        "encoding": SLICED,
        "dac": converters.Dac(input_bits=4, bits=1),
        "device": devices.Generic(g_min=1e-6, g_max=5e-5, program_sigma=0.05, read_sigma=0.02),
    },
    "subtracted after conversion": {"encoding": Differential(subtract="digital"), "rows": 16},
    "a reference column": {"encoding": Offset(weight_bits=4, cell_bits=2, reference="zero_column")},
    "flawed columns": {"adc": converters.Adc(bits=6, flaws=converters.Flaws(gain_sigma=0.05, offset_sigma=0.02))},
}


def _hardware(**changes):
    given = {
        "name": "small",
        "rows": 64,
        "cols": 64,
        "adc": converters.Adc(bits=6),
        "dac": converters.Dac(input_bits=4, bits=4),
    }
    return Hardware(**given | changes)


def _layer(hardware, **geometry):
    conv = nnx.Conv(3, 5, (3, 3), rngs=nnx.Rngs(0), **geometry)
    layer = imcjax.convert(conv, hardware)
    x = jax.random.normal(jax.random.key(1), (2, 6, 7, 3))
    imcjax.calibrate(layer, [x], progress=False)
    return layer, x


def _run(layer, x, unrolled, monkeypatch):
    with monkeypatch.context() as patched:
        if unrolled:
            patched.setattr(convolved, "applies", lambda *_: False)
        graph, state = nnx.split(layer)

        def run(state, x):
            copy = nnx.merge(graph, state, copy=True)
            return copy(x), copy(jnp.sin(3 * x))

        y = jax.jit(run)(state, x)
        params, rest = nnx.split_state(state, nnx.Param, ...)

        def loss(params, x):
            return sum(jnp.sum(jnp.cos(part)) for part in run(nnx.merge_state(params, rest), x))

        return y, jax.jit(jax.grad(loss, argnums=(0, 1)))(params, x)


def _close(a, b, tolerance):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(one, other, atol=tolerance * scale, rtol=0)


QUICK = ("slices, phases, devices", "subtracted after conversion")


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES])
def test_a_chips_answers_are_those_of_the_unrolled_product(case, monkeypatch):
    layer, x = _layer(_hardware(**CASES[case]), strides=(2, 1))
    operator = next(iter(operators(layer).values()))
    key = jax.random.key(3)
    calls = []
    monkeypatch.setattr(convolved, "multiply", lambda *a, f=convolved.multiply, **k: calls.append(1) or f(*a, **k))
    chip = imcjax.nn.on_chip(layer, imcjax.nn.program_chips(layer, key)[0])
    fresh = nnx.clone(layer)
    next(iter(operators(fresh).values())).noise = nnx.data(imcjax.nn.variables.Noise(key))
    assert operator.chip is None
    for model in (chip, fresh):
        found, exact = (_run(model, x, unrolled, monkeypatch) for unrolled in (False, True))
        # A sum at the edge of a code may fall to either side.
        far = np.abs(np.asarray(found[0][0]) - np.asarray(exact[0][0])) > 1e-5 * np.abs(exact[0][0]).max()
        assert far.mean() < 0.01
        _close(found[1], exact[1], 0.02 if far.any() else 1e-4)
    assert calls


@pytest.mark.parametrize(
    "geometry",
    [{"kernel_dilation": 2}, *(pytest.param({"padding": name}, marks=pytest.mark.slow) for name in ("VALID", "CIRCULAR"))],
)
def test_geometries(geometry, monkeypatch):
    layer, x = _layer(_hardware(adc=converters.Adc(bits=None)), **geometry)
    chip = imcjax.nn.on_chip(layer, imcjax.nn.program_chips(layer, jax.random.key(3))[0])
    found, exact = (_run(chip, x, unrolled, monkeypatch) for unrolled in (False, True))
    _close(found, exact, 1e-5)


def test_hardware_that_needs_every_vector_is_unrolled(monkeypatch):
    monkeypatch.setattr(convolved, "multiply", lambda *_, **__: pytest.fail("not unrolled"))
    flaws = converters.DacFlaws(gain_sigma=0.1)
    flawed = converters.Dac(input_bits=4, bits=4, flaws=flaws)
    for changes in ({"rows": 3}, {"encoding": Offset(weight_bits=4, cell_bits=2)}, {"dac": flawed}):
        layer, x = _layer(_hardware(**changes))
        chip = imcjax.nn.on_chip(layer, imcjax.nn.program_chips(layer, jax.random.key(3))[0])
        assert np.isfinite(chip(x)).all()


def test_straight_through_is_the_digital_gradient():
    layer, x = _layer(_hardware())
    next(iter(operators(layer).values())).backward = "straight_through"
    plain = nnx.Conv(3, 5, (3, 3), rngs=nnx.Rngs(0))
    found, exact = (jax.grad(lambda x, f=f: f(x).sum())(x) for f in (layer, plain))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)
