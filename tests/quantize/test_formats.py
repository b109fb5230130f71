"""Values and gradients of every number format against NumPy, from the papers' formulas."""

import functools

import jax
import numpy as np
import pytest

from imcjax import UserError
from imcjax.quantize import (
    FORMATS,
    AdditivePowers,
    Affine,
    Bwn,
    Codebook,
    Dorefa,
    DorefaWeights,
    Dsq,
    Ewgs,
    Lsq,
    LsqPlus,
    MidRise,
    N2uq,
    Pact,
    PowerOfTwo,
    RSign,
    Sign,
    Stochastic,
    Symmetric,
    Ttq,
    Twn,
)

from . import truth
from .truth import G, X


COLUMNS = np.linspace(0.2, 0.6, 6, dtype=np.float32)[None]
MAGNITUDES = np.array([1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64])
POWERS = np.concatenate([-MAGNITUDES, [0], MAGNITUDES])  # 4 bits: 2^3 - 1 powers a side
SUMS = {a + b for a in (0, 1, 1 / 4, 1 / 16) for b in (0, 1 / 2, 1 / 8, 1 / 32)}
SUMS = np.array(sorted({sign * value / 1.5 for value in SUMS for sign in (-1, 1)}))  # 5 bits: n = 2 terms of k = 2 bits
LEVELS = np.array([-1.0, -0.4, -0.1, 0.05, 0.3, 0.8], np.float32)

CASES = {
    "affine": (Affine(3, -1.0, 1.9), lambda x, g: truth.affine(x, g, -1.0, 1.9, 3)),
    "symmetric": (Symmetric(4, 1.3), lambda x, g: truth.symmetric(x, g, 1.3, 4)),
    "symmetric-columns": (
        Symmetric(3, 4 * COLUMNS, axis=-1),
        lambda x, g: truth.symmetric(x, g, 4.0 * COLUMNS.astype(float), 3),
    ),
    "symmetric-unsigned": (Symmetric(3, 1.3, signed=False), lambda x, g: truth.symmetric(x, g, 1.3, 3, signed=False)),
    "stochastic-without-key": (Stochastic(4, 1.3), lambda x, g: truth.symmetric(x, g, 1.3, 4)),
    "midrise": (MidRise(3, 1.5), lambda x, g: truth.midrise(x, g, 1.5, 3)),
    "midrise-one-bit": (MidRise(1, 1.5), lambda x, g: truth.midrise(x, g, 1.5, 1)),
    "lsq": (Lsq(3, 0.4), lambda x, g: truth.lsq(x, g, 0.4, 3)),
    "lsq-narrow-columns": (
        Lsq(3, COLUMNS, narrow=True, axis=-1),
        lambda x, g: truth.lsq(x, g, COLUMNS.astype(float), 3, narrow=True),
    ),
    "lsq-negative-step": (Lsq(3, -0.4), lambda x, g: (e := truth.lsq(x, g, 0.4, 3)) | {"step": -e["step"]}),
    "lsq-unsigned": (Lsq(2, 0.5, signed=False), lambda x, g: truth.lsq(x, g, 0.5, 2, signed=False)),
    "lsq+": (LsqPlus(2, 0.5, signed=False, offset=-0.7), lambda x, g: truth.lsq(x, g, 0.5, 2, signed=False, offset=-0.7)),
    "pact": (Pact(3, 1.2), lambda x, g: truth.pact(x, g, 1.2, 3)),
    "dorefa": (Dorefa(3), lambda x, g: truth.dorefa(x, g, 3)),
    "dorefa-weights": (DorefaWeights(3), lambda x, g: truth.dorefa_weights(x, g, 3)),
    "dorefa-weights-one-bit": (DorefaWeights(1), lambda x, g: truth.dorefa_weights(x, g, 1)),
    "bwn": (Bwn(axis=-1), truth.bwn),
    "sign": (Sign(), truth.sign),
    "twn": (Twn(), truth.twn),
    "ttq": (Ttq(0.9, 0.7, 0.3), lambda x, g: truth.ttq(x, g, 0.9, 0.7, np.float32(0.3))),
    "power-of-two": (PowerOfTwo(4, 2.0), lambda x, g: truth.powers(x, g, 2.0, POWERS)),
    "apot": (AdditivePowers(5, 2.0), lambda x, g: truth.powers(x, g, 2.0, SUMS)),
    "codebook": (Codebook(LEVELS, 1.7), lambda x, g: truth.codebook(x, g, LEVELS.astype(float), 1.7)),
    "ewgs": (Ewgs(2, -1.2, 1.4, 0.3), lambda x, g: truth.ewgs(x, g, -1.2, 1.4, 2, 0.3)),
}


