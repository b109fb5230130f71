"""The converted model as a pure function: trimming, chips, compiled or not."""

import itertools

import jax
import numpy as np
import pytest

from imcjax.codesign.chips import chip_judge, spread
from imcjax.converters import Flaws
from imcjax.keys import fold_index, fold_name

from .example import HARDWARE, PATHS, SHAPES, SIGNED, WIRED, inputs, settled


NARROW = np.array([[5, 3, 5], [3, 2, 4]], dtype=np.float32)  # 2 slices and 1 phase, 1 slice and 1 phase
WIDE = np.array([[5, 4, 6]] * 2, dtype=np.float32)
KEY = jax.random.key(3)


def assert_same_answers(found, expected):
    """Equal but for rounding, which may carry a current across the edge between two ADC codes here and there."""
    difference = np.abs(np.asarray(found) - np.asarray(expected))
    assert (difference > 1e-4).mean() < 0.1
    assert difference.max() < 0.1


def test_signs_and_paths_are_those_of_the_layers(example):
    assert (example.network.paths, example.network.signed) == (PATHS, SIGNED)
    shapes = {path: w.shape for path, w in example.network.matrices(example.params).items()}
    assert shapes == {path: (groups, n_in, n_out) for path, (n_in, n_out, groups, _) in SHAPES.items()}


def test_trimmed_network_is_the_network(example):
    small = example.network.trimmed(NARROW, HARDWARE)
    assert small.counts == ((2, 1), (1, 1))
    found = example.ranges(NARROW)
    ranges = small.trimmed_ranges(dict(reversed(found.items())), HARDWARE)  # in any order
    assert {path: len(part["adc_range"]) for path, part in ranges.items()} == {"back": 2, "wide": 1}
    whole = example.logits(NARROW, found, HARDWARE, inputs())
    assert np.abs(whole).max() > 0.1
    compute = jax.jit(lambda chip: small.apply(example.params, NARROW, ranges, HARDWARE, inputs(), chip=chip))
    assert_same_answers(compute(None), whole)
    chip = jax.jit(lambda: settled(small, example.params, NARROW, ranges, HARDWARE, None))()
    assert chip["wide"].matrix.shape[-2] == 1
    assert_same_answers(compute(chip), whole)


def test_untrimmed_widest_network_is_left_as_it_is(example):
    assert example.network.trimmed(WIDE, HARDWARE).counts == ((2, 2), (2, 2))


def test_bits_ranges_and_hardware_given_are_those_that_count(example):
    ranges = example.ranges(WIDE)
    usual = np.asarray(example.logits(WIDE, ranges, HARDWARE, inputs()))
    for place in np.ndindex(2, 3):
        fewer = WIDE.copy()
        fewer[place] -= 2
        assert np.abs(example.logits(fewer, ranges, HARDWARE, inputs()) - usual).max() > 1e-3, place
    for layer, name in itertools.product(PATHS, ("weight_range", "input_range", "adc_range")):
        halved = ranges | {layer: ranges[layer] | {name: ranges[layer][name] / 2}}
        assert np.abs(example.logits(WIDE, halved, HARDWARE, inputs()) - usual).max() > 1e-3, (layer, name)
    louder = HARDWARE.replace(dac=HARDWARE.dac.__class__(input_bits=4, bits=2, v_read=0.4))  # beyond the ranges
    assert np.abs(example.logits(WIDE, ranges, louder, inputs()) - usual).max() > 1e-3


def test_a_chip_is_settled_as_the_call_itself_would_and_with_wires(example):
    ranges = example.ranges(WIDE)
    for hardware in (HARDWARE, WIRED):
        chip = example.settle(WIDE, ranges, hardware, None)
        own = example.logits(WIDE, ranges, hardware, inputs(), None, chip)
        fresh = example.logits(WIDE, ranges, hardware, inputs())
        assert_same_answers(own, fresh)
    ideal = example.logits(WIDE, ranges, HARDWARE, inputs())
    assert (np.abs(fresh - ideal) > 1e-3).mean() > 0.5


