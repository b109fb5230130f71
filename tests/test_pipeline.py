"""The whole path: against integer arithmetic, against x @ w, against a circuit solved by hand, and its gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, UserError, conversion, devices, layout, mvm, pipeline, program, read
from imcjax.converters import Adc, Dac
from imcjax.crossbar import Wires
from imcjax.fast_random import fast_key
from imcjax.keys import fold_name
from imcjax.mapping import Differential


RNG = np.random.default_rng(0)
KEY = fast_key(1)


def chip(weight_bits=8, cell_bits=2, input_bits=6, dac_bits=2, adc_bits=None, rows=128, cols=128, **device):
    """A generic chip without wires; exact unless `device` says otherwise."""
    return Hardware(
        rows=rows,
        cols=cols,
        encoding=Differential(weight_bits=weight_bits, cell_bits=cell_bits),
        dac=Dac(input_bits=input_bits, bits=dac_bits),
        device=devices.Generic(**({"g_min": 1e-6, "g_max": 40e-6} | device)),
        adc=Adc(bits=adc_bits),
    )


@functools.partial(jax.jit, static_argnames=("slices", "phases", "input_signed"))
def run(x, w, hardware, key=None, slices=None, phases=None, input_signed=True, **leaves):
    settings = Settings(slices=slices, phases=phases, input_signed=input_signed, **leaves)
    return mvm(x, w, hardware, settings, key=key)


# Ideal hardware


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_ideal_hardware_is_the_matrix_product(batch):
    x, w = RNG.normal(size=(*batch, 300)), RNG.normal(size=(300, 7))
    found = run(x, w, Hardware.ideal())
    assert found.shape == (*batch, 7)
    np.testing.assert_allclose(found, x @ w, atol=1e-6 * np.abs(x).max() * np.abs(w).max() * 300)
    with jax.enable_x64(True):
        found = run(x, w, Hardware.ideal())
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, x @ w, atol=1e-14 * np.abs(x).max() * np.abs(w).max() * 300)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_ideal_hardware_scales(scale):
    x, w = RNG.normal(size=(2, 20)).astype(np.float32), RNG.normal(size=(20, 3)).astype(np.float32)
    np.testing.assert_allclose(run(x * scale, w / scale, Hardware.ideal()), x @ w, atol=1e-4)


@pytest.mark.parametrize("values", ["normal", "tied"])
def test_gradients_of_ideal_hardware_are_those_of_the_matrix_product(values):
    # Tied: binary inputs and weights, where half of all entries are the largest magnitude, which sets the range.
    x, w = RNG.normal(size=(3, 9)), RNG.normal(size=(9, 4))
    if values == "tied":
        x, w = (x > 0).astype(float), np.sign(w)
    cotangent = RNG.normal(size=(3, 4))
    found = jax.jit(jax.grad(lambda x, w: jnp.sum(cotangent * mvm(x, w, Hardware.ideal())), (0, 1)))(
        jnp.asarray(x), jnp.asarray(w)
    )
    np.testing.assert_allclose(found[0], cotangent @ w.T, atol=1e-5)
    np.testing.assert_allclose(found[1], x.T @ cotangent, atol=1e-5)


def test_all_zeros_give_zeros_and_finite_gradients():
    hardware = chip(adc_bits=8)
    for x, w in ((np.zeros((2, 6)), np.ones((6, 3))), (np.ones((2, 6)), np.zeros((6, 3)))):
        np.testing.assert_array_equal(run(x, w, hardware), np.zeros((2, 3)))
        found = jax.jit(jax.grad(lambda x, w: jnp.sum(mvm(x, w, hardware)), (0, 1)))(jnp.asarray(x), jnp.asarray(w))
        assert all(np.isfinite(g).all() for g in found)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.float16, bool])
def test_arrays_of_any_precision_are_taken(dtype):
    x, w = RNG.integers(0, 2, (2, 6)).astype(dtype), RNG.integers(0, 2, (6, 3)).astype(dtype)
    found = run(x, w, chip(adc_bits=8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, x.astype(int) @ w.astype(int), rtol=1e-6, atol=1e-6)


def test_whole_numbered_input_keeps_a_fractional_range():
    x = np.array([[1, 2]])
    found = run(x, np.eye(2), chip(input_bits=3, dac_bits=2), input_range=1.5)
    np.testing.assert_allclose(found, [[1.0, 1.5]], rtol=1e-6)


# Integer arithmetic

EXACT = [
    # weight bits, cell bits, input bits, DAC bits, signed inputs, rows, cols
    (8, 2, 8, 4, True, 32, 16),
    (8, 2, 8, 4, False, 32, 16),
    (5, 1, 4, 1, True, 16, 128),
    (7, 3, 6, 6, False, 24, 128),
    (4, 4, 3, 2, True, 7, 3),
    (8, 7, 2, 1, True, 128, 128),
]


def integers(weight_bits, input_bits, signed, n_in=40, n_out=11):
    """Integer codes with the largest magnitude among them, and what they are at some scale."""
    top_w, top_x = 2 ** (weight_bits - 1) - 1, 2 ** (input_bits - signed) - 1
    w = RNG.integers(-top_w, top_w + 1, (n_in, n_out))
    x = RNG.integers(-top_x if signed else 0, top_x + 1, (5, n_in))
    w[0, 0], x[0, 0] = top_w, top_x
    return x, w


def enough_bits(hardware, n_in):
    """Bits of an ADC whose codes reach the largest sum of one column, in units."""
    rows = layout.tiling((n_in, 1), hardware).tile_rows
    largest = int(rows * hardware.dac.top_digit * hardware.encoding.top_digit)
    return 1 + largest.bit_length()


@pytest.mark.parametrize("weight_bits, cell_bits, input_bits, dac_bits, signed, rows, cols", EXACT)
def test_an_ideal_chip_with_enough_adc_bits_is_integer_arithmetic(
    weight_bits, cell_bits, input_bits, dac_bits, signed, rows, cols
):
    x, w = integers(weight_bits, input_bits, signed)
    hardware = chip(weight_bits, cell_bits, input_bits, dac_bits, 24, rows, cols)
    bits = enough_bits(hardware, len(w))
    scale_x, scale_w = 0.37, 11.0
    for adc_bits, exact in ((bits, True), (bits - 1, False)):
        found = run(x * scale_x, w * scale_w, hardware, adc_bits=float(adc_bits), input_signed=signed)
        codes = np.asarray(found, float) / (scale_x * scale_w)
        if exact:
            assert np.abs(codes - x @ w).max() < 1e-3 * max(1, np.abs(x @ w).max() / 1000)  # float32 holds 7 digits
            np.testing.assert_array_equal(np.round(codes), x @ w)
        else:
            assert np.abs(codes - x @ w).max() > 0.9  # whole units are lost


def numpy_chip(x, w, weight_bits, cell_bits, input_bits, dac_bits, rows, adc_bits, adc_top):
    """Codes, digits, tiles, converters and shift-and-add in integers; the ADC's top code stands for `adc_top` units."""
    top_w, top_x = 2 ** (weight_bits - 1) - 1, 2 ** (input_bits - 1) - 1
    wc, xc = (np.round(a / np.abs(a).max() * top).astype(int) for a, top in ((w, top_w), (x, top_x)))
    tiles = -(-len(w) // rows)
    r = -(-len(w) // tiles)
    lsb = adc_top / (2 ** (adc_bits - 1) - 1)
    total = np.zeros((len(x), w.shape[1]))
    for t in range(tiles):
        part = slice(t * r, (t + 1) * r)
        for s in range(-(-(weight_bits - 1) // cell_bits)):
            ws = np.sign(wc) * (np.abs(wc) >> s * cell_bits & 2**cell_bits - 1)
            for p in range(-(-(input_bits - 1) // dac_bits)):
                xp = np.sign(xc) * (np.abs(xc) >> p * dac_bits & 2**dac_bits - 1)
                units = xp[:, part] @ ws[part]
                assert np.abs(np.abs(units / lsb) % 1 - 0.5).min() > 1e-4  # no tie for rounding errors to decide
                total += (
                    np.clip(np.round(units / lsb), -adc_top / lsb, adc_top / lsb) * lsb * 2.0 ** (s * cell_bits + p * dac_bits)
                )
    return total * np.abs(x).max() / top_x * np.abs(w).max() / top_w


@pytest.mark.parametrize("adc_bits, adc_top", [(5, 13.7), (6, 31 * 1.37), (4, 5.3)])
def test_quantized_values_with_a_coarse_and_clipping_adc_are_those_of_numpy(adc_bits, adc_top):
    x, w = RNG.normal(size=(4, 30)), RNG.normal(size=(30, 5))
    hardware = chip(8, 2, 8, 2, 8, rows=12)  # wider than the widths in use: slices and phases above them must not count
    unit = float(conversion.unit_current(hardware))
    found = run(x, w, hardware, weight_bits=6.0, input_bits=5.0, adc_bits=float(adc_bits), adc_range=adc_top * unit)
    expected = numpy_chip(x, w, 6, 2, 5, 2, 12, adc_bits, adc_top)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_inputs_may_each_have_a_range_of_their_own():
    x, w, ideal = RNG.normal(size=(5, 7)), RNG.normal(size=(7, 3)), chip()
    together = run(x, w, ideal, input_range=np.abs(x).max(1, keepdims=True))
    alone = [run(row[None], w, ideal, input_range=np.abs(row).max()) for row in x]
    assert together.shape == (5, 3)
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-6)


def test_ranges_may_differ_by_tile_phase_slice_and_column():
    x, w = RNG.normal(size=(4, 30)), RNG.normal(size=(30, 5))
    hardware = chip(6, 2, 5, 2, 5, rows=12)  # 3 row tiles, 3 phases (2 in use), 3 slices
    unit = float(conversion.unit_current(hardware))
    same = run(x, w, hardware, adc_range=11.3 * unit)
    for shape in ((5,), (3, 3, 1, 3, 5)):
        np.testing.assert_allclose(run(x, w, hardware, adc_range=np.full(shape, 11.3 * unit)), same, rtol=1e-5)
    columns = np.array([11.3, 11.3, 0.0, 11.3, 11.3]) * unit
    np.testing.assert_allclose(run(x, w, hardware, adc_range=columns), np.where(columns > 0, same, 0), rtol=1e-5)
    tiles = np.array([11.3, 0.0, 0.0]).reshape(3, 1, 1, 1, 1) * unit
    first = run(np.where(np.arange(30) < 10, x, 0), w, hardware, adc_range=11.3 * unit, input_range=np.abs(x).max())
    np.testing.assert_allclose(run(x, w, hardware, adc_range=tiles), first, rtol=1e-4)


@pytest.mark.parametrize("weight_bits, input_bits", [(5.5, 6.0), (8.0, 4.5), (4.6, 3.4), (2.0, 2.0)])
@pytest.mark.parametrize("cell_bits, dac_bits", [(1, 1), (2, 3)])
def test_real_widths_compute_as_the_whole_ones_they_round_to(weight_bits, input_bits, cell_bits, dac_bits):
    x, w = RNG.normal(size=(3, 12)), RNG.normal(size=(12, 4))
    hardware = chip(8, cell_bits, 8, dac_bits, 16)
    found = run(x, w, hardware, weight_bits=weight_bits, input_bits=input_bits)
    whole = run(x, w, hardware, weight_bits=float(round(weight_bits)), input_bits=float(round(input_bits)))
    np.testing.assert_array_equal(found, whole)
    top_w, top_x = 2 ** (round(weight_bits) - 1) - 1, 2 ** (round(input_bits) - 1) - 1
    codes_w, codes_x = np.round(w * top_w / np.abs(w).max()), np.round(x * top_x / np.abs(x).max())
    expected = codes_x @ codes_w * np.abs(w).max() * np.abs(x).max() / top_w / top_x
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY], ids=["noise-free", "noisy"])
def test_leaving_unused_slices_and_phases_out_changes_nothing(key):
    x, w = RNG.normal(size=(3, 12)), RNG.normal(size=(12, 4))
    # Without noise a coarse ADC meets sums exactly between two codes, and rounding in another program may decide otherwise.
    hardware = chip(8, 2, 8, 2, 12 if key is None else 7, program_sigma=0.03, read_sigma=0.02)
    widths = {"weight_bits": 4.0, "input_bits": 5.0}  # 3 and 4 bits of magnitude: 2 slices, 2 phases
    everything = run(x, w, hardware, key, **widths)
    for counts in ({"slices": 2, "phases": 3}, {"slices": 3, "phases": 2}):
        np.testing.assert_allclose(run(x, w, hardware, key, **counts, **widths), everything, rtol=1e-5, atol=1e-5)


# Programming, reading, keys


NOISY = chip(6, 2, 5, 2, 7, rows=5, program_sigma=0.03, read_sigma=0.02)
X, W = RNG.normal(size=(3, 12)).astype(np.float32), RNG.normal(size=(12, 4)).astype(np.float32)
PROGRAM = jax.jit(lambda w, key: program(w, NOISY, key=key))
READ = jax.jit(lambda chip, x, key: read(chip, x, NOISY, key=key))


def test_reading_a_programmed_chip_is_mvm():
    for key in (None, KEY):
        programmed = PROGRAM(W, fold_name(key, "program"))
        assert programmed.state.g.shape == (3, 2, 3, 1, 4, 4)
        found = READ(programmed, X, fold_name(key, "read"))
        np.testing.assert_allclose(found, run(X, W, NOISY, key), rtol=1e-4, atol=1e-5)


def test_noise_comes_from_keys_alone():
    programmed = PROGRAM(W, KEY)
    quiet = READ(programmed, X, None)
    np.testing.assert_array_equal(READ(programmed, X, None), quiet)
    noisy, again, other = (READ(programmed, X, fast_key(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(noisy, again)
    assert np.abs(noisy - quiet).max() > 1e-3
    assert np.abs(noisy - other).max() > 1e-3
    assert np.abs(READ(PROGRAM(W, None), X, None) - quiet).max() > 1e-3


def test_one_read_is_shared_by_its_batch():
    programmed = PROGRAM(W, KEY)
    together = READ(programmed, X, KEY)
    # With a static input range, vectors one by one are what they are together.
    one_by_one = jax.jit(lambda chip, x, key: read(chip, x, NOISY, Settings(input_range=np.abs(X).max()), key=key))
    for row, x in zip(together, X, strict=True):
        np.testing.assert_allclose(one_by_one(programmed, x, KEY), row, rtol=1e-5, atol=1e-5)


def test_another_layer_changes_no_draw_of_this_one():
    def network(names):
        return {name: np.asarray(PROGRAM(W, fold_name(KEY, name)).state.g) for name in names}

    both, alone, reordered = network(["a", "b"]), network(["b"]), network(["b", "a"])
    np.testing.assert_array_equal(both["b"], alone["b"])
    np.testing.assert_array_equal(both["a"], reordered["a"])
    assert (both["a"] != both["b"]).any()


def test_programming_error_has_the_size_that_the_cells_give():
    # Two cells a weight, each off by sigma * g_max: an output is off by sqrt(2 sum x^2) sigma max|w| / (1 - g_min / g_max).
    hardware = Hardware(device=devices.Generic(g_min=10e-6, g_max=50e-6, program_sigma=0.02))
    keys = jax.random.split(KEY, 400)
    found = jax.jit(jax.vmap(lambda key: mvm(X, W, hardware, key=key)))(keys)
    expected = np.sqrt(2 * np.sum(X**2, -1)) * 0.02 * np.abs(W).max() / (1 - 0.2)
    assert hardware.device.g_min > 5 * 0.02 * 50e-6  # no cell is clamped at zero
    off = np.asarray(found) - X @ W
    assert np.abs(off.mean(0)).max() < 4.5 * expected.max() / 20
    np.testing.assert_allclose(np.sqrt((off**2).mean((0, 2))), expected, rtol=0.1)


def test_time_reaches_the_device():
    hardware = chip(rows=5).replace(device=devices.preset("reram_wan2022"))
    programmed = program(W, hardware, key=KEY)
    compiled = jax.jit(lambda time: read(programmed, X, hardware, time=time))
    now, later = compiled(0.0), compiled(86400.0)
    off = [np.abs(found - X @ W).std() for found in (now, later)]
    assert off[1] > 1.1 * off[0]
    assert np.isnan(compiled(1e9)).all()
    with pytest.raises(UserError, match=r"described from 0 to 172800 s"):
        read(programmed, X, hardware, time=1e9)


# Gradients


def slope(f, at, step):
    """df/dx by a central difference of fourth order."""
    return (8 * (f(at + step) - f(at - step)) - (f(at + 2 * step) - f(at - 2 * step))) / (12 * step)


def quantized_loss(
    x, w, weight_bits, input_bits, adc_bits, weight_range, input_range, adc_range, g_max, program_sigma, read_sigma
):
    hardware = chip(8, 2, 8, 2, 12, rows=5, g_max=g_max, program_sigma=program_sigma, read_sigma=read_sigma)
    settings = Settings(weight_bits, input_bits, adc_bits, weight_range, input_range, adc_range)
    return jnp.sum(jnp.cos(jnp.arange(12.0).reshape(3, 4)) * mvm(x, w, hardware, settings, key=KEY))


LEAVES = (X, W, 5.2, 4.7, 6.1, 1.5, 1.4, 2e-4, 40e-6, 0.01, 0.01)


def test_gradients_of_quantized_hardware_are_finite_and_reach_every_leaf():
    found = jax.jit(jax.grad(quantized_loss, tuple(range(len(LEAVES)))))(*LEAVES)
    for leaf in found:
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0
    # Straight through the converters, the gradient to the inputs is near that of the plain product where nothing clips.
    plain = np.cos(np.arange(12.0).reshape(3, 4)) @ W.T
    inside = np.abs(X) < 1.4
    assert np.abs(found[0] - plain)[inside].mean() < 0.25 * np.abs(plain).mean()
    np.testing.assert_array_equal(np.asarray(found[0])[~inside], 0)
    assert (~inside).sum() >= 1


def test_gradients_to_widths_ask_for_more_where_error_is():
    exact = X @ W

    def error(weight_bits, input_bits):
        settings = Settings(weight_bits, input_bits, weight_range=np.abs(W).max(), input_range=np.abs(X).max())
        return jnp.mean((mvm(X, W, chip(8, 2, 8, 2), settings) - exact) ** 2)

    compiled = jax.jit(jax.value_and_grad(error, (0, 1)))
    for bits in (2.0, 3.0, 4.0):
        value, found = compiled(bits, bits)
        assert value > 0
        assert all(leaf < 0 for leaf in found)
        assert error(bits + 1, bits + 1) < value


CONTINUOUS = ("x", "w", "g_min", "g_max", "v_read", "program_sigma", "read_sigma", "weight_range")


def continuous_loss(h):
    """A sum of outputs without converters, as a function of one step in each of CONTINUOUS."""
    h = dict(zip(CONTINUOUS, h, strict=True))
    x, w = jnp.asarray(X, float).at[0, 1].add(h["x"]), jnp.asarray(W, float).at[3, 2].add(h["w"])
    numbers = {"g_min": 5e-6, "g_max": 40e-6, "program_sigma": 0.01, "read_sigma": 0.02}
    device = devices.Generic(**{name: value * (1 + h[name]) for name, value in numbers.items()})
    hardware = Hardware(rows=5, device=device, dac=Dac(v_read=0.2 * (1 + h["v_read"])))
    settings = Settings(weight_range=3.0 * (1 + h["weight_range"]), input_range=4.0)
    return jnp.sum(mvm(x, w, hardware, settings, key=KEY) * jnp.cos(jnp.arange(12.0).reshape(3, 4)))


def test_gradients_of_continuous_hardware_are_finite_differences():
    with jax.enable_x64(True):
        value, found = jax.jit(continuous_loss), jax.jit(jax.grad(continuous_loss))(np.zeros(8))
        for name, leaf, unit in zip(CONTINUOUS, found, np.eye(8), strict=True):
            expected = slope(lambda h, unit=unit: float(value(h * unit)), 0.0, 1e-4)
            assert leaf == pytest.approx(expected, rel=1e-6, abs=1e-10), name
            if name != "v_read":  # outputs are in units of x * w: without wires, the voltage cancels
                assert abs(leaf) > 1e-4, name


def test_gradient_where_noise_is_zero_is_that_of_the_noise():
    def loss(read_sigma):
        return jnp.sum(mvm(X, W, Hardware(device=devices.Generic(read_sigma=read_sigma)), key=KEY) ** 2)

    found = jax.jit(jax.grad(loss))(0.0)
    assert np.isfinite(found)
    assert found != 0


# Wires


WIRED = Wires(wordline=30.0, bitline=20.0, driver=50.0, sense=40.0)


def nodal_matrix(g, wires):
    """(rows, cols) siemens: column currents per volt on each row, by Kirchhoff's law at every node."""
    rows, cols = g.shape
    node = np.arange(2 * rows * cols).reshape(2, rows, cols)  # wordline nodes, bitline nodes
    laplacian, drive = np.zeros((node.size, node.size)), np.zeros((node.size, rows))

    def connect(a, b, conductance):
        for one, other in ((a, b), (b, a)):
            laplacian[one, one] += conductance
            laplacian[one, other] -= conductance

    for i in range(rows):
        laplacian[node[0, i, 0], node[0, i, 0]] += 1 / wires.driver
        drive[node[0, i, 0], i] = 1 / wires.driver
        for j in range(cols):
            connect(node[0, i, j], node[1, i, j], g[i, j])
            if j + 1 < cols:
                connect(node[0, i, j], node[0, i, j + 1], 1 / wires.wordline)
            if i + 1 < rows:
                connect(node[1, i, j], node[1, i + 1, j], 1 / wires.bitline)
    for j in range(cols):
        laplacian[node[1, -1, j], node[1, -1, j]] += 1 / wires.sense
    return np.linalg.solve(laplacian, drive)[node[1, -1]].T / wires.sense


def test_wires_are_those_of_a_circuit_solved_by_hand():
    # 8 x 4 weights on 4 x 3 arrays: two row tiles, two column tiles of two columns each.
    hardware = Hardware(rows=4, cols=3, device=devices.Generic(g_min=1e-6, g_max=100e-6), wires=WIRED)
    x, w = X[:, :8].astype(float), W[:8].astype(float)
    largest = np.abs(w).max()
    expected = np.zeros((3, 4))
    for i in range(2):
        for j in range(2):
            block = w[4 * i : 4 * i + 4, 2 * j : 2 * j + 2] / largest
            positive, negative = (1e-6 + 99e-6 * np.maximum(sign * block, 0) for sign in (1, -1))
            matrix = (nodal_matrix(positive, WIRED) - nodal_matrix(negative, WIRED)) / 99e-6 * largest
            expected[:, 2 * j : 2 * j + 2] += x[:, 4 * i : 4 * i + 4] @ matrix
    found = jax.jit(lambda x, w: mvm(x, w, hardware))(x, w)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    assert np.abs(expected - x @ w).max() > 1e-2 * np.abs(expected).max()  # the wires matter


def wired_loss(h):
    """A sum of outputs of wired arrays, as a function of a relative step in each resistance and in g_max."""
    wires = Wires(*(value * (1 + step) for value, step in zip(jax.tree.leaves(WIRED)[:4], h[:4], strict=True)))
    device = devices.Generic(g_min=1e-6, g_max=100e-6 * (1 + h[4]), read_sigma=0.01)
    hardware = Hardware(rows=4, cols=3, device=device, wires=wires)
    found = mvm(jnp.asarray(X[:, :8], float), jnp.asarray(W[:8], float), hardware, key=KEY)
    return jnp.sum(found * jnp.cos(jnp.arange(12.0).reshape(3, 4)))


def test_gradients_through_wires_are_finite_differences():
    with jax.enable_x64(True):
        value, found = jax.jit(wired_loss), jax.jit(jax.grad(wired_loss))(np.zeros(5))
        for leaf, unit in zip(found, np.eye(5), strict=True):
            assert leaf == pytest.approx(slope(lambda h, unit=unit: float(value(h * unit)), 0.0, 1e-2), rel=1e-5)
            assert abs(leaf) > 1e-5


# Wrong input


@pytest.mark.parametrize(
    "x, w, message",
    [
        (X, W[0], r"w has shape \(4,\); give 2 axes"),
        (X, W[None], r"w has shape \(1, 12, 4\); give 2 axes"),
        (X[:, :5], W, r"x has shape \(3, 5\); its last axis must have the 12 inputs"),
        (np.float32(1), W, r"x has shape \(\); its last axis must have the 12 inputs"),
        (X, np.where(W[1, 1] == W, np.nan, W), r"w holds NaN or infinite values; give finite numbers"),
        (np.where(X[1, 1] == X, np.inf, X), W, r"x holds NaN or infinite values; give finite numbers"),
    ],
)
def test_wrong_arrays_are_refused(x, w, message):
    with pytest.raises(UserError, match=message):
        mvm(x, w, Hardware.ideal())


def test_wrong_shapes_are_refused_under_jit_too():
    with pytest.raises(UserError, match=r"x has shape \(3, 5\)"):
        jax.jit(lambda x: mvm(x, W, Hardware.ideal()))(X[:, :5])


def test_every_boundary_checks_hardware_and_settings():
    programmed = program(W, Hardware.ideal())
    settled = pipeline.settle(programmed, Hardware.ideal())
    wrong = Hardware(dac=Dac(v_read=-1.0))
    for call in (
        lambda hardware, settings=None: mvm(X, W, hardware, settings),
        lambda hardware, settings=None: program(W, hardware, settings),
        lambda hardware, settings=None: read(programmed, X, hardware, settings),
        lambda hardware, settings=None: pipeline.multiply(settled, X, hardware, settings),
    ):
        with pytest.raises(UserError, match=r"hardware.dac.v_read is -1 V"):
            call(wrong)
        with pytest.raises(UserError, match=r"settings.weight_bits is 4.0, but hardware.encoding.weight_bits is absent"):
            call(Hardware.ideal(), Settings(weight_bits=4))
    with pytest.raises(UserError, match=r"hardware.dac.v_read is -1 V"):
        pipeline.settle(programmed, wrong)


def test_wrong_wires_are_refused():
    with pytest.raises(UserError, match=r"wires.bitline is -1 ohm"):
        mvm(X, W, Hardware(wires=Wires(bitline=-1.0)))
