"""The trained forward pass against a simulation of the chip in whole numbers, which shares no line with it.

Codes, digits, tiles, phases and the codes of ADCs are int64 in NumPy: they have to be the same, and outputs the same to the
last digit of their common scale. No sum is on a threshold, where two simulations may differ as two chips do; but where sums of
zero have to be decided (an even number of levels around zero), digits have one bit, with which float32 is exact.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, UserError, nn
from imcjax.codesign import SearchedAdc, require_realisable
from imcjax.converters import Adc, Dac, Flash, Ladder, Sar, SenseAmplifier, Uniform
from imcjax.devices import Generic
from imcjax.mapping import Differential, Offset, TwosComplement
from imcjax.nn import operators
from imcjax.training import Options, by_kind, fit


# The current of one weight digit under one input digit is `UNIT` whatever the digits.
CELLS = {k: Generic(g_min=0.0, g_max=(2**k - 1) * 2.0**-18) for k in (1, 2, 3)}
VOLTS = {k: (2**k - 1) * 2.0**-6 for k in (1, 2, 3, 4)}
UNIT = 2.0**-24  # ampere


class Chip(NamedTuple):
    """One sum of everything below, in whole numbers: (T, P, B, S, N) sums and codes, (B, N) outputs."""

    sums: np.ndarray
    codes: np.ndarray
    outputs: np.ndarray


def digits_of(codes, bits, count):
    return np.stack([codes // 2 ** (bits * s) % 2**bits for s in range(count)])


def weight_digits(codes, hardware, bits):
    """(S, n_in, n_out) digits, their places, and the digits of weight zero."""
    encoding = hardware.encoding
    k = encoding.cell_bits
    if encoding.kind == "differential":
        count = -(-(bits - 1) // k)
        return np.sign(codes) * digits_of(np.abs(codes), k, count), 2 ** (k * np.arange(count)), np.zeros(count, np.int64)
    if encoding.kind == "offset":
        count = -(-bits // k)
        places = 2 ** (k * np.arange(count))
        return digits_of(codes + 2 ** (bits - 1), k, count), places, digits_of(np.int64(2 ** (bits - 1)), k, count)
    count = -(-(bits - 1) // k)
    negative = (codes < 0).astype(np.int64)
    lower = digits_of(codes + negative * 2 ** (bits - 1), k, count)
    places = np.append(2 ** (k * np.arange(count)), -(2 ** (bits - 1)))
    return np.concatenate([lower, negative[None]]), places, np.zeros(count + 1, np.int64)


def convert(sums, hardware, bits, limit, signed):
    """Codes of sums in levels, and (what code 0 says, what a code more adds) in levels."""
    kind = hardware.adc.kind
    seen = sums if signed else 2 * sums - limit
    if kind in ("sign_magnitude", "searched") and bits > 1:
        top = 2 ** (bits - 1) - 1
        codes, levels = np.rint(np.clip(seen, -limit, limit) * top / limit) + top, 2 * top + 1
    elif kind == "sense_amplifier" or bits == 1:
        codes, levels = (seen > 0) if kind == "sense_amplifier" else (seen >= 0), 2
    else:
        levels = 2**bits
        codes = np.clip(np.rint(seen * (levels - 1) / (2 * limit) + (levels - 1) / 2), 0, levels - 1)
    low = -limit if signed else 0 * limit
    return codes.astype(np.int64), low, (limit - low) / (levels - 1)


def simulate(x_codes, w_codes, hardware, weight_bits, input_bits, adc_bits, limit, *, signed=False):
    """(B, n_in) by (n_in, n_out) codes; `limit` in levels, broadcasting against (T, P, B, S, N)."""
    n_in, n_out = w_codes.shape
    values, places, zero = weight_digits(w_codes, hardware, weight_bits)
    d = hardware.dac.bits
    count = max(1, -(-(input_bits - signed) // d))
    phases = np.sign(x_codes) * digits_of(np.abs(x_codes), d, count)
    tiles = -(-n_in // hardware.rows)
    rows = -(-n_in // tiles) if hardware.partition == "even" else hardware.rows
    sums = np.zeros((tiles, count, len(x_codes), len(values), n_out), np.int64)
    inputs = np.zeros((tiles, count, len(x_codes)), np.int64)
    for t in range(tiles):
        part = slice(t * rows, min((t + 1) * rows, n_in))
        sums[t] = np.einsum("pbi,sin->pbsn", phases[..., part], values[:, part])
        inputs[t] = phases[..., part].sum(-1)
    codes, low, step = convert(sums, hardware, adc_bits, np.asarray(limit, float), signed or hardware.encoding.signed_columns)
    said = low + codes * step  # levels
    recovered = said - zero[:, None] * inputs[..., None, None]
    outputs = np.einsum("tpbsn,p,s->bn", recovered, 2 ** (d * np.arange(count)), places)
    return Chip(sums, codes, outputs)


def operands(seed, batch, n_in, n_out, weight_bits, input_bits, signed):
    rng = np.random.default_rng(seed)
    top_w, top_x = 2 ** (weight_bits - 1) - 1, 2 ** (input_bits - signed) - 1
    x = rng.integers(-top_x if signed else 0, top_x + 1, (batch, n_in))
    return x, rng.integers(-top_w, top_w + 1, (n_in, n_out))


def off_grid(codes, seed):
    """Numbers that round to the codes."""
    return codes + np.random.default_rng(seed).uniform(-0.3, 0.3, codes.shape)


CASES = {
    "one slice, ternary": (Differential(weight_bits=4, cell_bits=3), Dac(4, 4), Adc(bits=2), 33.0, False),
    "slices and phases": (Differential(weight_bits=5, cell_bits=2), Dac(4, 2), Adc(bits=4), 35.0, True),
    "slices and phases, binary": (Differential(weight_bits=4, cell_bits=1), Dac(4, 1), SenseAmplifier(), 8.0, True),
    "slices and phases, four levels": (Differential(weight_bits=4, cell_bits=1), Dac(4, 1), Uniform(bits=2), 6.0, False),
    "offset, four bits": (Offset(weight_bits=4, cell_bits=2), Dac(4, 2), Uniform(bits=4), 75.0, False),
    "offset, signed inputs": (Offset(weight_bits=3, cell_bits=1), Dac(3, 1), Adc(bits=4), 7.0, True),
    "two's complement, binary": (TwosComplement(weight_bits=4, cell_bits=1), Dac(3, 1), SenseAmplifier(), 5.0, False),
    "two's complement, SAR": (TwosComplement(weight_bits=4, cell_bits=3), Dac(2, 2), Sar(bits=4), 45.0, False),
}


def technology(encoding, dac, adc, **more):
    cell, volts = CELLS[encoding.cell_bits], VOLTS[dac.bits]
    return Hardware(rows=16, cols=8, encoding=encoding, dac=dac.replace(v_read=volts), device=cell, adc=adc, **more)


@nnx.jit
def run(model, x):
    return model(x)


def placed(layer, hardware, signed, weight_range, input_range, adc_range):
    model = imcjax.convert(layer, hardware)
    (operator,) = operators(model).values()
    operator.input_signed = signed
    for name, value in (("weight_range", weight_range), ("input_range", input_range), ("adc_range", adc_range)):
        operator.set_range(name, value)
    return model


def check_outputs(y, chip):
    """One output code is worth 0.125."""
    np.testing.assert_allclose(y, chip.outputs * 0.125, rtol=0, atol=1e-6 * np.abs(chip.outputs).max() * 0.125)
    assert len(np.unique(chip.codes)) > 1


QUICK = ("one slice, ternary", "slices and phases, binary", "offset, four bits")


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES])
def test_linear_layers_are_the_chip(case):
    encoding, dac, adc, limit, signed = CASES[case]
    partition = "even" if signed else "full"
    hardware = technology(encoding, dac, adc, partition=partition)
    wb, xb, ab = encoding.weight_bits, dac.input_bits, adc.bits
    x, w = operands(1, 9, 37, 11, wb, xb, signed)  # 37 rows on arrays of 16, 11 columns on arrays of 8
    layer = nnx.Linear(37, 11, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = jnp.asarray(off_grid(w, 2) * 0.25)
    model = placed(layer, hardware, signed, (2 ** (wb - 1) - 1) * 0.25, (2 ** (xb - signed) - 1) * 0.5, limit * UNIT)
    inputs = jnp.asarray(off_grid(x, 3) * 0.5, jnp.float32)
    chip = simulate(x, w, hardware, wb, xb, ab, limit, signed=signed)
    (found,) = nn.partial_sums(model, inputs)[""]
    used = np.asarray(found.place)[0] > 0  # there may be phases for wider inputs
    np.testing.assert_allclose(np.asarray(found.sums)[0, 0][:, used], chip.sums, rtol=3e-7, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(found.codes)[0, 0][:, used], chip.codes)
    check_outputs(run(model, inputs), chip)


CONVOLUTIONS = [
    (SenseAmplifier(), 4.0, 1),
    pytest.param(Adc(bits=2), 133.0, 4, marks=pytest.mark.slow),
    pytest.param(Adc(bits=4), 35.0, 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("adc, limit, digit_bits", CONVOLUTIONS)
def test_convolutions_are_the_chip(adc, limit, digit_bits):
    encoding, dac = Differential(weight_bits=4, cell_bits=min(digit_bits, 3)), Dac(4, digit_bits)
    hardware = technology(encoding, dac, adc)
    rng = np.random.default_rng(5)
    x, w = rng.integers(0, 16, (2, 6, 6, 3)), rng.integers(-7, 8, (3, 3, 3, 5))
    layer = nnx.Conv(3, 5, (3, 3), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = jnp.asarray(off_grid(w, 2) * 0.25)
    model = placed(layer, hardware, False, 7 * 0.25, 15 * 0.5, limit * UNIT)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # (b, y, x, channels, 3, 3)
    rows = np.moveaxis(windows, 3, -1).reshape(2 * 4 * 4, 27)
    chip = simulate(rows, w.reshape(27, 5), hardware, 4, 4, adc.bits, limit)
    inputs = jnp.asarray(off_grid(x, 3) * 0.5, jnp.float32)
    (found,) = nn.partial_sums(model, inputs)[""]
    np.testing.assert_array_equal(np.asarray(found.codes)[0, 0], chip.codes)
    check_outputs(run(model, inputs).reshape(-1, 5), chip)


class Net(nnx.Module):
    def __init__(self):
        self.conv = nnx.Conv(2, 6, (3, 3), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
        self.out = nnx.Linear(96, 4, use_bias=False, rngs=nnx.Rngs(1))

    def __call__(self, x):
        x = nnx.relu(self.conv(x))
        return self.out(x.reshape(len(x), -1))


RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (96, 6, 6, 2)).astype(np.float32)
LABELS = (2 * (IMAGES[:, :3].mean((1, 2, 3)) > IMAGES[:, 3:].mean((1, 2, 3))) + (IMAGES[..., 0].mean((1, 2)) > 0.5)).astype(int)
# Units that are no powers of two, so that nothing is exact by construction.
PLAIN = Hardware(
    rows=16, cols=8, encoding=Differential(weight_bits=4, cell_bits=3), dac=Dac(4, 4), device=Generic(g_min=0.0, g_max=1e-4)
)


def calibrated(adc, per="tensor"):
    model = imcjax.convert(Net(), PLAIN.replace(adc=adc))
    imcjax.calibrate(model, [IMAGES[:32]], rule="csnr", per=per, progress=False)
    return model


def trained(model, steps=4, learn=("weights", "ranges"), **optimizers):
    optimizer = by_kind(optax.adam(3e-3), **({"ranges": optax.adam(3e-2)} | optimizers))
    return fit(model, IMAGES, LABELS, optimizer=optimizer, steps=steps, batch=32, options=Options(learn=learn), progress=False)


def quantized(values, limit, top, low):
    """The codes of numbers, in the arithmetic of the digital side: float32."""
    values, limit = np.asarray(values, np.float32), np.float32(limit)
    return np.rint(np.clip(values, low * limit, limit) * (np.float32(top) / limit)).astype(np.int64), limit / np.float32(top)


@pytest.mark.parametrize("per", ["tile_column", pytest.param("tensor", marks=pytest.mark.slow)])
def test_a_trained_model_is_the_chip(per):
    """Weights and ranges that training found, layer for layer."""
    adc = Adc(bits=2) if per == "tensor" else Adc(bits=4)
    before = calibrated(adc, per)
    model = trained(before).model
    x = jnp.asarray(IMAGES[:8])
    hidden = np.asarray(nnx.relu(run(model.conv, x))).reshape(8, -1)
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(x), (3, 3), axis=(1, 2))
    inputs = {"conv": np.moveaxis(windows, 3, -1).reshape(-1, 18), "out": hidden}
    outputs = {"conv": np.asarray(run(model.conv, x)).reshape(-1, 6), "out": np.asarray(run(model, x))}
    found = nn.partial_sums(model, x)
    unit = 1e-4 / 7 * 0.2 / 15
    for path, operator in operators(model).items():
        settings = operator.settings()
        kernel = np.asarray(getattr(model, path).kernel[...])
        w, w_step = quantized(kernel.reshape(-1, kernel.shape[-1]), settings.weight_range, 7, -1)
        v, x_step = quantized(inputs[path], settings.input_range, 15, 0)
        limit = np.asarray(settings.adc_range, float) / unit
        chip = simulate(v, w, operator.technology, 4, 4, adc.bits, limit)
        (call,) = found[path]
        np.testing.assert_array_equal(np.rint(np.asarray(call.sums)[0, 0]), chip.sums)
        np.testing.assert_array_equal(np.asarray(call.codes)[0, 0], chip.codes)
        wanted = chip.outputs * float(w_step) * float(x_step)
        np.testing.assert_allclose(outputs[path], wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())
    for name in ("weight_range", "input_range", "adc_range"):  # all of them have learned
        moved = [getattr(op, name).get_value() for op in (before.out.dot_general, model.out.dot_general)]
        assert not np.allclose(moved[0], moved[1], rtol=1e-3)


def test_ternary_is_a_sign_magnitude_adc_of_two_bits():
    currents = jnp.linspace(-2, 2, 401)[1:-1:2] + 1e-4
    found = Adc(bits=2).convert(currents, 2.0, 1.0)
    assert set(np.unique(found)) == {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(found, Ladder.from_levels([-1, 0, 1]).convert(currents, 2.0, 1.0))
    np.testing.assert_array_equal(found, np.where(np.abs(currents) > 0.5, np.sign(currents), 0))


def test_ranges_are_dynamic_until_calibrated_and_then_a_sample_does_not_depend_on_its_batch():
    model = imcjax.convert(Net(), PLAIN.replace(adc=Adc(bits=12)))
    assert [layer.ranges for layer in imcjax.summary(model).layers] == ["dynamic", "dynamic"]
    x, beside = jnp.asarray(IMAGES[:4]), jnp.asarray(IMAGES[:4]).at[1:].multiply(3.0)
    assert not np.array_equal(run(model, x)[0], run(model, beside)[0])
    with pytest.raises(UserError, match="'conv' has a dynamic input range"):
        require_realisable(model, x)
    model = trained(calibrated(Adc(bits=3), "column")).model
    assert [layer.ranges for layer in imcjax.summary(model).layers] == ["static", "static"]
    np.testing.assert_array_equal(run(model, x)[0], run(model, beside)[0])
    require_realisable(model, x)


def test_what_no_chip_has_is_refused():
    x = jnp.asarray(IMAGES[:4])
    model = calibrated(SearchedAdc(4))
    model.out.dot_general.adc_bits.set_value(jnp.asarray([2.0, 2.6]))
    with pytest.raises(UserError, match=r"'out' has adc_bits .*whole"):
        require_realisable(model, x)
    with pytest.raises(UserError, match="at least two"):
        require_realisable(model, x[:1])
    normed = imcjax.convert(nnx.Sequential(Net(), nnx.BatchNorm(4, rngs=nnx.Rngs(0))), PLAIN.replace(adc=Adc(bits=4)))
    imcjax.calibrate(normed, [IMAGES[:32]], progress=False)
    with pytest.raises(UserError, match="depend on the others in its batch"):
        require_realisable(normed, x)
    normed.eval()
    require_realisable(normed, x)
    with pytest.raises(UserError, match="not equally spaced"):
        nn.partial_sums(calibrated(Ladder.from_levels([-1, 0.2, 1])), x)
    with pytest.raises(UserError, match="no static adc_range"):
        trained(imcjax.convert(Net(), PLAIN.replace(adc=Adc(bits=4))), learn=("adc_range",))
    with pytest.raises(UserError, match="learn holds 'range'"):
        trained(model, learn=("range",))


@pytest.mark.slow
def test_flash_has_the_codes_of_the_uniform_adc():
    model = calibrated(Flash(bits=3))
    other = calibrated(Uniform(bits=3))
    for found, wanted in zip(nn.partial_sums(model, IMAGES[:4]).values(), nn.partial_sums(other, IMAGES[:4]).values()):
        decided = np.abs(found[0].sums) > 1e-3  # zero is on a threshold
        np.testing.assert_array_equal(found[0].codes[decided], wanted[0].codes[decided])
        assert set(np.unique(found[0].codes)) == set(range(8))
