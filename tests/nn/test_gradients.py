"""Weights, bit-widths, ranges and the hardware's own numbers all have gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import imcjax
from imcjax import Rule
from imcjax.crossbar import Wires
from imcjax.nn import Bits, HardwareVariable, Range, operators

from .example import QUANTIZED, SMOOTH, WIRED, close, data, net, run


X, Y = data(32, 10), data(32, 3, seed=2)
EVERYTHING = (nnx.Param, Bits, Range, HardwareVariable)


def loss(model, x=X, y=Y):
    return jnp.mean((model(jnp.asarray(x)) - y) ** 2)


def hardware_of(state) -> imcjax.Hardware:
    (found,) = {id(v): v for v in jax.tree.leaves(state, is_leaf=lambda v: isinstance(v, nnx.Variable))}.values()
    return found.get_value()


def wires_of(variables) -> Wires:
    wires = hardware_of(variables).wires
    assert wires is not None
    return wires


def test_weights_bits_ranges_and_wires_have_gradients():
    model = imcjax.convert(net(), WIRED)
    imcjax.calibrate(model, [X])
    grads = nnx.jit(nnx.grad(loss, argnums=nnx.DiffState(0, EVERYTHING)))(model)
    wires = wires_of(nnx.filter_state(grads, HardwareVariable))
    found = {f"wires.{name}": getattr(wires, name) for name in ("wordline", "bitline", "driver", "sense")}
    for kind in (nnx.Param, Bits, Range):
        for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.filter_state(grads, kind)):
            found[jax.tree_util.keystr(path)] = leaf
    assert len(found) == 4 + 4 + 6 + 6
    for name, value in found.items():
        assert np.isfinite(value).all(), name
        assert np.abs(value).max() > 0, name


def with_wires(model):
    """(ohms -> outputs) of a model on SMOOTH hardware, whose wires are then `ohms`."""
    graph, held, rest = nnx.split(model, HardwareVariable, ...)

    def outputs(ohms, x=X):
        wired = SMOOTH.replace(wires=Wires(*ohms))
        state = jax.tree.map(lambda v: v.replace(wired), held, is_leaf=lambda v: isinstance(v, HardwareVariable))
        return nnx.merge(graph, state, rest, copy=True)(jnp.asarray(x))

    return outputs


def test_gradients_of_the_wires_against_finite_differences():
    model = imcjax.convert(net(), SMOOTH)
    outputs = with_wires(model)
    grads = wires_of(nnx.jit(nnx.grad(loss, argnums=nnx.DiffState(0, HardwareVariable)))(model))
    assert SMOOTH.wires is not None
    ohms = jnp.asarray([SMOOTH.wires.wordline, SMOOTH.wires.bitline, SMOOTH.wires.driver, SMOOTH.wires.sense])
    at = jax.jit(lambda ohms: jnp.mean((outputs(ohms) - Y) ** 2))
    for i, name in enumerate(("wordline", "bitline", "driver", "sense")):
        step = jnp.zeros(4).at[i].set(0.3 * ohms[i])
        slope = float(at(ohms + step) - at(ohms - step)) / (0.6 * float(ohms[i]))
        assert abs(slope) > 1e-7
        assert float(getattr(grads, name)) == pytest.approx(slope, rel=0.02), name


def test_a_shared_resistance_has_the_sum_of_the_layers_gradients():
    together = imcjax.convert(net(), SMOOTH)
    apart = imcjax.convert(net(), [Rule("first", SMOOTH), Rule("second", SMOOTH.replace(name="its own"))])
    gradient = nnx.jit(nnx.grad(loss, argnums=nnx.DiffState(0, HardwareVariable)))
    parts = jax.tree.leaves(gradient(apart), is_leaf=lambda v: isinstance(v, nnx.Variable))
    ohms = [float(part.get_value().wires.bitline) for part in parts]
    assert len(ohms) == 2
    assert min(abs(ohm) for ohm in ohms) > 1e-8
    assert float(wires_of(gradient(together)).bitline) == pytest.approx(sum(ohms), rel=1e-3)


def test_jit_of_the_split_state_is_the_model():
    model = imcjax.convert(net(), QUANTIZED)
    graph, state = nnx.split(model)
    pure = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    np.testing.assert_allclose(pure(state, X), run(model, X), rtol=1e-5, atol=1e-6)


def test_training_needs_nothing_but_the_converted_model():
    model = imcjax.convert(net(), QUANTIZED)
    frozen = jax.device_get(jax.tree.leaves(nnx.state(model, (Bits, Range, HardwareVariable))))
    optimizer = nnx.Optimizer(model, optax.adam(0.02), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    losses = [float(step(model, optimizer)) for _ in range(5)]
    assert losses[-1] < 0.9 * losses[0]
    for before, after in zip(frozen, jax.tree.leaves(nnx.state(model, (Bits, Range, HardwareVariable))), strict=True):
        np.testing.assert_array_equal(np.float32(before), after)


@pytest.mark.slow
def test_noise_aware_training_and_learned_widths():
    noisy = QUANTIZED.replace(device=imcjax.devices.Generic(1e-6, 40e-6, program_sigma=0.02))
    model = imcjax.convert(net(), noisy, rngs=nnx.Rngs(imc=0))
    imcjax.calibrate(model, [X])
    kinds = (nnx.Param, Bits, Range)
    optimizer = nnx.Optimizer(model, optax.sgd(0.02), wrt=kinds)
    before = {path: float(operator.settings().weight_bits) for path, operator in operators(model).items()}

    @nnx.jit
    def step(model, optimizer):
        value, grads = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, kinds))(model)
        optimizer.update(model, grads)
        return value

    losses = [float(step(model, optimizer)) for _ in range(5)]
    assert losses[-1] < losses[0]
    for path, operator in operators(model).items():
        assert float(operator.settings().weight_bits) != before[path]
        assert int(operator.calls.get_value()) == 5


def test_a_sweep_over_a_hardware_number_is_a_vmap():
    outputs = with_wires(imcjax.convert(net(), SMOOTH))
    many = jax.jit(jax.vmap(lambda ohm: outputs((0.0, ohm, 0.0, 0.0))))(jnp.asarray([0.0, 10.0, 40.0]))
    close(many[0], net()(X))
    errors = [float(jnp.abs(y - many[0]).max()) for y in many]
    assert 1e-3 < errors[1] < errors[2] < 4.5 * errors[1]
