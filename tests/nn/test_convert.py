"""On ideal hardware a converted model is the model; the source stays what it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, Rule, UserError
from imcjax.nn import HardwareVariable, layers, operators
from imcjax.nn.unrolled import some_vectors, unroll

from .example import NOISY, QUANTIZED, Net, close, data, net, run


IDEAL = Hardware.ideal()
TILED = IDEAL.replace(rows=7, cols=3)


def conv(channels, features, size, **options):
    return nnx.Conv(channels, features, size, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(0), **options)


CONVOLUTIONS = {
    "1d": (conv(3, 4, 5), (2, 9, 3)),
    "1d-causal": (conv(3, 4, (3,), padding="CAUSAL", kernel_dilation=2), (2, 9, 3)),
    "1d-stride": (conv(2, 4, 4, strides=3, padding="VALID", use_bias=False), (2, 11, 2)),
    "same": (conv(2, 4, (3, 3)), (2, 5, 6, 2)),
    "same-stride-even": (conv(2, 4, (2, 4), strides=(2, 3)), (2, 7, 8, 2)),
    "valid": (conv(2, 3, (3, 2), padding="VALID"), (2, 5, 6, 2)),
    "explicit": (conv(2, 3, (3, 3), padding=((2, 0), (1, 3))), (2, 5, 4, 2)),
    "one-number": (conv(2, 3, (3, 3), padding=1, strides=2), (2, 5, 4, 2)),
    "circular": (conv(2, 3, (3, 3), padding="CIRCULAR"), (2, 5, 4, 2)),
    "reflect": (conv(2, 3, (3, 2), padding="REFLECT"), (2, 5, 4, 2)),
    "dilation": (conv(2, 3, (3, 2), kernel_dilation=(2, 3), padding="SAME"), (2, 7, 6, 2)),
    "groups": (conv(4, 6, (3, 3), feature_group_count=2), (2, 4, 5, 4)),
    "depthwise": (conv(4, 8, (2, 3), feature_group_count=4, strides=2, use_bias=False), (2, 4, 5, 4)),
    "batch-axes": (conv(2, 3, (3, 3), padding="VALID"), (2, 3, 4, 4, 2)),
    "no-batch": (conv(2, 3, (3, 3)), (4, 4, 2)),
    "mask": (conv(2, 2, (2, 2), mask=jnp.asarray(np.arange(16).reshape(2, 2, 2, 2) % 3 > 0, float)), (2, 4, 4, 2)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_on_ideal_hardware_is_the_convolution(name):
    layer, shape = CONVOLUTIONS[name]
    x = data(*shape)
    close(run(imcjax.convert(layer, TILED), x), layer(x))


@pytest.mark.parametrize("shape", [(10,), (4, 10), (2, 3, 4, 10)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_linear_on_ideal_hardware_is_the_linear_layer(shape, use_bias):
    layer = nnx.Linear(10, 5, use_bias=use_bias, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(0))
    x = data(*shape)
    close(run(imcjax.convert(layer, TILED if len(shape) > 1 else IDEAL), x), layer(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1d-stride", "explicit", "dilation", "groups", "same-stride-even"])
def test_some_vectors_are_those_of_the_whole_convolution(name):
    layer, shape = CONVOLUTIONS[name]
    x = jnp.asarray(data(*shape))
    space = len(shape) - 2
    strides, dilation = (np.broadcast_to(v, space).tolist() for v in (layer.strides, layer.kernel_dilation))
    padding = layer.padding if isinstance(layer.padding, str) else list(layer.padding)
    geometry = (layer.kernel.shape, strides, padding, dilation, layer.feature_group_count)
    every = np.asarray(unroll(x, *geometry))
    every = every.reshape(-1, *every.shape[-2:])
    some, total = some_vectors(x, *geometry, 7)
    assert total == len(every)
    np.testing.assert_array_equal(some, every[np.linspace(0, total - 1, min(7, total)).astype(int)])
    assert len(some_vectors(x, *geometry, 10_000)[0]) == total


def test_half_precision_stays_half_precision_outside_and_exact_inside():
    layer = nnx.Linear(10, 5, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    x = data(4, 10)
    found = run(imcjax.convert(layer, QUANTIZED), x)
    assert found.dtype == layer(x).dtype == jnp.bfloat16
    full = nnx.Linear(10, 5, rngs=nnx.Rngs(0))
    full.kernel.set_value(full.kernel.get_value().astype(jnp.bfloat16).astype(jnp.float32))
    same = run(imcjax.convert(full, QUANTIZED), x.astype(jnp.bfloat16).astype(np.float32))
    close(found.astype(jnp.float32), same, rtol=0.01)


class Deep(nnx.Module):
    """Every way in which a module can hold others; one layer and one weight in two places."""

    def __init__(self, rngs):
        self.stem = nnx.Sequential(nnx.Linear(10, 6, rngs=rngs), nnx.relu, nnx.Linear(6, 6, rngs=rngs))
        self.blocks = nnx.List([Net(rngs, 6, 5, 6), nnx.Linear(6, 6, rngs=rngs)])
        self.heads = nnx.Dict(one=nnx.Linear(6, 6, rngs=rngs))
        self.tied = nnx.Linear(6, 6, rngs=rngs)
        self.again = self.tied
        self.copy = nnx.Linear(6, 6, rngs=rngs)
        self.copy.kernel = self.tied.kernel

    def __call__(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = nnx.tanh(block(x))
        return self.copy(nnx.tanh(self.again(nnx.tanh(self.tied(self.heads["one"](x))))))


def test_nested_modules_and_shared_layers():
    model, x = Deep(nnx.Rngs(0)), data(3, 10)
    found = imcjax.convert(model, IDEAL)
    assert set(operators(found)) - {"tied", "again"} == {
        "stem/layers/0",
        "stem/layers/2",
        "blocks/0/first",
        "blocks/0/second",
        "blocks/1",
        "heads/one",
        "copy",
    }
    assert len(operators(found)) == 8
    assert found.tied is found.again
    assert found.copy.kernel is found.tied.kernel
    close(run(found, x), model(x))


def test_the_source_is_left_as_it_is_and_the_copy_is_the_same_class():
    model, x = net(), data(3, 10)
    before, attributes = np.asarray(model(x)), set(vars(model.first))
    graph, state = nnx.split(model)
    found = imcjax.convert(model, TILED, rngs=nnx.Rngs(imc=0))
    found.first.kernel.set_value(jnp.zeros((10, 6)))
    assert not np.allclose(run(found, x), before)
    np.testing.assert_array_equal(model(x), before)
    assert model.first.dot_general is jax.lax.dot_general
    assert set(vars(model.first)) == attributes
    after = nnx.split(model)
    assert after[0] == graph
    jax.tree.map(np.testing.assert_array_equal, after[1], state)
    assert type(found) is Net
    assert found.label == "mine"
    assert found.features.__func__ is Net.features


def test_one_hardware_variable_for_each_hardware_shared_by_reference():
    other = QUANTIZED.replace(name="other")
    found = imcjax.convert(
        Deep(nnx.Rngs(0)), [Rule("stem/.*", QUANTIZED), Rule("blocks/1", other), Rule("blocks/.*", QUANTIZED)]
    )
    held = {path: operator.hardware for path, operator in operators(found).items()}
    assert len({id(variable) for variable in held.values()}) == 2
    assert held["stem/layers/0"] is held["blocks/0/second"]
    assert len(jax.tree.leaves(nnx.state(found, HardwareVariable), is_leaf=lambda v: isinstance(v, nnx.Variable))) == 2


def test_the_first_matching_rule_decides():
    rules = [Rule("first", QUANTIZED, weight_bits=3, adc_bits=5), Rule(".*", NOISY, input_bits=4)]
    found = operators(imcjax.convert(net(), rules))
    first, second = (found[path].settings() for path in ("first", "second"))
    assert [float(b) for b in (first.weight_bits, first.input_bits, first.adc_bits)] == [3, 6, 5]
    assert [float(b) for b in (second.weight_bits, second.input_bits, second.adc_bits)] == [6, 4, 8]
    assert found["first"].technology.name == "quantized"
    assert found["second"].technology.name == "noisy"


def test_rules_match_whole_paths_and_what_none_matches_stays_digital():
    model = Deep(nnx.Rngs(0))
    found = imcjax.convert(model, Rule("blocks/1", IDEAL))
    assert list(operators(found)) == ["blocks/1"]
    assert layers(found)["copy"].dot_general is jax.lax.dot_general
    with pytest.raises(UserError, match=r"Rule\('blocks'\) matches no layer; the layers are: .*blocks/1"):
        imcjax.convert(model, [Rule("blocks", IDEAL), Rule(".*", IDEAL)])


def test_digital_leaves_a_layer_as_it_is():
    model = net()
    found = imcjax.convert(model, [Rule("second", digital=True), Rule(".*", QUANTIZED)])
    assert list(operators(found)) == ["first"]
    x = data(4, 10)
    seen = run(nnx.Sequential(found.first, nnx.relu), x)
    assert np.abs(seen - model.features(x)).max() > 1e-3
    close(run(found, x), model.second(seen))


WRONG = {
    "misspelt": ([Rule("fist", IDEAL), Rule(".*", IDEAL)], r"Rule\('fist'\) matches no layer; the layers are: first, second"),
    "shadowed": ([Rule(".*", IDEAL), Rule("second", QUANTIZED)], r"'second'\) matches only layers that earlier rules take"),
    "all digital": ([Rule(".*", digital=True)], "every layer digital"),
    "no rules": ([], "every layer digital"),
    "no hardware": ([Rule("first")], "has no hardware"),
    "both": ([Rule("first", IDEAL, digital=True)], "has hardware and is digital"),
    "bad regex": ([Rule("(", IDEAL)], "not a regular expression"),
    "a preset's name": ("rram_128", "rules holds 'r'"),
    "nothing": (None, "rules is a NoneType"),
    "bad hardware": (QUANTIZED.replace(solver="fast"), "hardware.solver is 'fast'"),
    "too many bits": (Rule(".*", QUANTIZED, weight_bits=7), r"Rule\('\.\*'\) does not fit.*settings.weight_bits is 7"),
    "a preset's name in a rule": (Rule(".*", "rram_128"), r"has hardware 'rram_128'; give an imcjax.Hardware, as imcjax"),
    "no path": (Rule(None, IDEAL), "module_path is None; give a regular expression"),
    "one operation": (Rule(".*", IDEAL, op_names="einsum"), r"has op_names 'einsum'; give a tuple: \('einsum',\)"),
    "bits where continuous": (Rule(".*", IDEAL, adc_bits=7), "hardware.adc.bits is absent"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_refused(name):
    rules, message = WRONG[name]
    with pytest.raises(UserError, match=message):
        imcjax.convert(net(), rules)


def test_other_wrong_arguments_are_refused():
    for rngs, said in ((0, "a int"), (nnx.Rngs(params=0), r"without a stream 'imc' \(params\)")):
        with pytest.raises(UserError, match=f"rngs is {said}; give nnx.Rngs"):
            imcjax.convert(net(), IDEAL, rngs=rngs)
    for batchnorm in (True, ["first"], "flod", None):
        with pytest.raises(UserError, match="give 'digital', 'fold' or a mapping"):
            imcjax.convert(net(), IDEAL, batchnorm=batchnorm)


def test_a_layer_with_an_operation_of_its_own_is_not_converted_unsaid():
    model = nnx.Sequential(
        nnx.Linear(10, 6, dot_general=lambda *args, **options: 2 * jax.lax.dot_general(*args, **options), rngs=nnx.Rngs(0)),
        nnx.Linear(6, 3, rngs=nnx.Rngs(0)),
    )
    with pytest.raises(UserError, match=r"'layers/0' has a dot_general of its own .*; leave it digital with Rule\('layers/0'"):
        imcjax.convert(model, IDEAL)
    found = imcjax.convert(model, [Rule("layers/0", digital=True), Rule(".*", IDEAL)])
    close(found(data(2, 10)), model(data(2, 10)))
    again = imcjax.convert(found, [Rule("layers/0", digital=True), Rule(".*", QUANTIZED)])  # other hardware
    assert operators(again)["layers/1"].technology.name == "quantized"


def test_a_general_layer_with_an_operation_of_its_own_is_not_converted_unsaid():
    class Doubled:
        def __call__(self, *args, **kwargs):
            return 2 * jax.lax.dot_general(*args, **kwargs)

    layer = nnx.LinearGeneral(4, 3, dot_general_cls=Doubled, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match=r"has a dot_general of its own .*Doubled"):
        imcjax.convert(layer, QUANTIZED)
    kept = imcjax.convert(nnx.Sequential(layer, nnx.Linear(3, 2, rngs=nnx.Rngs(1))), [Rule("layers/1", QUANTIZED)])
    assert list(operators(kept)) == ["layers/1"]


def test_inputs_that_no_product_takes_are_refused():
    found = imcjax.convert(net(), QUANTIZED)
    for shape in ((), (0, 10)):
        with pytest.raises(UserError, match=r"'first' was given inputs of shape"):
            found(jnp.zeros(shape))


def test_models_that_cannot_be_converted_are_refused():
    with pytest.raises(UserError, match=r"BatchNorm has no nnx\.Linear or nnx.Conv layer"):
        imcjax.convert(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), IDEAL)
    with pytest.raises(UserError, match="model is a function"):
        imcjax.convert(lambda x: x, IDEAL)  # pyright: ignore
    upsampling = imcjax.convert(nnx.Conv(2, 3, (3, 3), input_dilation=2, rngs=nnx.Rngs(0)), IDEAL)
    with pytest.raises(UserError, match="dilates its input; leave it digital"):
        upsampling(data(1, 4, 4, 2))
    with pytest.raises(UserError, match="dilates its input"):
        imcjax.calibrate(upsampling, [data(1, 4, 4, 2)])
