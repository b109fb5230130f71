"""calibrate: static ranges that bring the network closer to its float self, from batches that it leaves no trace of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Rule, UserError
from imcjax.nn import layers, matrices, operators, record_inputs
from imcjax.nn.variables import Calls

from .example import QUANTIZED, Net, data, net, run


@pytest.mark.slow
def test_calibration_on_a_preset():
    model, hardware = Net(nnx.Rngs(0), 40, 24, 5), imcjax.hardware.preset("rram_128").replace(solver="pade")
    batches = [data(32, 40, seed=s) ** 3 / 3 for s in range(2)]  # a long tail, as activations have
    x = jnp.concatenate(batches)
    converted = imcjax.convert(model, hardware)  # without rngs: no noise

    def error() -> float:
        return float(jnp.mean((run(converted, x) - model(x)) ** 2) / jnp.var(model(x)))

    before = error()
    assert all(o.settings().input_range is None and o.input_signed for o in operators(converted).values())
    assert {layer.ranges for layer in imcjax.summary(converted).layers} == {"dynamic"}
    imcjax.calibrate(converted, iter(batches))

    # closer to the float network
    assert error() < 0.5 * before
    assert error() < 0.01

    # static ranges, from all batches, and the sign of the inputs
    assert {layer.ranges for layer in imcjax.summary(converted).layers} == {"static"}
    first, second = operators(converted).values()
    assert (first.input_signed, second.input_signed) == (True, False)
    for path, operator in operators(converted).items():
        assert operator.adc_range.get_value().shape == (hardware.encoding.slices, 1)
        assert (operator.adc_range.get_value() > 0).all()
        largest = np.abs(layers(converted)[path].kernel.get_value()).max()
        assert largest / 16.001 < float(operator.weight_range.get_value()) < largest * 1.001
    assert jnp.abs(x).max() / 16.001 < float(first.input_range.get_value()) < jnp.abs(x).max() * 1.001

    # the batch no longer sets the scale: what an input gives does not depend on what it comes with
    louder = jnp.concatenate([x[:1], 50 * x[1:]])
    np.testing.assert_allclose(run(converted, x)[0], run(converted, louder)[0], rtol=1e-5)


def test_inputs_are_recorded_as_the_float_model_has_them():
    model = net()
    converted = imcjax.convert(model, QUANTIZED)
    x = data(8, 10)
    seen = record_inputs(converted, [x[:4], x[4:]])
    np.testing.assert_array_equal(seen["first"].inputs, x[:, None])
    np.testing.assert_allclose(seen["second"].inputs[:, 0], model.features(x), rtol=1e-5, atol=1e-6)
    assert [part.positions for part in seen.values()] == [1, 1]
    assert [part.signed for part in seen.values()] == [True, False]
    some = record_inputs(converted, [x[:4], x[4:]], samples=3)
    np.testing.assert_array_equal(some["first"].inputs, x[[0, 3, 7], None])  # 0, 1, 3 of each half, then 0, 2, 5 of those six


class Many(nnx.Module):
    """Layers called several times, on several vectors, or never."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 4, (2, 2), padding="VALID", feature_group_count=2, rngs=rngs)
        self.twice = nnx.Linear(4, 4, rngs=rngs)
        self.never = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x):  # (batch, frames, 4, 5, 2)
        y = self.twice(self.conv(x).mean(axis=(-3, -2)))  # (batch, frames, 4)
        return self.twice(y.mean(axis=1))


def test_positions_count_every_vector_of_an_inference():
    model = imcjax.convert(Many(nnx.Rngs(0)), [Rule("never", digital=True), Rule(".*", QUANTIZED)])
    seen = record_inputs(model, [data(2, 3, 4, 5, 2)])
    assert seen["conv"].positions == 3 * 3 * 4
    assert seen["conv"].inputs.shape == (72, 2, 4)
    assert seen["twice"].positions == 3 + 1
    assert matrices(model.conv).shape == (2, 4, 2)


def test_a_layer_that_is_not_called_is_refused():
    model = imcjax.convert(Many(nnx.Rngs(0)), QUANTIZED)
    with pytest.raises(UserError, match="does not call layer 'never'; leave it digital"):
        imcjax.calibrate(model, [data(2, 3, 4, 5, 2)])


class Training(nnx.Module):
    """Layers with state that a call changes."""

    def __init__(self, rngs):
        self.layer = nnx.Linear(6, 6, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.drop(self.norm(self.layer(x)))


def test_calibration_changes_nothing_but_the_ranges():
    model = imcjax.convert(Training(nnx.Rngs(0)), QUANTIZED, rngs=nnx.Rngs(imc=0))
    kinds = (nnx.Param, nnx.BatchStat, nnx.RngCount, Calls)
    before = jax.device_get(nnx.to_pure_dict(nnx.state(model, kinds)))
    operator = model.layer.dot_general
    imcjax.calibrate(model, [data(8, 6)])
    after = nnx.to_pure_dict(nnx.state(model, kinds))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert model.layer.dot_general is operator


def test_wrong_batches_are_refused():
    model = imcjax.convert(net(), QUANTIZED)
    with pytest.raises(UserError, match="no batches"):
        imcjax.calibrate(model, [])
    x = data(2000, 10)
    x[777, 3] = np.nan  # not among the 1024 vectors kept
    with pytest.raises(UserError, match="inputs of layer 'first' hold NaN"):
        imcjax.calibrate(model, [x])
    with pytest.raises(UserError, match="no layer on hardware"):
        imcjax.calibrate(net(), [data(4, 10)])
    for batches, said in (
        (None, "batches is a NoneType; give a list of arrays"),
        ([(data(4, 10), np.zeros(4))], "batches holds a tuple that is no array of numbers; .* without labels"),
        ([data(0, 10)], r"batches holds an array of shape \(0, 10\)"),
    ):
        with pytest.raises(UserError, match=said):
            imcjax.calibrate(model, batches)
    with pytest.raises(UserError, match="samples is 0"):
        imcjax.calibrate(model, [data(4, 10)], samples=0)
    assert operators(model)["first"].settings().input_range is None


class Recurrent(nnx.Module):
    """A cell that `nnx.RNN` carries from step to step."""

    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.SimpleCell(4, 5, rngs=rngs))
        self.output = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.output(self.rnn(x)[:, -1])


def test_layers_in_a_loop_are_calibrated_on_all_of_its_steps():
    model, x = Recurrent(nnx.Rngs(0)), data(20, 6, 4)
    found = imcjax.convert(model, QUANTIZED)
    seen = record_inputs(found, [x[:12], x[12:]], samples=200)
    inputs = seen["rnn/cell/dense_i"].inputs[:, 0]
    assert (inputs.shape, seen["rnn/cell/dense_i"].positions, seen["output"].positions) == ((120, 4), 6, 1)
    np.testing.assert_array_equal(*(np.sort(rows, axis=0) for rows in (inputs, x.reshape(-1, 4))))
    some = record_inputs(found, [x], samples=30)["rnn/cell/dense_i"].inputs[:, 0]
    steps = [int(np.flatnonzero((x == row).all(-1).any(0))[0]) for row in some]
    assert (len(some), set(steps)) == (30, set(range(6)))
    imcjax.calibrate(found, [x])
    error = np.abs(run(found, x) - model(x)).max() / np.abs(model(x)).max()
    assert 1e-4 < error < 0.3


def test_one_rare_negative_input_counts():
    x = np.abs(data(2000, 10))
    x[777, 3] = -1
    assert record_inputs(imcjax.convert(net(), QUANTIZED), [x])["first"].signed
