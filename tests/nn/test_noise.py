"""Draws differ between calls and layers, come back with the seed, and do not depend on other layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Rule, pipeline
from imcjax.keys import fold_index, fold_name
from imcjax.nn import Chip, matrices, operators, record_inputs

from .example import NOISY, QUANTIZED, Twins, close, data, net, run


X = data(4, 10)


def outputs(calls: int, rules: Any = NOISY, seed: int = 0):
    """[(a, b) of each call] of a fresh conversion."""
    model = imcjax.convert(Twins(nnx.Rngs(0)), rules, rngs=nnx.Rngs(imc=seed))
    return [tuple(np.asarray(y) for y in run(model, X)) for _ in range(calls)]


def test_draws_differ_between_calls_layers_and_seeds_and_come_back_with_the_seed():
    (a, b), (a2, b2) = outputs(2)
    (other, _) = outputs(1, seed=1)[0]
    drawn = [a, b, a2, b2, other]
    for i, one in enumerate(drawn):
        for two in drawn[:i]:
            assert np.abs(one - two).max() > 1e-3 * np.abs(one).max()
    np.testing.assert_array_equal([a, b], outputs(1)[0])
    np.testing.assert_array_equal([a2, b2], outputs(2)[1])


def test_leaving_a_layer_digital_changes_no_other_draw():
    everything = outputs(2)
    without = outputs(2, [Rule("a", digital=True), Rule("b", NOISY)])
    for (a, b), (digital, same) in zip(everything, without, strict=True):
        np.testing.assert_array_equal(b, same)
        assert np.abs(a - digital).max() > 0


def test_without_rngs_nothing_is_drawn():
    model = imcjax.convert(net(), NOISY)
    first = np.asarray(run(model, X))
    np.testing.assert_array_equal(first, run(model, X))
    np.testing.assert_allclose(first, run(imcjax.convert(net(), QUANTIZED), X), rtol=1e-6)


LAYERS = {
    "linear": (nnx.Linear(10, 6, rngs=nnx.Rngs(0)), (4, 10)),
    "depthwise": (nnx.Conv(2, 4, (2, 2), feature_group_count=2, rngs=nnx.Rngs(0)), (2, 3, 3, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_settled_chip_is_the_one_that_its_key_programs(name):
    layer, shape = LAYERS[name]
    model = imcjax.convert(layer, NOISY)
    operator, x, key = operators(model)[""], data(*shape), jax.random.key(7)
    weights, settings = matrices(model), operator.settings()

    @jax.jit
    def by_hand(weights, rows):  # rows (..., groups, n_in)
        parts = []
        for group, w in enumerate(weights):
            own = fold_index(fold_name(key, ""), group)
            chip = pipeline.program(w, NOISY, settings, key=fold_name(own, "program"))
            parts.append(pipeline.read(chip, rows[..., group, :], NOISY, settings, key=fold_name(own, "read")))
        return jnp.stack(parts, axis=-2)

    settle = jax.jit(operator.settle)
    operator.chip = nnx.data(Chip(settle(weights, key)))
    found = np.asarray(run(model, x))
    np.testing.assert_array_equal(found, run(model, x))  # one chip: no new draws
    rows = record_inputs(model, [x])[""].inputs
    close(found.reshape(len(rows), -1), by_hand(weights, rows).reshape(len(rows), -1))

    operator.chip = nnx.data(Chip(settle(weights, jax.random.key(8))))
    assert np.abs(run(model, x) - found).max() > 1e-3 * np.abs(found).max()


def test_a_programmed_chip_is_read_too():
    model = imcjax.convert(nnx.Linear(10, 6, rngs=nnx.Rngs(0)), QUANTIZED)
    operator, settings = operators(model)[""], operators(model)[""].settings()
    wanted = np.asarray(run(model, X))
    program = jax.jit(lambda w: pipeline.program(w, QUANTIZED, settings))
    operator.chip = nnx.data(Chip(jax.tree.map(lambda leaf: leaf[None], program(matrices(model)[0]))))
    model.kernel.set_value(jnp.zeros((10, 6)))  # the chip has its own
    close(run(model, X), wanted)
