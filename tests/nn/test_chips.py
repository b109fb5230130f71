"""Chips are pytrees: a function of their key, the same alone and beside others, on disk and off it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import UserError, devices
from imcjax.fast_random import fast_key
from imcjax.nn import evaluate, load_chips, matrices, on_chip, operators, program_chips, record_inputs, save_chips
from imcjax.nn.chips import _even

from .example import QUANTIZED, Net, close, data, net, run


PCM = QUANTIZED.replace(name="pcm", device=devices.preset("pcm_nandakumar"))
DRIFTING = PCM.replace(device=PCM.device.replace(program_scale=0.0, read_scale=0.0))
X, Y = data(64, 10), np.arange(64) % 3
DAY = 86400.0


@pytest.fixture(scope="module")
def model():
    found = imcjax.convert(net(), PCM)
    imcjax.calibrate(found, [X])
    return found


def outputs(model, chip, **options):
    return run(on_chip(model, chip, **options), X)


def same(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        a, b = (jax.random.key_data(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else v for v in (a, b))
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5)


def test_a_chip_is_a_function_of_its_number_and_key(model):
    key = jax.random.key(3)
    chips, more = program_chips(model, key, 2, chunk=2), program_chips(model, key, 3, chunk=2)
    assert (len(chips), len(more)) == (2, 3)
    for i in range(2):
        same(chips[i], more[i])
    operator = operators(model)["first"]
    same(chips[1].programmed["first"], operator.program(matrices(model.first), chips.key[1]))
    y = [outputs(model, chips[i]) for i in range(2)]
    assert np.abs(y[0] - y[1]).max() > 1e-3
    assert np.abs(outputs(model, chips[0], time=DAY) - y[0]).max() > 1e-2
    mean = program_chips(model, None)
    assert len(mean) == 1
    close(outputs(model, mean[0]), run(model, X))


def test_evaluation_is_chip_by_chip_what_one_chip_gives(model, tmp_path):
    key, times = jax.random.key(3), (0.0, DAY)
    table = evaluate(model, X, Y, key=key, chips=3, times=times, chunk=2, batch=48)
    assert table.shape == (3, 2)
    chips = program_chips(model, key, 3)
    by_hand = [[np.mean(outputs(model, chips[i], time=t).argmax(-1) == Y) for t in times] for i in range(3)]
    np.testing.assert_allclose(table, by_hand, atol=1.01 / 64)  # an input on the fence may fall to either side
    save_chips(chips, tmp_path / "chips")
    loaded = load_chips(tmp_path / "chips", model)
    same(loaded, chips)
    np.testing.assert_allclose(evaluate(model, X, Y, chips=loaded, times=times, chunk=2, batch=48), table, atol=1.01 / 64)
    assert evaluate(model, X, Y).shape == (1, 1)
    other = imcjax.convert(Net(nnx.Rngs(0), 10, 7, 3), PCM)
    with pytest.raises(UserError, match=r"of another structure: .*first.* there and .* here"):
        load_chips(tmp_path / "chips", other)
    with pytest.raises(UserError, match="no chips in"):
        load_chips(tmp_path / "none", model)


@pytest.mark.parametrize("compensation", ["column", pytest.param("global", marks=pytest.mark.slow)])
def test_compensation_takes_back_what_drift_took(compensation):
    model = imcjax.convert(net(), DRIFTING)
    chip = program_chips(model, None)[0]
    fresh, aged, back = (
        outputs(model, chip, time=t, compensation=c) for t, c in ((0.0, None), (DAY, None), (DAY, compensation))
    )
    lost, left = (np.abs(y - fresh).max() / np.abs(fresh).max() for y in (aged, back))
    assert lost > 0.2
    assert left < 0.35 * lost


@pytest.mark.slow
def test_columns_are_calibrated_by_least_squares():
    sloppy = PCM.replace(device=devices.Generic(1e-6, 40e-6, program_sigma=0.1))
    model = imcjax.convert(net(), sloppy)
    imcjax.calibrate(model, [X])
    seen = record_inputs(model, [X])
    chip = program_chips(model, jax.random.key(0))[0]
    plain, corrected = (on_chip(model, chip, columns=columns) for columns in (None, seen))
    wanted = model.first.kernel.get_value()
    before, after = (np.asarray(m.first(jnp.asarray(X)) - m.first.bias.get_value()) for m in (plain, corrected))
    exact = X @ np.asarray(wanted)
    for column in range(exact.shape[1]):
        slope, offset = np.polyfit(before[:, column], exact[:, column], 1)
        np.testing.assert_allclose(after[:, column], slope * before[:, column] + offset, atol=2e-3)
    assert np.mean((after - exact) ** 2) < np.mean((before - exact) ** 2)


def test_a_loop_over_chips_ends(model):
    chips = program_chips(model, jax.random.key(0), 2)
    assert sum(1 for _ in chips) == 2
    same(chips[-1], chips[1])
    with pytest.raises(IndexError, match="no chip 2 among 2"):
        chips[2]


def test_chips_saved_again_are_the_new_ones_and_their_keys_of_their_generator(model, tmp_path):
    for count in (3, 2):
        save_chips(program_chips(model, fast_key(count), count), tmp_path)
    same(load_chips(tmp_path, model, fast_key(0)), program_chips(model, fast_key(2), 2))
    # Keys of another generator would read the same chips with other noise.
    with pytest.raises(UserError, match=r"keys of the generator '.*', and key is one of '.*fry"):
        load_chips(tmp_path, model)
    save_chips(program_chips(model, None), tmp_path)
    assert load_chips(tmp_path, model).key is None


class Normed(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(10, 6, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.layer(x))


@pytest.mark.slow
def test_batch_statistics_are_those_of_the_chip():
    model = imcjax.convert(Normed(nnx.Rngs(0)), PCM)
    model.eval()
    chip = program_chips(model, jax.random.key(1))[0]
    ready = on_chip(model, chip, norms=X)
    y = ready.layer(jnp.asarray(X))
    np.testing.assert_allclose(ready.norm.mean.get_value(), np.mean(y, 0), atol=1e-5)
    np.testing.assert_allclose(ready.norm.var.get_value(), np.var(y, 0), rtol=1e-3)
    assert np.abs(np.mean(run(ready, X), 0)).max() < 1e-4
    assert float(model.norm.mean.get_value().max()) == 0  # the model's own stay
    assert ready.norm.use_running_average


def test_drift_is_measured_against_a_read_without_noise():
    converted = imcjax.convert(net(), PCM)
    chip = program_chips(converted, fast_key(0))[0]
    op, programmed = operators(converted)["first"], chip.programmed["first"]
    now, mean, one = (np.asarray(op.cells(programmed, k, t)).sum() for k, t in ((chip.key, DAY), (None, 0.0), (chip.key, 0.0)))
    plain, scaled = (on_chip(converted, chip, time=DAY, compensation=how) for how in (None, "global"))
    before, after = (operators(m)["first"].chip.get_value().gains for m in (plain, scaled))
    ratio = np.ravel(after)[0] / (1.0 if before is None else np.ravel(before)[0])
    assert ratio == pytest.approx(mean / now, rel=1e-5)
    assert ratio != pytest.approx(one / now, rel=1e-4)


def test_raw_keys_are_keys(model):
    raw, typed = (program_chips(model, key, 2) for key in (jax.random.PRNGKey(3), jax.random.key(3)))
    for one, other in zip(jax.tree.leaves(raw.programmed), jax.tree.leaves(typed.programmed), strict=True):
        np.testing.assert_array_equal(one, other)
    found = [evaluate(model, X, Y, key=key, chips=2) for key in (jax.random.PRNGKey(3), jax.random.key(3))]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (8, 8), (9, 5), (20, 5), (23, 8), (100, 5), (1000, 8)])
def test_the_last_chunk_is_filled_up_as_little_as_can_be(count, size):
    assert _even(count, 8) == size


def test_what_does_not_fit_is_refused(model):
    chip = program_chips(model, None)[0]
    with pytest.raises(UserError, match=r"compensation is 'globl' \(nearest: global"):
        on_chip(model, chip, compensation="globl")
    with pytest.raises(UserError, match="no layer on hardware"):
        program_chips(net(), None)
    other = imcjax.convert(nnx.Sequential(nnx.Linear(10, 6, rngs=nnx.Rngs(0))), PCM)
    with pytest.raises(UserError, match="give the model that the chip was programmed with"):
        on_chip(other, chip)
    for key, said in (([1, 2], "key is a list"), (jax.random.split(jax.random.key(0)), "key is 2 keys")):
        with pytest.raises(UserError, match=said):
            program_chips(model, key, 2)
    with pytest.raises(UserError, match="count is 0"):
        program_chips(model, jax.random.key(0), 0)
    with pytest.raises(UserError, match="64 inputs and y 3 classes"):
        evaluate(model, X, Y[:3])
    with pytest.raises(UserError, match=r"holds float64 numbers of shape \(64, 3\); give inputs"):
        evaluate(model, X, np.eye(3)[Y])
    for options, said in (
        ({"chunk": 0}, "chunk is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"chips": 0}, "chips is 0"),
        ({"chips": 3}, "chips is 3 and key None, without which all chips are the same"),
        ({"times": ()}, "times has shape"),
        ({"key": 0}, "key is a int; give one random key"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate(model, X, Y, **options)
    chips = program_chips(model, jax.random.key(0), 2)
    for wrong, said in (
        (chips, r"chip holds 2 chips; give one of them: chips\[0\]"),
        (3, "chip is a int; give one of the Chips"),
    ):
        with pytest.raises(UserError, match=said):
            on_chip(model, wrong)
    with pytest.raises(UserError, match=r"columns is not what the model's layers see; give imcjax.nn.record_inputs"):
        on_chip(model, chip, columns=X)
    with pytest.raises(UserError, match="chips is a Programmed"):
        save_chips(chip.programmed["first"], "nowhere")
    with pytest.raises(UserError, match="after programming, time is"):
        evaluate(model, X, Y, times=(-1.0,))
    with pytest.raises(UserError, match="no BatchNorm"):
        on_chip(model, chip, norms=X)
