"""Fake quantization of Flax models, and what post-training quantization does to them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from imcjax import UserError
from imcjax.nn import (
    Bits,
    FormatRule,
    Range,
    adaround,
    correct_bias,
    fake_operators,
    fake_quantize,
    fit_inputs,
    fit_weights,
    reestimate_batchnorm,
)
from imcjax.nn.layer_records import Recorder
from imcjax.quantize import Bwn, Lsq, Stochastic, Symmetric

from .example import close, data, net, run


class Convolutional(nnx.Module):
    """Conv, BatchNorm, ReLU, Linear on images (6, 5, 2)."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv = nnx.Conv(2, 4, (3, 2), strides=(2, 1), padding="SAME", use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
        self.linear = nnx.Linear(3 * 5 * 4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.conv(x)))
        return self.linear(x.reshape(x.shape[0], -1))


def images(seed=2, count=12):
    return data(count, 6, 5, 2, seed=seed)


def quantized():
    rules = [FormatRule("conv", Symmetric(4, axis=-1, rows=8), Lsq(8))]
    return fake_quantize(Convolutional(nnx.Rngs(0)), weights=Lsq(3, axis=-1), inputs=Lsq(4), rules=rules, sample=images())


def test_layers_compute_with_quantized_numbers():
    model, x = net(), data(20, 10)
    found = fake_quantize(model, weights=Lsq(3), inputs=Lsq(4), sample=x)
    first, second = fake_operators(found)["first"], fake_operators(found)["second"]
    assert first.inputs.get().signed
    assert not second.inputs.get().signed  # after a ReLU

    def layer(layer, hook, x):
        step, top = float(hook.inputs.get().step), 7 if hook.inputs.get().signed else 15
        inputs = np.clip(np.round(x / step), -8 if top == 7 else 0, top) * step
        w, step = np.asarray(layer.kernel.get_value()), float(hook.weights.get().step)
        assert step == pytest.approx(2 * np.abs(w).mean() / np.sqrt(3), rel=1e-5)
        return inputs @ (np.clip(np.round(w / step), -4, 3) * step) + np.asarray(layer.bias.get_value())

    close(run(found, x), layer(found.second, second, np.maximum(layer(found.first, first, x), 0)), 1e-5)
    assert not fake_operators(model)  # the source stays what it was


def test_bits_that_change_do_not_recompile():
    model, x = quantized(), images()
    traced = jax.jit(chex.assert_max_traces(lambda model, x: model(x), n=1))
    outputs = []
    for bits in (4.0, 3.0, 2.0, 2.3):
        fake_operators(model)["linear"].weights.numbers["bits"].set_value(jnp.asarray(bits))
        outputs.append(np.asarray(traced(model, x)))
    assert not np.allclose(outputs[1], outputs[2])
    np.testing.assert_array_equal(outputs[2], outputs[3])


def test_weights_and_steps_train_together():
    x, target = data(64, 10), data(64, 3, seed=3)
    model = fake_quantize(net(), weights=Lsq(2, axis=-1), inputs=Lsq(4), sample=x)
    wanted = nnx.Any(nnx.Param, Range)
    graph, trained, rest = nnx.split(model, wanted, ...)
    assert len(jax.tree.leaves(nnx.state(model, Bits))) == 4
    assert len(jax.tree.leaves(trained)) == 8  # two kernels, two biases, four steps

    @jax.jit
    def step(trained):
        def loss(trained):
            return jnp.mean((nnx.merge(graph, trained, rest)(x) - target) ** 2)

        value, slopes = jax.value_and_grad(loss)(trained)
        return value, jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, trained, slopes)

    losses, after = [], trained
    for _ in range(60):
        value, after = step(after)
        losses.append(float(value))
    assert losses[-1] < 0.8 * losses[0]
    moved = jax.tree.map(lambda a, b: float(np.abs(np.subtract(a, b)).max()), after, trained)
    assert min(jax.tree.leaves(moved)) > 0


def test_ranges_by_rule():
    model, x = quantized(), images()
    hook = fake_operators(model)["conv"]
    fit_inputs(model, [x, x], rule="minmax")
    assert float(hook.inputs.get().step) * 127 == pytest.approx(np.abs(x).max(), rel=1e-5)
    fit_weights(model, rule="minmax")
    matrix = np.abs(model.conv.kernel.get_value()).reshape(12, 4)  # two tiles of at most 8 rows, a range for each column
    np.testing.assert_allclose(hook.weights.get().limit, [matrix[:8].max(0), matrix[8:].max(0)])
    columns = fake_operators(model)["linear"].weights.get().step
    np.testing.assert_allclose(columns * 3, np.abs(model.linear.kernel.get_value()).max(0, keepdims=True), rtol=1e-5)


@pytest.mark.slow
def test_formats_draw_from_a_stream():
    model = fake_quantize(net(), weights=Stochastic(3), rngs=nnx.Rngs(imc=0))
    x = data(4, 10)
    first, second = np.asarray(run(model, x)), np.asarray(run(model, x))
    assert not np.allclose(first, second)  # another draw each call
    again = fake_quantize(net(), weights=Stochastic(3), rngs=nnx.Rngs(imc=0))
    np.testing.assert_array_equal(run(again, x), first)


