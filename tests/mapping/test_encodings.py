"""Every encoding: integer products bit for bit, what g_min and wires do to it, gradients of the weights' product."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imcjax
from imcjax import Hardware, Settings, conversion, layout
from imcjax.converters import Adc, Dac, Flaws, Uniform
from imcjax.crossbar import Wires
from imcjax.devices import Generic
from imcjax.mapping import Complementary, Differential, MultiDevice, Offset, TwosComplement
from imcjax.pytree import record
from imcjax.readout import C2c, Charge, Digital, Voltage


ENCODINGS = {
    "one-sided": Differential(weight_bits=5, cell_bits=2),
    "two-sided": Differential(weight_bits=5, cell_bits=2, common_mode=1.0),
    "subtracted digitally": Differential(weight_bits=5, cell_bits=2, subtract="digital"),
    "interleaved": Differential(weight_bits=5, cell_bits=2, pairs="interleaved"),
    "offset": Offset(weight_bits=5, cell_bits=2),
    "offset, zero column": Offset(weight_bits=5, cell_bits=2, reference="zero_column"),
    "offset, unit column": Offset(weight_bits=5, cell_bits=2, reference="unit_column"),
    "offset, flipped": Offset(weight_bits=5, cell_bits=2, flip=1),
    "offset, flipped, unit column": Offset(weight_bits=5, cell_bits=2, flip=1, reference="unit_column"),
    "two's complement": TwosComplement(weight_bits=5, cell_bits=2),
    "complementary": Complementary(),
}
ROWS, COLS = 24, 16


def hardware(encoding, *, g_min=0.0, adc_bits=24, **changes):
    # On this cell and driver the current of one level is a power of two: nothing is lost in float32 before the ADC.
    cell = Generic(g_min=g_min, g_max=g_min + encoding.top_digit * 2.0**-17)
    dac = changes.pop("dac", Dac(input_bits=4, bits=2, v_read=3 * 2.0**-3))
    return Hardware(encoding=encoding, device=cell, dac=dac, adc=Adc(bits=adc_bits), rows=ROWS, cols=COLS, **changes)


def case(encoding, *, signed=True, n_in=40, n_out=21, seed=0):
    """Whole weights and inputs over two row tiles and two column tiles, with settings under which a code is worth 1."""
    rng = np.random.default_rng(seed)
    top = 2 ** (encoding.weight_bits - 1) - 1 if encoding.weight_bits > 1 else 1
    w = rng.integers(-top, top + 1, (n_in, n_out)) if top > 1 else rng.choice([-1, 1], (n_in, n_out))
    x = rng.integers(-7 if signed else 0, 8 if signed else 16, (6, n_in))
    x_range = 7.0 if signed else 15.0
    return x, w, Settings(weight_range=float(top), input_range=x_range, input_signed=signed)


def product(x, w, on, settings, **kwargs):
    compiled = jax.jit(lambda x, w: imcjax.mvm(x, w, on, settings, **kwargs))  # one program instead of fifty
    return np.asarray(compiled(jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32)))


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("signed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_with_a_lossless_adc_the_product_is_the_integer_product_bit_for_bit(name, signed):
    encoding = ENCODINGS[name]
    for partition, signs in (("even", "sign_magnitude"), ("full", "twos_complement")):
        x, w, settings = case(encoding, signed=signed)
        dac = Dac(input_bits=4, bits=2, v_read=3 * 2.0**-3, signs=signs)
        on = hardware(encoding, dac=dac, partition=partition)
        bits = lossless_bits(on, settings)
        np.testing.assert_array_equal(product(x, w, on, settings.replace(adc_bits=bits)), x @ w)


def lossless_bits(on, settings):
    """The fewest bits with which the LSB of the uncalibrated ADC is one level."""
    rows = layout.tiling((40, 21), on).tile_rows * on.encoding.rows_per_input
    for bits in itertools.count(2):
        limit = float(conversion.full_scale_levels(on, settings.replace(adc_bits=float(bits)), rows))
        codes = 2 ** (bits - 1) - 1
        if limit <= codes * (1 if conversion.signed_currents(on, settings) else 2):
            return bits
    raise AssertionError


def test_flipping_saves_one_bit_and_no_more():
    """All weights at the top, all inputs too: the largest sums there are."""
    plain, flipped = ENCODINGS["offset"], ENCODINGS["offset, flipped"]
    x, w = np.full((1, 40), 15), np.full((40, 21), 15)
    w[:, ::2] = np.random.default_rng(1).integers(-15, 16, w[:, ::2].shape)
    settings = Settings(weight_range=15.0, input_range=15.0, input_signed=False)
    bits = lossless_bits(hardware(plain), settings)
    assert lossless_bits(hardware(flipped), settings) == bits - 1
    for encoding, width, exact in (
        (plain, bits, True),
        (plain, bits - 1, False),
        (flipped, bits - 1, True),
        (flipped, bits - 2, False),
    ):
        found = product(x, w, hardware(encoding), settings.replace(adc_bits=width))
        assert np.array_equal(found, x @ w) == exact


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_lowest_conductance_is_taken_off(name):
    encoding = ENCODINGS[name]
    x, w, settings = case(encoding)
    on = hardware(encoding, g_min=5e-6, adc_bits=None)
    np.testing.assert_allclose(product(x, w, on, settings), x @ w, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_wires_of_zero_resistance_change_nothing_and_real_ones_something(name):
    encoding = ENCODINGS[name]
    x, w, settings = case(encoding)
    none = product(x, w, hardware(encoding, g_min=1e-6, adc_bits=None), settings)
    for ohm, changed in ((0.0, False), (30.0, True)):
        on = hardware(encoding, g_min=1e-6, adc_bits=None, wires=Wires(ohm, ohm, ohm, ohm))
        found = product(x, w, on, settings)
        assert (np.abs(found - none).max() > 0.3) == changed
        np.testing.assert_allclose(found, none, atol=0.25 * np.abs(none).max())


def test_a_reference_column_suffers_from_wires_as_the_others_do():
    """What is common to all columns drops in the reference too, and is taken off as it is."""
    errors = {}
    for name in ("offset", "offset, zero column"):
        x, w, settings = case(ENCODINGS[name])
        on = hardware(ENCODINGS[name], g_min=4e-6, adc_bits=None, wires=Wires(20.0, 20.0, 20.0, 20.0))
        errors[name] = np.linalg.norm(product(x, w, on, settings) - x @ w)
    assert errors["offset, zero column"] < 0.8 * errors["offset"]


@pytest.mark.parametrize("name", ENCODINGS)
def test_gradient_of_the_product_is_that_of_a_matrix_product(name):
    encoding = ENCODINGS[name]
    x, w, settings = case(encoding)
    on = hardware(encoding, g_min=2e-6, adc_bits=None)
    c = np.random.default_rng(3).normal(size=(len(x), w.shape[1])).astype(np.float32)

    @jax.jit
    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.sum(c * imcjax.mvm(x, w, on, settings)), (0, 1))(x, w)

    inside = 0.9  # away from the ends of the ranges, where the gradient stops
    to_x, to_w = gradients(jnp.asarray(inside * x, jnp.float32), jnp.asarray(inside * w, jnp.float32))
    coded = np.rint(inside * w) if encoding.weight_bits > 1 else w
    np.testing.assert_allclose(to_x, c @ coded.T, atol=2e-3)
    np.testing.assert_allclose(to_w, np.rint(inside * x).T @ c, atol=2e-3)


def test_significance_fills_pairs_as_in_the_reference(reference_dir):
    reference = np.load(reference_dir / "aihwkit_converters.npz", allow_pickle=False)
    w = jnp.asarray(reference["w"])
    for name, encoding in (("dual_f3_1", MultiDevice(pairs=2, ratio=3.0)), ("npair_1_2_4", MultiDevice(pairs=3, ratio=2.0))):
        digits = encoding.split(w / jnp.max(jnp.abs(w)), None, encoding.pairs)
        g = encoding.encode(digits.values, 0.0, 25.0)
        np.testing.assert_allclose(g.reshape(-1, *w.shape), reference[f"{name}_g"], atol=1e-5)


@pytest.mark.parametrize("order", ["fill", "residual"])
@pytest.mark.parametrize("significance", [None, np.array([1.0, 2.0, 5.0])], ids=["powers", "given"])
def test_several_pairs_hold_continuous_weights_exactly_without_errors(order, significance):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 20)), rng.normal(size=(20, 7))
    encoding = MultiDevice(pairs=3, ratio=4.0, significance=significance, order=order)
    on = Hardware(encoding=encoding, device=Generic(g_min=1e-6), rows=16, cols=4)
    np.testing.assert_allclose(product(x, w, on, None), x @ w, rtol=1e-4, atol=1e-4)


def test_pairs_of_given_significance_by_hand():
    given = {"pairs": 3, "significance": np.array([1.0, 2.0, 5.0])}
    filled = MultiDevice(**given).split(jnp.asarray([[0.5, -0.125]]), None, 3)  # 4 and -1 of the 8 that all pairs hold
    np.testing.assert_allclose(filled.values[:, 0], [[1, -1], [1, 0], [0.2, 0]], atol=1e-6)
    np.testing.assert_allclose(filled.place, np.array([1, 2, 5]) / 8)
    residual = MultiDevice(**given, order="residual")
    np.testing.assert_allclose(residual.split(jnp.ones((1, 1)), None, 3).place, [1, 0.4, 0.2])
    missing = [float(residual.missing(jnp.asarray(0.3), jnp.asarray(0.4), s)) for s in (0, 1)]
    np.testing.assert_allclose(missing, [0.1 * 5 / 2, 0.1 * 2], rtol=1e-5)
    for wrong, message in (([1.0, 2.0], "one number for each of 3 pairs"), ([1.0, 5.0, 2.0], "does not rise")):
        with pytest.raises(imcjax.UserError, match=message):
            imcjax.hardware.check(Hardware(encoding=MultiDevice(pairs=3, significance=np.array(wrong))))


@pytest.mark.slow
def test_residual_write_verify_leaves_the_error_of_the_last_pair():
    w = np.random.default_rng(0).uniform(-1, 1, (64, 64))
    errors = []
    for pairs in (1, 2, 3):
        cell = Generic(g_min=1e-6, g_max=1e-4, program_sigma=0.02)
        on = Hardware(encoding=MultiDevice(pairs=pairs, ratio=8.0, order="residual"), device=cell, rows=64, cols=64)
        errors.append(np.std(product(np.eye(64), w, on, None, key=jax.random.key(0)) - w))
    assert errors[0] == pytest.approx(0.02 * np.sqrt(2) / 0.99, rel=0.3)  # two cells, one of them held at zero or above
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5


def test_columns_of_one_adc_group_share_it():
    @record
    class Spread(Adc):
        """Every converter adds its own number."""

        def draw(self, shape, key, dtype=jnp.float32):
            return jnp.arange(np.prod(shape), dtype=dtype).reshape(shape)

        def convert(self, currents, bits, current_range, state=None, key=None):
            return 0 * currents + state

    encoding = ENCODINGS["one-sided"]
    _, w, settings = case(encoding, n_in=10)
    on = hardware(encoding).replace(adc=Spread(bits=8, share=3.0))
    chip = imcjax.program(jnp.asarray(w, jnp.float32), on, settings)
    assert chip.adc.shape == (1, 1, 2, 21)  # K, T, S, N; tiles of 11 and 10 columns
    for tile in (chip.adc[0, 0, 0, :11], chip.adc[0, 0, 1, 11:]):
        steps = np.diff(np.asarray(tile)) != 0
        assert [i + 1 for i in np.flatnonzero(steps)] == [i for i in range(1, len(tile)) if i % 3 == 0]


def test_flip_beside_a_column_of_weight_zero_is_refused():
    on = hardware(Offset(weight_bits=5, cell_bits=2, flip=1, reference="zero_column"))
    with pytest.raises(imcjax.UserError, match="flip"):
        imcjax.program(jnp.eye(3), on)


def readouts(top):
    g_min, g_max = 1e-6, 1e-6 + top * 2.0**-17
    bits = round(np.log2(top + 1))
    return {
        "voltage": Voltage(),
        "charge": Charge(g_ref=g_max, c_parasitic=5e-15),
        "c2c": C2c(bits=bits, g_min=g_min, g_max=g_max, c_parasitic=5e-15),
        "digital": Digital(g_min=g_min, g_max=g_max, levels=2**bits),
    }


@pytest.mark.parametrize(
    "readout", ["voltage", *(pytest.param(name, marks=pytest.mark.slow) for name in ("charge", "c2c")), "digital"]
)
def test_every_readout_gives_the_product_with_every_encoding(readout):
    for name in ("subtracted digitally", "interleaved", "offset", "offset, unit column", "two's complement", "complementary"):
        encoding = ENCODINGS[name]
        x, w, settings = case(encoding)
        on = hardware(encoding, g_min=1e-6, adc_bits=None, readout=readouts(encoding.top_digit)[readout])
        np.testing.assert_allclose(product(x, w, on, settings), x @ w, atol=0 if readout == "digital" else 2e-3)


def test_columns_in_volts_are_not_subtracted_before_conversion():
    with pytest.raises(imcjax.UserError, match="subtract 'digital'"):
        imcjax.program(jnp.eye(3), hardware(ENCODINGS["one-sided"], readout=Voltage()))


def test_phases_that_share_their_charge_take_one_conversion():
    for name in ("one-sided", "offset", "offset, unit column"):
        encoding = ENCODINGS[name]
        x, w, settings = case(encoding)
        exact = hardware(encoding, g_min=1e-6, adc_bits=None, accumulation="analog")
        np.testing.assert_allclose(product(x, w, exact, settings), x @ w, atol=2e-3)
        converted = product(x, w, hardware(encoding, g_min=1e-6, adc_bits=10, accumulation="analog"), settings)
        assert 0 < np.abs(converted - x @ w).max() < 0.05 * np.abs(x @ w).max()


def test_an_unsigned_adc_converts_columns_that_are_never_negative_and_no_others():
    encoding = ENCODINGS["offset"]
    x, w, settings = case(encoding, signed=False)
    on = hardware(encoding).replace(adc=Uniform(bits=12, polarity="unsigned"))
    assert np.abs(product(x, w, on, settings) - x @ w).max() < 0.01 * np.abs(x @ w).max()
    with pytest.raises(imcjax.UserError, match="polarity is 'unsigned'"):
        product(x, w, on, settings.replace(input_signed=True, input_range=7.0))


@pytest.mark.parametrize(
    "noisy",
    [{"adc": Adc(bits=12, flaws=Flaws(noise_sigma=0.02))}, {"adc": Adc(), "readout": Charge(g_ref=3 * 2.0**-17, c_unit=1e-18)}],
    ids=["converter", "readout"],
)
def test_the_reference_column_of_an_array_is_converted_once_for_all_its_outputs(noisy):
    """Outputs of one array share the noise of that conversion, half of what they have; those of two arrays share nothing."""
    encoding = Offset(weight_bits=3, cell_bits=3, reference="zero_column")
    on = Hardware(encoding=encoding, device=Generic(g_min=0.0, g_max=7 * 2.0**-17), rows=8, cols=4, **noisy)
    if "readout" in noisy:
        on = on.replace(readout=noisy["readout"].replace(g_ref=on.device.g_max))
    x, w = jnp.ones((4000, 8)), jnp.zeros((8, 6))  # two arrays of three outputs, all as their reference
    settings = Settings(weight_range=3.0, input_range=1.0, input_signed=False)
    found = jax.jit(lambda key: imcjax.mvm(x, w, on, settings, key=key))(jax.random.key(0))
    expected = np.kron(np.eye(2), np.full((3, 3), 0.5)) + 0.5 * np.eye(6)
    np.testing.assert_allclose(np.corrcoef(np.asarray(found), rowvar=False), expected, atol=0.06)


def test_noise_of_phases_is_shared_as_their_charge_is():
    """Added before the phases are put together it is worth the same, whether that is done by charge or by logic."""
    readout = Charge(g_ref=7 * 2.0**-17, c_unit=1e-17)
    on = Hardware(
        encoding=Offset(weight_bits=3, cell_bits=3),
        dac=Dac(input_bits=4, bits=2),
        device=Generic(g_min=0.0, g_max=7 * 2.0**-17),
        readout=readout,
        rows=8,
        cols=4,
    )
    x, w = jnp.ones((4000, 8)), jnp.zeros((8, 3))
    settings = Settings(weight_range=3.0, input_range=1.0, input_signed=False)
    run = jax.jit(imcjax.mvm)
    by_logic, by_charge = (
        np.asarray(run(x, w, on.replace(accumulation=how), settings, key=jax.random.key(0))) for how in ("digital", "analog")
    )
    assert by_logic.std() > 0.01
    np.testing.assert_allclose(by_charge.std(), by_logic.std(), rtol=0.04)