def test_chips_computed_one_by_one_and_vmapped_are_the_same(example):
    ranges = example.ranges(WIDE)
    keys = jax.random.split(KEY, 3)

    def logits(key):
        chip = settled(example.network, example.params, WIDE, ranges, HARDWARE, key)
        return example.network.apply(example.params, WIDE, ranges, HARDWARE, inputs(), chip=chip)

    compiled = [example.logits(WIDE, ranges, HARDWARE, inputs(), None, example.settle(WIDE, ranges, HARDWARE, k)) for k in keys]
    assert (np.abs(compiled[0] - compiled[1]) > 1e-3).mean() > 0.5
    assert_same_answers(jax.jit(jax.vmap(logits))(keys), np.stack(compiled))


def test_training_noise_depends_on_the_key_alone(example):
    ranges = example.ranges(WIDE)
    first, again, other = (example.logits(WIDE, ranges, HARDWARE, inputs(), key) for key in (KEY, KEY, fold_index(KEY, 1)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def judge_of(example, batch=7):
    ranges = example.ranges(WIDE)
    return chip_judge(example.network, example.params, WIDE, ranges, HARDWARE, key=KEY, batch=batch)


@pytest.mark.slow
def test_a_chip_is_the_same_alone_and_among_others(example):
    x = inputs(40)
    logits = np.asarray(example.logits(WIDE, example.ranges(WIDE), HARDWARE, x))
    y = logits.argsort(-1)[np.arange(40), np.where(np.arange(40) < 20, -1, -2)]  # the likeliest and the next
    sets = [(x, y), (x[15:24], y[15:24])]
    judge = judge_of(example)
    four = judge(np.arange(4), sets)
    assert four.shape == (4, 2)
    assert len(np.unique(four[:, 0])) > 1  # else nothing is shown
    np.testing.assert_array_equal(judge(np.array([3]), sets), four[3:])
    np.testing.assert_array_equal(judge(np.array([3, 0, 1, 2]), sets), four[[3, 0, 1, 2]])


@pytest.mark.parametrize("batch", [7, 64])
def test_accuracy_counts_every_sample_once_whatever_the_batch(example, batch):
    x = inputs(20)
    ranges = example.ranges(WIDE)
    chip = example.settle(WIDE, ranges, HARDWARE, fold_index(fold_name(KEY, "chip"), 5))
    answers = np.asarray(example.logits(WIDE, ranges, HARDWARE, x, None, chip)).argmax(-1)
    y = np.where(np.arange(20) < 13, answers, (answers + 1) % 3)
    np.testing.assert_array_equal(judge_of(example, batch)(np.array([5]), [(x, y)]), [[13 / 20]])


def test_conversions_of_a_judged_chip_are_noisy_where_their_circuits_are(example):
    x, ranges = inputs(40), example.ranges(WIDE)
    loud = HARDWARE.replace(adc=HARDWARE.adc.replace(flaws=Flaws(noise_sigma=0.3)))
    chip = example.settle(WIDE, ranges, HARDWARE, fold_index(fold_name(KEY, "chip"), 5))
    y = np.asarray(example.logits(WIDE, ranges, HARDWARE, x, None, chip)).argmax(-1)
    judge = chip_judge(example.network, example.params, WIDE, ranges, loud, key=KEY, batch=20)
    found = judge(np.array([5]), [(x, y), (x[20:], y[20:]), (x, y)])
    np.testing.assert_array_equal(judge(np.array([5]), [(x, y), (x[20:], y[20:]), (x, y)]), found)
    assert (found < 1).all()  # without noise all answers are those of the chip
    assert found[0, 0] != found[0, 2]  # and each conversion draws its own


def test_spread_of_chips():
    found = spread(np.array([0.9, 0.8, 1.0]))
    assert found["mean"] == pytest.approx(0.9)
    assert found["std"] == pytest.approx(0.1)
    assert found["q01"] == pytest.approx(0.802)
    assert (found["n"], found["values"]) == (3, [0.9, 0.8, 1.0])
    assert spread(np.array([0.7])) == {"mean": 0.7, "std": 0.0, "q01": 0.7, "n": 1, "values": [0.7]}