def test_statistics_are_those_of_the_batches():
    model = quantized()
    parts = [images(4, 8), images(5, 16)]
    before = np.asarray(run(model, parts[0]))
    assert reestimate_batchnorm(model, parts) == ["norm"]
    hook = fake_operators(model)["conv"]
    seen = []
    for x in parts:
        inputs, kernel = hook.quantized(jnp.asarray(x), model.conv.kernel.get_value())
        plain = Convolutional(nnx.Rngs(0)).conv
        plain.kernel.set_value(kernel)
        seen.append(np.asarray(plain(inputs)).reshape(-1, 4))
    seen = np.concatenate(seen)
    np.testing.assert_allclose(model.norm.mean.get_value(), seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(model.norm.var.get_value(), seen.var(0), rtol=1e-4)
    assert model.norm.use_running_average
    assert model.norm.momentum == 0.99
    assert not np.allclose(run(model, parts[0]), before)


def test_corrected_biases_restore_the_mean_outputs():
    model, x = quantized(), images()
    source = Convolutional(nnx.Rngs(0))
    assert correct_bias(model, [x[:6], x[6:]]) == ["conv", "linear"]
    recorder = Recorder(model, ["conv", "linear"], exact=False)

    @jax.jit
    def outputs(x, kernel):
        inputs, rounded = hook.quantized(x, kernel)
        return seen.compute(inputs, kernel), seen.compute(inputs, rounded)

    for path, layer in (("conv", model.conv), ("linear", model.linear)):
        hook, seen = fake_operators(model)[path], recorder(model, [x])[path]
        exact, with_bias = (np.asarray(y) for y in outputs(seen.inputs[0], layer.kernel.get_value()))
        with_bias = with_bias + np.asarray(layer.bias.get_value())
        bias = 0 if path == "conv" else np.asarray(source.linear.bias.get_value())
        axes = tuple(range(exact.ndim - 1))
        np.testing.assert_allclose(with_bias.mean(axes), exact.mean(axes) + bias, atol=1e-5)


def test_adaround_rounds_better_than_to_nearest():
    rng = np.random.default_rng(7)
    x = (rng.normal(size=(200, 4)) @ rng.normal(size=(4, 10)) + 0.1 * rng.normal(size=(200, 10))).astype(np.float32)
    model = fake_quantize(net(), rules=[FormatRule("first", Symmetric(3, axis=-1), Lsq(8))], sample=x)
    kernel, step = np.asarray(model.first.kernel.get_value()), np.abs(model.first.kernel.get_value()).max(0) / 3
    errors = adaround(model, [x], steps=200)
    assert set(errors) == {"first"}
    rounded = np.asarray(model.first.kernel.get_value())
    codes = rounded / step
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-4)
    assert np.abs(rounded - kernel).max() < 1.0001 * step.max()  # up or down, no farther
    nearest = np.round(kernel / step) * step
    hook = fake_operators(model)["first"]
    inputs = np.asarray(hook.inputs.get().quantize(x))
    by_hand = [(((inputs @ w) - x @ kernel) ** 2).sum(-1).mean() for w in (nearest, rounded)]
    np.testing.assert_allclose(errors["first"], by_hand, rtol=1e-3)
    assert by_hand[1] < 0.7 * by_hand[0]
    assert np.abs(codes).max() < 3 + 1e-4


def broken():
    model = net()
    model.first.kernel.set_value(model.first.kernel.get_value() * jnp.nan)
    return model


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: fake_quantize(3, weights=Lsq(4)), "model is a int; give a flax.nnx module"),
        (lambda: fake_quantize(net()), "No layer gets a format"),
        (lambda: fake_quantize(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), weights=Lsq()), "nothing to quantize"),
        (lambda: fake_quantize(net(), weights=4), "weights is 4; give a number format"),
        (lambda: fake_quantize(net(), rules=[FormatRule("frist", Lsq(4))]), "matches no layer; the layers are: first, second"),
        (lambda: fake_quantize(net(), rules=[FormatRule("(", Lsq(4))]), "not a regular expression"),
        (lambda: fake_quantize(net(), rules=[Lsq(4)]), "give a list of imcjax.nn.FormatRule"),
        (lambda: fake_quantize(broken(), weights=Lsq(4)), "Layer 'first', weights: the weights hold NaN"),
        (lambda: fake_quantize(net(), weights=Lsq(4, axis=2)), "Layer 'first', weights: Lsq.axis is 2"),
        (lambda: fake_quantize(net(), weights=Lsq(bits=20)), "Layer 'first', weights: Lsq.bits is 20"),
        (lambda: fake_quantize(net(), inputs=Lsq(1), sample=data(2, 10)), "Layer 'first', inputs: Lsq.bits is 1 bits"),
        (lambda: fake_quantize(net(), inputs=Lsq(4, axis=0)), "inputs has axis 0 and rows None; give axis -1"),
        (lambda: fake_quantize(net(), inputs=Lsq(4)), "input format of layer 'first' has no numbers yet; give sample="),
        (lambda: fake_quantize(fake_quantize(net(), weights=Lsq(4)), weights=Lsq(4)), "Layer 'first' has an operator already"),
        (lambda: fit_inputs(fake_quantize(net(), inputs=Symmetric(4)), []), "no batches; give at least one"),
        (lambda: fit_inputs(fake_quantize(net(), inputs=Symmetric(4)), [data(2, 10) * np.nan]), "layer 'first' hold NaN"),
        (lambda: reestimate_batchnorm(net(), [data(2, 10)]), "has no nnx.BatchNorm"),
        (lambda: reestimate_batchnorm(Convolutional(nnx.Rngs(0)), []), "no batches; give at least one"),
        (lambda: correct_bias(net(), [data(2, 10)]), "no layer with quantized weights"),
        (lambda: adaround(fake_quantize(net(), weights=Bwn()), [data(2, 10)]), "weights in 'bwn'; adaround needs a uniform"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
