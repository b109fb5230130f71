"""Ranges from samples, against searches and integrals of their own."""

import chex
import jax
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from imcjax import UserError
from imcjax.quantize import Affine, Bwn, Lsq, MidRise, Symmetric, aciq_clip, calibrate

from .truth import X


TAILED = np.random.default_rng(5).laplace(0, 0.7, (400, 6)).astype(np.float32)
TAILED = TAILED * np.linspace(0.5, 2, 6, dtype=np.float32)


def test_the_whole_range_and_percentiles():
    assert calibrate(Symmetric(4), TAILED, "minmax").limit == np.abs(TAILED).max()
    fmt = calibrate(Affine(4), TAILED, "minmax")
    assert (fmt.low, fmt.high) == (TAILED.min(), TAILED.max())
    columns = calibrate(Lsq(4, axis=-1, narrow=True), TAILED, "percentile", percent=99.0)
    np.testing.assert_allclose(columns.step * 7, np.percentile(np.abs(TAILED), 99, axis=0, keepdims=True), rtol=1e-5)
    both = calibrate(Affine(4), TAILED, "percentile", percent=98.0)
    np.testing.assert_allclose([both.low, both.high], np.percentile(TAILED, [2, 98]), rtol=1e-5)


@pytest.mark.parametrize("fmt", [MidRise(3), Lsq(3, axis=-1), Symmetric(3, rows=150)])
def test_the_least_error_is_found(fmt):
    found = calibrate(fmt, TAILED, "mse")
    chosen = np.asarray((found.quantize(TAILED) - TAILED) ** 2)
    errors = jax.jit(lambda fmt, limit: (fmt.spanning(-limit, limit).quantize(TAILED) - TAILED) ** 2)
    top = calibrate(fmt, TAILED, "minmax")
    top = top.step * 3 if isinstance(fmt, Lsq) else top.limit
    groups = [np.s_[:]] if fmt.axis is None else [np.s_[:, k] for k in range(6)]
    groups = [np.s_[:150], np.s_[150:300], np.s_[300:]] if fmt.rows else groups
    tried = [np.asarray(errors(fmt, top * fraction)) for fraction in np.linspace(0.05, 1, 40, dtype=np.float32)]
    for group in groups:
        assert chosen[group].mean() <= 1.02 * min(one[group].mean() for one in tried)


def test_the_least_error_of_two_ends():
    x = np.abs(TAILED) - 0.3
    fmt = calibrate(Affine(3), x, "mse")

    @jax.jit
    def error(low, high):
        return ((Affine(3, low, high).quantize(x) - x) ** 2).mean()

    best = min(error(low, high) for low in np.linspace(-0.6, 0, 7) for high in np.linspace(0.5, 8, 40))
    assert error(fmt.low, fmt.high) <= 1.05 * best


@pytest.mark.parametrize("distribution", ["laplace", "gauss"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_clip_of_least_expected_error(distribution, bits):
    law = stats.laplace() if distribution == "laplace" else stats.norm()

    def expected_error(clip):
        beyond = 2 * integrate.quad(lambda x: (x - clip) ** 2 * law.pdf(x), clip, clip + 40)[0]
        return beyond + (2 * clip / 2**bits) ** 2 / 12

    best = optimize.minimize_scalar(expected_error, bounds=(0.5, 15), method="bounded", options={"xatol": 1e-7}).x
    assert aciq_clip(bits, distribution) == pytest.approx(best, rel=2e-3)


def test_aciq_takes_the_likelier_distribution():
    laplace = TAILED[:, 0]
    clip = float(aciq_clip(4, "laplace")) * np.abs(laplace).mean()
    assert calibrate(Symmetric(4), laplace, "aciq").limit == pytest.approx(clip, rel=1e-4)
    normal = X.ravel()
    clip = float(aciq_clip(2, "gauss")) * np.sqrt((normal**2).mean())
    assert calibrate(Symmetric(2), normal, "aciq").limit == pytest.approx(clip, rel=1e-4)
    # Half a distribution with as many codes is the whole one with one bit more.
    half = calibrate(Symmetric(3, signed=False), np.abs(laplace), "aciq").limit
    assert half == pytest.approx(clip_of(laplace, 4), rel=1e-4)
    shifted = calibrate(Affine(4), laplace + 0.1, "aciq")
    assert shifted.high - shifted.low <= 2.001 * clip_of(laplace - laplace.mean(), 4)


def clip_of(x, bits):
    return float(aciq_clip(bits, "laplace")) * np.abs(x).mean()


def kl_by_hand(x, codes, bins=2048, stride=16):
    size = np.abs(x).astype(np.float32)
    places = np.minimum((size / size.max() * np.float32(bins)).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins).astype(float)
    best = (np.inf, None)
    for kept in range(stride, bins + 1, stride):
        if kept < codes:
            continue
        p = counts[:kept].copy()
        p[-1] += counts[kept:].sum()
        q = np.zeros(kept)
        runs = np.floor(np.arange(kept) * codes / kept).astype(int)
        for run in range(codes):
            holds = (runs == run) & (counts[:kept] > 0)
            if holds.any():
                q[holds] = counts[:kept][holds].sum() / holds.sum()
        p, q = p / p.sum(), q / q.sum()
        known = p > 0
        divergence = (p[known] * np.log(p[known] / np.where(q[known] > 0, q[known], 1e-9))).sum()
        best = min(best, (divergence, kept / bins * size.max()))
    return best[1]


def test_kl_divergence_of_histograms():
    x = np.random.default_rng(6).laplace(0, 1, 20_000).astype(np.float32)
    found = [float(calibrate(Symmetric(bits), x, "kl").limit) for bits in (4, 6)]
    assert found == pytest.approx([kl_by_hand(x, 8), kl_by_hand(x, 32)], rel=0.02)
    assert found[0] < found[1]


def test_bits_of_a_calibrated_format_never_recompile():
    run = jax.jit(chex.assert_max_traces(lambda bits, x: calibrate(Symmetric(bits), x, "mse").limit, n=1))
    limits = [float(run(bits, TAILED)) for bits in (2.0, 4.0, 8.0)]
    assert limits == sorted(limits)  # more bits keep more of the tail


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: calibrate(Symmetric(4), TAILED, "mes"), "rule is 'mes'.*nearest: mse"),
        (lambda: calibrate(Symmetric(4), np.zeros((0, 3))), "x is empty; give at least one value"),
        (lambda: calibrate(Symmetric(4), np.array([1.0, np.inf])), "x holds NaN or infinite"),
        (lambda: calibrate(Bwn(), TAILED), "Bwn has no range to calibrate"),
        (lambda: calibrate(Symmetric(4), TAILED, "percentile", percent=20.0), "percent is 20 %"),
        (lambda: calibrate(Symmetric(np.array([[3.0, 4.0]])), TAILED[:, :2], "kl"), "kl calibrates one bit-width at a time"),
        (lambda: calibrate(Symmetric(4, axis=3), TAILED), "Symmetric.axis is 3"),
        (lambda: calibrate(Symmetric(4, axis="channel"), TAILED), "Symmetric.axis is 'channel'; give the number of an axis"),
        (lambda: calibrate(TAILED, Symmetric(4)), "fmt is a ndarray; give a format"),
        (lambda: calibrate(Symmetric, TAILED), "fmt is Symmetric; give a format"),
        (lambda: calibrate(Symmetric(4), "abc"), "x is a str; give an array of numbers"),
        (lambda: aciq_clip(4, "cauchy"), "distribution is 'cauchy'"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
