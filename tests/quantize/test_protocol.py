"""What all number formats share: bits that are leaves, groups, transformations, and what is refused."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.quantize import (
    FORMATS,
    AdditivePowers,
    Affine,
    Bwn,
    Codebook,
    DorefaWeights,
    Ewgs,
    Format,
    Lsq,
    LsqPlus,
    MidRise,
    N2uq,
    PowerOfTwo,
    RPRelu,
    RSign,
    Stochastic,
    Symmetric,
    Ttq,
    calibrate,
    device_levels,
    group_shape,
    kmeans,
    window_scale,
)

from .truth import X


WITH_BITS = {kind: cls for kind, cls in FORMATS.classes().items() if "bits" in cls.__dataclass_fields__}
START = jax.jit(lambda x: {kind: cls().init(x) for kind, cls in WITH_BITS.items()})(X)


@jax.jit
def quantized(formats, x):
    """What each of many formats makes of x, in one program."""
    return [fmt.quantize(x) for fmt in formats]


@functools.cache
def by_bits():
    """{bits: {kind: values}}, from one program."""

    @jax.jit
    @chex.assert_max_traces(n=1)
    def quantize(formats, bits, x):
        return {kind: fmt.replace(bits=bits).quantize(x) for kind, fmt in formats.items()}

    return {bits: jax.device_get(quantize(START, bits, X)) for bits in (2.0, 3.0, 4.0, 2.6, 3.4)}


@pytest.mark.parametrize("kind", WITH_BITS)
def test_bits_are_leaves_that_never_recompile(kind):
    found = {bits: values[kind] for bits, values in by_bits().items()}
    np.testing.assert_array_equal(found[2.6], found[3.0])  # whole bits in every forward pass
    np.testing.assert_array_equal(found[3.4], found[3.0])
    count = {bits: len(np.unique(values.round(6))) for bits, values in found.items()}
    assert 2 <= count[2.0] < count[3.0] < count[4.0] <= 16
    assert all(count[bits] <= 2**bits for bits in (2.0, 3.0, 4.0))


def test_batches_of_formats_are_loops_over_them():
    steps, bits = jnp.array([0.2, 0.3, 0.5]), jnp.array([2.0, 3.0, 4.0])

    def value_and_slope(step, bits):
        return jax.value_and_grad(lambda step: (Lsq(bits, step).quantize(X) ** 2).sum())(step)

    together = jax.jit(jax.vmap(value_and_slope))(steps, bits)
    one = jax.jit(value_and_slope)
    for k in range(3):
        for found, wanted in zip(together, one(steps[k], bits[k]), strict=True):
            np.testing.assert_allclose(found[k], wanted, rtol=1e-5)


def test_derivatives_forward_and_backward_agree():
    fmt = Affine(3, -1.0, 1.9)

    @jax.jit
    def slopes(fmt):
        ones = jax.tree.map(jnp.ones_like, fmt)
        forward = jax.jvp(lambda fmt: fmt.quantize(X).sum(), (fmt,), (ones,))[1]
        return forward, jax.grad(lambda fmt: fmt.quantize(X).sum())(fmt)

    forward, backward = slopes(fmt)
    assert forward == pytest.approx(float(sum(jax.tree.leaves(backward))), rel=1e-4)


@pytest.mark.parametrize(
    "groups, shape, parts",
    [
        ({}, (), [np.s_[:]]),
        ({"axis": -1}, (1, 6), [np.s_[:, k] for k in range(6)]),
        ({"axis": 0}, (40, 1), [np.s_[k] for k in range(40)]),
        ({"rows": 16}, (3, 1), [np.s_[:16], np.s_[16:32], np.s_[32:]]),
        ({"rows": 32, "axis": -1}, (2, 6), [np.s_[a:b, k] for a, b in ((0, 32), (32, 40)) for k in range(6)]),
    ],
    ids=["tensor", "channel", "row", "tile", "column"],
)
def test_groups_have_numbers_of_their_own(groups, shape, parts):
    fmt, values = jax.jit(lambda x: (fmt := Symmetric(3, **groups).init(x), fmt.quantize(x)))(X)
    assert np.shape(fmt.limit) == shape == group_shape(X.shape, groups.get("axis"), groups.get("rows"))
    limits = [np.abs(X[part]).max() for part in parts]
    np.testing.assert_allclose(np.ravel(fmt.limit), limits)
    values = np.asarray(values)
    for part, limit in zip(parts, limits, strict=True):
        np.testing.assert_allclose(values[part], np.round(X[part] / limit * 3) * limit / 3, atol=1e-6)


def test_tiles_of_a_kernel_are_those_of_its_matrix():
    kernel = X.reshape(2, 4, 5, 6)

    @jax.jit
    def both(x):
        fmt = Lsq(3, rows=16, axis=-1).init(x)
        return fmt.quantize(x), jax.grad(lambda fmt: (fmt.quantize(x) ** 2).sum())(fmt).step

    (values, slope), (flat, flat_slope) = both(kernel), both(X)
    np.testing.assert_allclose(values, np.asarray(flat).reshape(kernel.shape), rtol=1e-6)
    np.testing.assert_allclose(slope, flat_slope, rtol=1e-4, atol=1e-5)
    assert slope.shape == (3, 6)


def test_stochastic_rounding_is_right_on_average():
    fmt, x = Stochastic(4, 7.0), jnp.array([-6.9, -1.25, 0.0, 0.3, 2.0, 5.75, 9.0])
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: fmt.quantize(x, key)))(jax.random.split(jax.random.key(0), 1000)))
    np.testing.assert_array_equal(drawn, np.round(drawn))
    held = np.minimum(x, 7.0)
    fraction = held - np.floor(held)
    np.testing.assert_allclose(drawn.mean(0), held, atol=4 * 0.5 / np.sqrt(1000))
    np.testing.assert_allclose(drawn.var(0), fraction * (1 - fraction), atol=0.04)
    slope = jax.grad(lambda x: fmt.quantize(x, jax.random.key(1)).sum())(x)
    np.testing.assert_array_equal(slope, [1, 1, 1, 1, 1, 1, 0])


def test_float64_stays_float64():
    with jax.enable_x64(True):
        found = quantized([Affine(3), Lsq(3, 0.3), PowerOfTwo(4), DorefaWeights(3)], X.astype(float))
    assert {values.dtype for values in found} == {np.dtype(np.float64)}


def test_a_range_of_zero_gives_zeros_and_finite_gradients():
    zeros = np.zeros((3, 6), np.float32)
    formats = [Symmetric(3, 0.0), Affine(3, 0.0, 0.0), MidRise(3, 0.0), Lsq(3, 0.0), PowerOfTwo(3, 0.0), Ewgs(3, 0.0, 0.0)]
    values, numbers = jax.value_and_grad(lambda formats: sum(jnp.sum(one) for one in quantized(formats, zeros)))(formats)
    assert values == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(numbers))
    assert not np.any(quantized([Symmetric(4), Affine(4)], zeros))  # whatever range zeros have


def test_zeros_start_with_a_range_that_can_be_trained():
    """Layers whose weights start at zero, channels that are dead in a sample."""

    @jax.jit
    def slopes(x):
        kinds = ("symmetric", "affine", "midrise", "lsq", "lsq+", "power_of_two", "dsq")
        formats = {kind: WITH_BITS[kind]().init(x) for kind in kinds} | {"calibrated": calibrate(LsqPlus(4), x)}
        return {kind: jax.grad(lambda x, fmt=fmt: fmt.quantize(x).sum())(x) for kind, fmt in formats.items()}

    for kind, slope in slopes(np.zeros((3, 6), np.float32)).items():
        assert np.all(np.asarray(slope) > 0), kind


def test_starting_steps_are_the_papers():
    start = jax.jit(lambda x: (Lsq(3).init(x), LsqPlus(4).init(x), Ttq().init(x)))(X)
    assert start[0].step == pytest.approx(2 * np.abs(X).mean() / np.sqrt(3), rel=1e-5)
    fmt = start[1]
    reach = max(abs(X.mean() - 3 * X.std()), abs(X.mean() + 3 * X.std()))
    assert (float(fmt.step), float(fmt.offset)) == pytest.approx((reach / 8, 0), rel=1e-5)
    limit = 0.05 * np.abs(X).max()
    up = X[X - limit > 0].mean()
    assert start[2].up == pytest.approx(up, rel=1e-5)


def test_ranges_end_where_they_are_set():
    x = np.array([-100.0, 100.0], np.float32)
    formats = [Symmetric(4), Affine(4), Lsq(4, narrow=True), PowerOfTwo(4), AdditivePowers(4)]
    for values in jax.jit(lambda x: [fmt.spanning(-2.0, 2.0).quantize(x) for fmt in formats])(x):
        np.testing.assert_allclose(values, [-2, 2], atol=0.15)
    other = jax.jit(lambda x: (LsqPlus(4).spanning(-1.0, 3.0).quantize(x), N2uq(steps=3).spanning(0.0, 3.0).quantize(x)))(x)
    np.testing.assert_allclose(other, [[-1, 3], [0, 3]], atol=1e-6)


def test_kmeans_finds_clusters():
    rng = np.random.default_rng(2)
    centres = np.array([-1.0, -0.2, 0.9, 2.0])
    x = (centres[rng.integers(0, 4, 500)] + rng.normal(0, 0.01, 500)).astype(np.float32)
    levels, values = jax.jit(lambda x: (kmeans(x, 4), Codebook(count=4).init(x).quantize(x)))(x)
    np.testing.assert_allclose(levels, centres, atol=0.01)
    assert np.abs(values - x).max() < 0.05


def test_levels_of_a_pair_of_cells():
    levels = device_levels(np.array([1.0, 2.0, 5.0]) * 1e-6)
    np.testing.assert_allclose(levels, np.array([-4, -3, -1, 0, 1, 3, 4]) / 4)
    values = jax.jit(lambda x: Codebook(levels).init(x).quantize(x))(X)
    assert set(np.unique(np.asarray(values).round(4))) <= set((levels * np.abs(X).max()).round(4).astype(np.float32))


def test_xnors_window_scale():
    x = np.random.default_rng(3).normal(size=(2, 5, 6, 3)).astype(np.float32)
    found = window_scale(x, (2, 3), (1, 2), "VALID")
    mean = np.abs(x).mean(-1)
    for i, j in ((0, 0), (3, 1)):
        np.testing.assert_allclose(found[:, i, j, 0], mean[:, i : i + 2, 2 * j : 2 * j + 3].mean((1, 2)), rtol=1e-5)


def test_rprelu():
    fmt = RPRelu(gamma=0.5, zeta=-1.0, slope=0.25)
    np.testing.assert_allclose(fmt(jnp.array([-1.5, 0.5, 2.5])), [-1.5, -1.0, 1.0])


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: Symmetric(bits=17).quantize(X),
            r"Symmetric.bits is 17; give finite numbers in \[1, 16\]",
        ),
        (lambda: Symmetric(bits=1).quantize(X), r"Symmetric.bits is 1 bits; give finite numbers in \[2, 16\] bits"),
        (lambda: AdditivePowers(9).quantize(X), r"AdditivePowers.bits is 9; give finite numbers in \[1, 8\]"),
        (lambda: Lsq(float("nan"), 0.1).quantize(X), "Lsq.bits is nan"),
        (lambda: Lsq(4).quantize(X), r"Lsq.step is not known yet; call init\(x\)"),
        (lambda: Lsq(4, axis=2).init(X), r"Lsq.axis is 2, but the array has the shape \(40, 6\); give an axis from -2 to 1"),
        (lambda: Symmetric(4, rows=8).quantize(X[:, 0]), "Symmetric.rows is 8, but an array of shape"),
        (lambda: Symmetric(4, rows=8, axis=0).quantize(X), "Symmetric.axis is 0 beside rows; give -1"),
        (lambda: Lsq(4).init(np.array([1.0, np.nan])), "x holds NaN or infinite values"),
        (lambda: Lsq(4).init(np.zeros(0)), "x is empty; give at least one value"),
        (lambda: Affine(4, low=1.0).quantize(X), "Affine has one end of its range"),
        (lambda: Affine(4, 1.0, 0.0).quantize(X), "Affine.low is 1.0, above high, 0.0"),
        (lambda: Bwn().spanning(0.0, 1.0), "Bwn has no range to set"),
        (lambda: N2uq(axis=0).init(X), "N2uq has one ladder"),
        (lambda: N2uq(widths=np.ones((2, 2)), top=1.0).quantize(X), "N2uq.widths has the shape"),
        (lambda: Codebook(np.ones((2, 2))).quantize(X), "Codebook.levels has the shape"),
        (lambda: device_levels([1e-6]), "give a list of at least two different conductances"),
        (lambda: RSign().quantize(X), "RSign.shift is not known yet"),
        (lambda: FORMATS.find("lsg", "weights"), "weights.kind is 'lsg'"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_tracers_pass_where_numbers_are_refused():
    assert np.isfinite(jax.jit(lambda bits: Symmetric(bits).quantize(X))(17.0)).all()
    assert isinstance(Lsq(4), Format)
