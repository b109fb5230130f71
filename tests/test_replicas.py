"""Copies of a layer: what they compute together, what each of them has for itself, and how they are counted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, Rule, Settings, UserError, devices, mvm, program, read
from imcjax.converters import Adc, Dac, Sar
from imcjax.crossbar import Wires
from imcjax.mapping import Differential, Offset
from imcjax.ranges import find_ranges


RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(5, 20)).astype(np.float32), RNG.normal(size=(20, 9)).astype(np.float32)
KEY = jax.random.key(1)
PLAIN = Hardware(
    rows=8,  # three row tiles, two column tiles
    cols=6,
    encoding=Differential(weight_bits=4, cell_bits=2),
    dac=Dac(input_bits=4, bits=2),
    device=devices.Generic(g_min=1e-6, g_max=50e-6, program_sigma=0.05, read_sigma=0.02),
    adc=Adc(bits=6),
)
KINDS = {
    "plain": PLAIN,
    "offset, charge shared": PLAIN.replace(
        encoding=Offset(weight_bits=4, cell_bits=2, reference="unit_column"), accumulation="analog", adc=Adc(bits=8)
    ),
    "wires": PLAIN.replace(wires=Wires(1.0, 1.0, 5.0, 5.0), adc=Sar(bits=6)),
}


@functools.partial(jax.jit, static_argnames="replicas")
def run(x, w, hardware, key=None, adc_range=None, replicas=1):
    return mvm(x, w, hardware, Settings(replicas=replicas, adc_range=adc_range), key=key)


@pytest.mark.parametrize("kind", ["plain", *(pytest.param(kind, marks=pytest.mark.slow) for kind in list(KINDS)[1:])])
def test_without_noise_copies_change_no_bit_of_the_result(kind):
    alone = run(X, W, KINDS[kind])
    for replicas in (2, 7) if kind == "plain" else (2,):  # also more copies than inputs
        np.testing.assert_array_equal(run(X, W, KINDS[kind], replicas=replicas), alone)


@pytest.mark.slow
def test_ranges_of_tiles_are_those_of_every_copy():
    ranges = jax.jit(lambda w, x: find_ranges(w, x, PLAIN, Settings(replicas=2), per="tile"))(W[None], X[:, None])
    assert ranges["adc_range"].shape == (3, 1, 1, 2, 1)
    two, one = (run(X, W, PLAIN, None, ranges["adc_range"], replicas=replicas) for replicas in (2, 1))
    np.testing.assert_array_equal(two, one)


@functools.partial(jax.jit, static_argnames="replicas")
def programmed(w, hardware, key=None, replicas=1):
    return program(w, hardware, Settings(replicas=replicas), key=key)


@jax.jit
def read_by(chip, x, hardware):
    return read(chip, x, hardware, Settings(input_range=4.0))


EXACT = PLAIN.replace(adc=Adc())


def test_each_copy_has_cells_of_its_own_and_takes_every_third_input():
    chip = programmed(W, EXACT, KEY, replicas=3)
    g = chip.state.g
    assert g.shape == (2, 2, 3 * 3, 2, 7, 5)
    copies = g[:, :, :3], g[:, :, 3:6], g[:, :, 6:]
    assert (copies[0] != copies[1]).mean() > 0.8  # some are clipped at zero
    assert (copies[1] != copies[2]).mean() > 0.8
    # The first copy is the chip that is there without the others.
    alone = programmed(W, EXACT, KEY)
    np.testing.assert_array_equal(copies[0], alone.state.g)
    found = read_by(chip, X, EXACT)
    for copy, cells in enumerate(copies):
        own = alone.replace(state=alone.state.replace(g=cells))
        np.testing.assert_allclose(found[copy::3], read_by(own, X, EXACT)[copy::3], rtol=1e-5, atol=1e-5)


def test_faults_of_one_copy_spoil_its_inputs_only():
    cell = devices.Cell(base=devices.Generic(g_min=1e-6, g_max=50e-6), stuck=devices.effects.Stuck())
    hardware = EXACT.replace(device=cell)
    chip = programmed(W, hardware, replicas=2)
    dead = np.zeros((2, 2, 6, 2, 7, 5))
    dead[:, :, 3:] = 1
    found = read_by(chip.replace(state=devices.with_faults(chip.state, np.zeros(1), dead)), X, hardware)
    np.testing.assert_array_equal(found[::2], read_by(chip, X, hardware)[::2])
    np.testing.assert_allclose(found[1::2], 0, atol=1e-5)


@pytest.mark.slow
def test_one_chip_repeats_itself_and_copies_differ():
    x = np.repeat(X[:1], 64, axis=0)
    one, many = (np.asarray(run(x, W, EXACT, KEY, replicas=n)) for n in (1, 64))
    np.testing.assert_allclose(one, one[:1].repeat(64, axis=0), rtol=1e-5)  # read once
    assert (many.std(0) > 0.01).all()


@pytest.mark.slow
def test_gradients_go_through_all_copies():
    found, alone = (
        jax.jit(jax.grad(lambda w, n=n: jnp.sum(mvm(X, w, EXACT, Settings(replicas=n)))))(jnp.asarray(W)) for n in (2, 1)
    )
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5)


def test_a_rule_gives_a_convolution_copies_which_are_counted():
    layer = nnx.Conv(2, 3, (3, 3), use_bias=False, rngs=nnx.Rngs(0))
    x = jax.random.uniform(jax.random.key(0), (1, 4, 5, 2))
    one, four = (imcjax.convert(layer, Rule(".*", PLAIN, replicas=n)) for n in (1, 4))
    run = nnx.jit(lambda model, x: model(x))
    # Not unrolled, one copy's sums differ in the last digit, which decides those between two codes.
    found, alone = (np.asarray(run(model, x)).ravel() for model in (four, one))
    assert np.corrcoef(found, alone)[0, 1] > 0.99
    assert (found == alone).mean() > 0.7
    counted = [imcjax.summary(model).layers[0] for model in (one, four)]
    assert counted[1].arrays == 4 * counted[0].arrays
    assert (counted[1].replicas, counted[1].utilisation) == (4, counted[0].utilisation)
    assert "x 4" in str(imcjax.summary(four))


@pytest.mark.parametrize("replicas", [0, 1.5, 5000])
def test_impossible_numbers_of_copies_are_refused(replicas):
    with pytest.raises(UserError, match=r"settings.replicas is .*; give whole numbers in \[1, 4096\]"):
        program(W, PLAIN, Settings(replicas=replicas))