@jax.jit
def run(formats, x, g):
    """(values, gradients to the format's numbers, to x, codes where there are any) of each, in one program."""
    return {name: run_one(fmt, x, g) for name, fmt in formats.items()}


def run_one(fmt, x, g):
    values, pull = jax.vjp(lambda fmt, x: fmt.quantize(x), fmt, x)
    try:
        codes = fmt.codes(x)
    except UserError:
        codes = None
    return values, *pull(g), codes


@functools.cache
def run_all():
    return jax.device_get(run({name: fmt for name, (fmt, _) in CASES.items()}, X, G))


@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_codes_are_the_papers(name):
    _, of = CASES[name]
    values, numbers, to_x, codes = run_all()[name]
    expected = of(X.astype(float), G.astype(float))
    np.testing.assert_allclose(values, expected.pop("values"), atol=2e-6)
    np.testing.assert_allclose(to_x, expected.pop("x"), atol=5e-6)
    for field, wanted in expected.items():
        np.testing.assert_allclose(getattr(numbers, field), wanted, rtol=2e-4, atol=2e-5, err_msg=field)
    assert (codes is None) == (name in ("ttq", "power-of-two", "apot", "codebook"))
    if codes is not None:
        np.testing.assert_array_equal(codes.codes, np.round(codes.codes))
        back = codes.codes * codes.step + (0 if codes.offset is None else codes.offset)
        np.testing.assert_allclose(back, values, atol=1e-6)


SOFT = {
    # What the gradients are those of, written out; differentiated numerically.
    "dsq": Dsq(2, -1.2, 1.4, 0.3),
    "n2uq": N2uq(-0.5, np.array([0.3, 0.9, 0.5]), 2.4),
    "rsign": RSign(np.linspace(-0.5, 0.5, 6)[None], axis=-1),
}


def soft(kind, x, numbers):
    """The smooth stand-in of a format at its numbers, in order."""
    if kind == "dsq":
        _, low, high, alpha = numbers
        step = (high - low) / 3
        u = np.clip((x - low) / step, 0, 3)
        tread = np.minimum(np.floor(u), 2)
        k = np.log(2 / alpha - 1)
        return low + step * (tread + (np.tanh(k * (u - tread - 0.5)) / np.tanh(k / 2) + 1) / 2)
    if kind == "n2uq":
        start, widths, top = numbers
        ends = start + np.concatenate([[0], np.cumsum(widths)])
        return np.interp(x, ends, np.arange(4)) * top / 3
    moved = np.clip(x - numbers[0], -1, 1)
    return np.where(moved < 0, 2 * moved + moved**2, 2 * moved - moved**2)


def hard(kind, x):
    """The values of the same formats."""
    if kind == "dsq":
        return np.clip(np.round((x + 1.2) / (2.6 / 3)), 0, 3) * 2.6 / 3 - 1.2
    if kind == "n2uq":
        return (x[..., None] > np.array([-0.35, 0.25, 0.95])).sum(-1) * 0.8
    return np.where(x - np.linspace(-0.5, 0.5, 6) >= 0, 1, -1)


@pytest.mark.parametrize("kind", SOFT)
def test_smooth_gradients_are_finite_differences(kind):
    fmt, x, g = SOFT[kind], X.astype(float), G.astype(float)
    with jax.enable_x64(True):
        values, numbers, to_x, _ = run({kind: jax.tree.map(lambda leaf: np.asarray(leaf, float), fmt)}, x, g)[kind]
    values = np.asarray(values)
    np.testing.assert_allclose(values, hard(kind, x), atol=1e-12)
    leaves, slopes = ([np.asarray(leaf, float) for leaf in jax.tree.leaves(tree)] for tree in (fmt, numbers))
    tiny = 1e-6
    across = (soft(kind, x + tiny, leaves) - soft(kind, x - tiny, leaves)) / (2 * tiny)
    np.testing.assert_allclose(to_x, g * across, rtol=1e-5, atol=1e-6)
    for place, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True)):
        if (kind, place) == ("dsq", 0):
            continue  # bits, in which the staircase is not smooth
        if (kind, place) == ("n2uq", 2):
            assert slope == pytest.approx((g * values).sum() / 2.4)  # a scale, which multiplies the hard code
            continue
        for index in np.ndindex(leaf.shape):
            moved = [[each.copy() for each in leaves] for _ in range(2)]
            moved[0][place][index] += tiny
            moved[1][place][index] -= tiny
            difference = (soft(kind, x, moved[0]) - soft(kind, x, moved[1])) / (2 * tiny)
            np.testing.assert_allclose(slope[index], (g * difference).sum(), rtol=1e-4, atol=1e-6)


def test_every_format_is_here():
    kinds = {type(fmt).kind for fmt, _ in CASES.values()} | {type(fmt).kind for fmt in SOFT.values()}
    assert kinds == set(FORMATS.classes())
