"""What summary says of a converted model."""

import jax.numpy as jnp
from flax import nnx

import imcjax
from imcjax import Rule

from .example import QUANTIZED


RULES = [Rule("heads/1|pair/query", digital=True), Rule(".*", QUANTIZED)]


class Mixed(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(4, 12, (3, 3), feature_group_count=2, rngs=rngs)
        self.norm = nnx.BatchNorm(12, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.pair = nnx.Dict(query=nnx.LinearGeneral(12, (2, 6), rngs=rngs))
        self.heads = nnx.List([nnx.Linear(12, 3, rngs=rngs), nnx.Linear(12, 3, rngs=rngs)])


def test_layers_with_tiles_arrays_and_widths():
    summary = imcjax.summary(
        imcjax.convert(Mixed(nnx.Rngs(0)), [Rule("heads/1|pair/query", digital=True), Rule(".*", QUANTIZED)])
    )
    conv, head = summary.layers
    # 18 x 6 on 8 x 4 arrays: 3 x 2 tiles; 6-bit weights in 2-bit cells: 3 slices; two polarities, two groups
    assert (conv.path, conv.shape, conv.row_tiles, conv.col_tiles) == ("conv", (2, 18, 6), 3, 2)
    assert conv.arrays == 3 * 2 * 2 * 3 * 2
    assert conv.utilisation == 18 * 6 / (3 * 2 * 8 * 4)
    assert (head.path, head.shape, head.arrays) == ("heads/0", (1, 12, 3), 3 * 2 * 2 * 1)
    assert head.bits == (6, 6, 8)
    assert head.hardware == "quantized"
    assert (conv.dacs, conv.adcs) == (conv.arrays * 8, 3 * 2 * 3 * 2)  # a DAC a row; an ADC for the four columns of a slice


def test_what_stays_digital_is_listed():
    summary = imcjax.summary(
        imcjax.convert(Mixed(nnx.Rngs(0)), [Rule("heads/1|pair/query", digital=True), Rule(".*", QUANTIZED)])
    )
    assert summary.digital == [
        "drop (Dropout)",
        "heads/1 (Linear)",
        "norm (BatchNorm)",
        "pair/query (LinearGeneral)",
    ]


def test_the_text_is_a_table():
    text = str(imcjax.summary(imcjax.convert(Mixed(nnx.Rngs(0)), QUANTIZED)))
    row = next(line for line in text.splitlines() if "conv" in line)
    for part in ("18 x 6 x 2", "3 x 2", "72", "56%", "6/6/8", "576/36", "dynamic", "quantized"):
        assert part in row, part
    assert "norm (BatchNorm)" in text
    assert max(len(line) for line in text.splitlines()) <= 110
    alone = imcjax.summary(imcjax.convert(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), imcjax.Hardware.ideal()))
    assert "(the model)" in str(alone)
    assert "-/-/-" in str(alone)
    assert "nothing else" in str(alone)


class Owner(nnx.Module):
    """Multiplies by a parameter of its own."""

    def __init__(self, rngs):
        self.layer = nnx.Linear(4, 3, rngs=rngs)
        self.mix = nnx.Param(jnp.ones((3, 2)))
        self.inner = nnx.Dict(scale=nnx.Param(jnp.ones(())))

    def __call__(self, x):
        return self.layer(x) @ self.mix[...]


def test_parameters_that_belong_to_no_layer_are_listed():
    digital = imcjax.summary(imcjax.convert(Owner(nnx.Rngs(0)), QUANTIZED)).digital
    assert "mix (Param 3 x 2)" in digital
