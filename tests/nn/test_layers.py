"""Every layer that is a product, however it is called: on ideal hardware it is itself, and none is left digital unsaid."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from flax.nnx import bridge

import imcjax
from imcjax import Hardware, Rule, UserError
from imcjax.mapping import Offset
from imcjax.nn import layers, matrices, operators, record_inputs, rules_from_qwix

from .example import NOISY, QUANTIZED, Net, close, data, net, run


IDEAL = Hardware.ideal()
NORMAL = nnx.initializers.normal()


def general(inputs, outputs, **options):
    return nnx.LinearGeneral(inputs, outputs, bias_init=NORMAL, rngs=nnx.Rngs(0), **options)


def einsum(equation, kernel, bias=None):
    return nnx.Einsum(equation, kernel, bias, bias_init=NORMAL, rngs=nnx.Rngs(0))


PRODUCTS = {
    # layer, shape of its inputs, shape of its matrices
    "general": (general(6, (2, 5)), (3, 4, 6), (1, 6, 10)),
    "several-axes": (general((2, 6), (4,), axis=(1, -1)), (3, 2, 5, 6), (1, 12, 4)),
    "batch-axes": (general(6, (2, 5), batch_axis={0: 3}), (3, 4, 6), (3, 6, 10)),
    "einsum": (einsum("nta,hab->nthb", (2, 6, 5), (2, 5)), (3, 4, 6), (1, 6, 10)),
    "einsum-ellipsis": (einsum("...a,ab->...b", (6, 5), (5,)), (3, 4, 6), (1, 6, 5)),
    "einsum-groups": (einsum("tga,gab->gbt", (4, 6, 5)), (3, 4, 6), (4, 6, 5)),
    "einsum-kernel-order": (einsum("nab,cba->nc", (5, 2, 6)), (3, 6, 2), (1, 12, 5)),
}


USUAL = ("several-axes", "batch-axes", "einsum-groups")


@pytest.mark.parametrize("name", [n if n in USUAL else pytest.param(n, marks=pytest.mark.slow) for n in PRODUCTS])
def test_a_product_on_ideal_hardware_is_the_product(name):
    layer, shape, sizes = PRODUCTS[name]
    x, found = data(*shape), imcjax.convert(layer, IDEAL)
    assert matrices(found).shape == sizes
    close(found(jnp.asarray(x)), layer(x))
    seen = record_inputs(found, [x])[""]
    assert seen.inputs.shape == (x.size // (sizes[0] * sizes[1]), *sizes[:2])
    rows = jnp.einsum("sgi,gio->sgo", seen.inputs, matrices(found))
    products = layer(x) - layer(np.zeros_like(x))  # without the bias
    np.testing.assert_allclose(np.sort(np.ravel(rows)), np.sort(np.ravel(products)), atol=1e-5)


def test_an_einsum_that_is_no_contraction_says_so():
    layer = nnx.Einsum("nab,cb->nc", (5, 2), rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match="no plain contraction"):
        imcjax.convert(layer, IDEAL)


def test_projections_of_attention_are_converted_and_its_products_listed():
    model = nnx.MultiHeadAttention(2, 6, 8, decode=False, rngs=nnx.Rngs(0))
    x, found = data(2, 4, 6), imcjax.convert(model, IDEAL)
    assert list(operators(found)) == ["key", "out", "query", "value"]
    close(run(found, x), model(x))
    assert imcjax.summary(nnx.Sequential(found)).digital == [
        "layers/0 (MultiHeadAttention: softmax and the products of queries, keys and values)"
    ]


class Words(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(7, 6, rngs=rngs)
        self.output = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, tokens):
        return self.output(self.embed(tokens))


def test_an_embedding_stays_digital_and_that_is_said():
    assert imcjax.summary(imcjax.convert(Words(nnx.Rngs(0)), IDEAL)).digital == ["embed (Embed, a table look-up)"]


# --- stacks ----------------------------------------------------------------------------------------------------------------


class Block(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(6, 6, bias_init=NORMAL, rngs=rngs)

    def __call__(self, x):
        return x + nnx.tanh(self.linear(x))


class Scanned(nnx.Module):
    """Three blocks created by vmap, run by scan with remat; a head of its own."""

    def __init__(self, rngs):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def create(rngs):
            return Block(rngs)

        self.blocks = create(rngs)
        self.head = nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        @nnx.remat
        def forward(x, block):
            return block(x)

        return self.head(forward(x, self.blocks))


class Unrolled(nnx.Module):
    """The same network, layer by layer."""

    def __init__(self, model):
        kernels, biases = model.blocks.linear.kernel.get_value(), model.blocks.linear.bias.get_value()
        self.blocks = nnx.List([Block(nnx.Rngs(0)) for _ in kernels])
        for block, kernel, bias in zip(self.blocks, kernels, biases):
            block.linear.kernel.set_value(kernel)
            block.linear.bias.set_value(bias)
        self.head = model.head

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_layers_under_scan_vmap_and_remat_are_those_of_the_unrolled_network():
    model, x = Scanned(nnx.Rngs(0)), data(4, 6)
    stacked, alone = (imcjax.convert(m, QUANTIZED) for m in (model, Unrolled(model)))
    assert list(layers(stacked)) == ["blocks/linear[0]", "blocks/linear[1]", "blocks/linear[2]", "head"]
    close(run(stacked, x), run(alone, x))
    for found in (stacked, alone):
        imcjax.calibrate(found, [x])

    def ranges_of(found):
        return [np.asarray(op.settings().adc_range) for path, op in operators(found).items() if "block" in path]

    ranges = [ranges_of(found) for found in (stacked, alone)]
    np.testing.assert_allclose(*ranges, rtol=1e-5)
    assert not np.allclose(ranges[0][0], ranges[0][1])
    close(run(stacked, x), run(alone, x), 1e-4)
    summaries = [imcjax.summary(found, x).layers for found in (stacked, alone)]
    for one, two in zip(*summaries, strict=True):
        assert (one.shape, one.arrays, one.ranges) == (two.shape, two.arrays, two.ranges)
        assert one.energy_j == pytest.approx(two.energy_j, rel=1e-4)


def test_stacks_along_another_axis_are_refused_and_may_stay_digital():
    class Odd(nnx.Module):
        def __init__(self):
            create = nnx.vmap(lambda rngs: nnx.Linear(4, 5, rngs=rngs), in_axes=0, out_axes=1)
            self.stacked = create(nnx.Rngs(0).fork(split=3))
            self.head = nnx.Linear(4, 3, rngs=nnx.Rngs(0))

    with pytest.raises(UserError, match=r"'stacked' has a kernel of shape \(4, 3, 5\) in place of \(4, 5\)"):
        imcjax.convert(Odd(), IDEAL)
    found = imcjax.convert(Odd(), Rule("head", IDEAL))
    assert imcjax.summary(found).digital == ["stacked (Linear)"]


@pytest.mark.slow
def test_members_of_a_stack_draw_apart():
    model, x = Scanned(nnx.Rngs(0)), data(4, 6)
    kernel = model.blocks.linear.kernel
    kernel.set_value(jnp.broadcast_to(kernel.get_value()[:1], kernel.get_value().shape))
    found = imcjax.convert(model, NOISY, rngs=nnx.Rngs(imc=0))

    @nnx.jit
    @nnx.vmap(in_axes=(0, None))
    def each(block, x):
        return block.linear(x)

    y = np.asarray(each(found.blocks, x))
    y = y - np.asarray(found.blocks.linear.bias.get_value())[:, None]
    assert np.abs(y[0] - y[1]).max() > 1e-3
    assert np.abs(y[1] - y[2]).max() > 1e-3
    again = np.asarray(each(found.blocks, x)) - np.asarray(found.blocks.linear.bias.get_value())[:, None]
    assert np.abs(again - y).max() > 1e-3  # another call, other draws
    with pytest.raises(UserError, match=r"'blocks/linear' is a stack of \(3,\)"):
        found.blocks.linear(jnp.asarray(x))


# --- Linen -----------------------------------------------------------------------------------------------------------------


class Encoder(linen.Module):
    @linen.compact
    def __call__(self, x):  # (batch, 6, 6, 2)
        x = linen.relu(linen.Conv(4, (3, 3), strides=2, feature_group_count=2)(x))
        x = x.reshape(x.shape[0], -1, 4)
        x = x + linen.MultiHeadDotProductAttention(num_heads=2)(linen.LayerNorm()(x))
        return linen.Dense(3)(x.mean(axis=1))


@pytest.mark.slow
def test_linen_models_through_the_bridge():
    x = jnp.asarray(data(2, 6, 6, 2))
    model = bridge.ToNNX(Encoder(), rngs=nnx.Rngs(0)).lazy_init(x)
    attention = "MultiHeadDotProductAttention_0"
    found = imcjax.convert(model, [Rule(".*/value", digital=True), Rule(".*", IDEAL)], sample=x)
    assert sorted(operators(found)) == ["Conv_0", "Dense_0", *(f"{attention}/{name}" for name in ("key", "out", "query"))]
    close(run(found, x), model(x))
    quantized = imcjax.convert(model, QUANTIZED, sample=x)
    imcjax.calibrate(quantized, [x])
    error = np.abs(run(quantized, x) - model(x)).max() / np.abs(model(x)).max()
    assert 1e-4 < error < 0.3
    assert imcjax.summary(found).digital == [
        f"{attention}/value (linen.DenseGeneral)",
        "model (ToNNX: all but the layers above)",
    ]
    with pytest.raises(UserError, match="give convert a batch of inputs as sample"):
        imcjax.convert(model, IDEAL)


class Tower(linen.Module):
    @linen.compact
    def __call__(self, x):
        layers = linen.scan(lambda m, c, _: (m(c), None), variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = layers(linen.Dense(4, name="stacked"), x, None)
        return linen.Dense(3, name="head")(x)


def test_layers_that_linen_stacks_are_refused_and_may_stay_digital():
    x = jnp.asarray(data(2, 4))
    model = bridge.ToNNX(Tower(), rngs=nnx.Rngs(0)).lazy_init(x)
    with pytest.raises(UserError, match=r"'stacked' is a stack of layers \(linen.Dense under linen.scan"):
        imcjax.convert(model, IDEAL, sample=x)
    found = imcjax.convert(model, [Rule("stacked", digital=True), Rule(".*", IDEAL)], sample=x)
    assert imcjax.summary(found).digital == ["model (ToNNX: all but the layers above)", "stacked (linen.Dense)"]
    assert [layer.path for layer in imcjax.summary(found).layers] == ["head"]
    close(run(found, x), model(x))


def test_a_linen_model_inside_another_is_said_to_be_digital():
    inner = bridge.ToNNX(linen.Dense(4), rngs=nnx.Rngs(0)).lazy_init(jnp.asarray(data(2, 4)))
    found = imcjax.convert(nnx.Sequential(inner, nnx.Linear(4, 3, rngs=nnx.Rngs(0))), IDEAL)
    assert imcjax.summary(found).digital == ["layers/0 (ToNNX, a Linen model inside another: convert it by itself)"]


# --- rules -----------------------------------------------------------------------------------------------------------------


def test_rules_by_operation_and_with_an_encoding_of_their_own():
    model = nnx.Dict(conv=nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)), head=nnx.Linear(4, 3, rngs=nnx.Rngs(0)))
    encoding = Offset(weight_bits=4, cell_bits=2)
    rules = [Rule(".*", QUANTIZED, op_names=("conv_general_dilated",)), Rule(".*", QUANTIZED, encoding=encoding)]
    found = operators(imcjax.convert(model, rules))
    assert found["conv"].technology.encoding.kind == "differential"
    assert found["head"].technology.encoding.kind == "offset"
    assert float(found["head"].settings().weight_bits) == 4
    for rule, message in {
        Rule(".*", QUANTIZED, op_names=("conv",)): "op_names with 'conv'",
        Rule(".*", digital=True, weight_bits=4): "has weight_bits and is digital",
        Rule(".*", QUANTIZED, encoding="offset"): "has encoding 'offset'; give one of imcjax.mapping",
    }.items():
        with pytest.raises(UserError, match=message):
            imcjax.convert(model, rule)


def qwix_rule(**fields):
    return types.SimpleNamespace(**({"module_path": ".*", "op_names": (), "weight_qtype": None, "act_qtype": None} | fields))


def test_qwix_rules_become_rules():
    found = rules_from_qwix(
        [
            qwix_rule(module_path="first", weight_qtype="int4", act_qtype=jnp.int8),
            qwix_rule(module_path="second"),
            qwix_rule(op_names=("ragged_dot",), weight_qtype=jnp.int4),
            qwix_rule(op_names=("einsum", "ragged_dot"), weight_qtype=jnp.int4),
        ],
        IDEAL,
        adc_bits=6,
    )
    assert [(r.module_path, r.weight_bits, r.input_bits, r.adc_bits, r.digital, r.op_names) for r in found] == [
        ("first", 4, 8, 6, False, ()),
        ("second", None, None, None, True, ()),
        (".*", 4, None, 6, False, ("einsum",)),
    ]
    model = imcjax.convert(net(), rules_from_qwix([qwix_rule(weight_qtype="int4", act_qtype="int3")], QUANTIZED))
    assert [float(b) for b in imcjax.summary(model).layers[0].bits if b is not None] == [4, 3, 8]
    for fields, message in {"float8_e4m3fn": "whole numbers", "bfloat16": "whole numbers"}.items():
        with pytest.raises(UserError, match=message):
            rules_from_qwix([qwix_rule(weight_qtype=fields)], QUANTIZED)
    with pytest.raises(UserError, match="tile_size 32"):
        rules_from_qwix([qwix_rule(weight_qtype="int4", tile_size=32)], QUANTIZED)


def test_rules_of_qwix_itself():
    qwix = pytest.importorskip("qwix")
    rule = qwix.QuantizationRule(module_path="first", weight_qtype="int4", act_qtype="int8")
    (found,) = rules_from_qwix([rule], QUANTIZED)
    assert (found.module_path, found.weight_bits, found.input_bits) == ("first", 4, 8)


def test_inputs_of_the_wrong_shape_are_refused_with_the_layers_name():
    with pytest.raises(UserError, match=r"'first' was given inputs of shape \(4, 9\); its axes \(1,\) must have 10 features"):
        imcjax.convert(net(), QUANTIZED)(jnp.zeros((4, 9)))
    conv = imcjax.convert(nnx.Sequential(nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0))), QUANTIZED)
    with pytest.raises(UserError, match=r"'layers/0' was given .* last axis must have 2 channels"):
        conv(jnp.zeros((1, 4, 4, 3)))


def test_one_weight_in_two_layers_stays_one():
    model = Net(nnx.Rngs(0), 6, 6, 6)
    model.second.kernel = model.first.kernel
    found = imcjax.convert(model, QUANTIZED)
    grads = nnx.grad(lambda m: jnp.sum(m(jnp.ones((2, 6)))))(found)
    assert found.second.kernel is found.first.kernel
    assert sum(leaf.shape == (6, 6) for leaf in jax.tree.leaves(nnx.state(grads, nnx.Param))) == 1
