"""Options together: encodings, converters, readouts, wires, accumulation, in linear and convolution layers.

What one stage does must not depend on another one's choice. Every pair of options that go together occurs in one of the
combinations: all of them together would take an hour to compile. Each gives a product that is near the exact one, and not it.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, UserError
from imcjax.converters import Adc, Cyclic, Dac, Flash, Flaws, Ladder, Pipeline, Ramp, Sar, SenseAmplifier, Uniform, UniformDac
from imcjax.crossbar import Wires
from imcjax.devices import Generic
from imcjax.hardware import check
from imcjax.mapping import Complementary, Differential, MultiDevice, Offset, TwosComplement
from imcjax.readout import C2c, Charge, Current, Digital, Voltage


ENCODINGS = {
    "one-sided": Differential(weight_bits=4, cell_bits=2),
    "two-sided, digital": Differential(weight_bits=4, cell_bits=1, common_mode=1.0, subtract="digital"),
    "interleaved": Differential(weight_bits=4, cell_bits=3, pairs="interleaved"),
    "offset, flipped": Offset(weight_bits=4, cell_bits=2, flip=1, reference="unit_column"),
    "two's complement": TwosComplement(weight_bits=4, cell_bits=1),
    "complementary": Complementary(),
    "several pairs": MultiDevice(pairs=2),
    "residual": MultiDevice(pairs=2, order="residual"),
}
ADCS = {
    "none": Adc(),
    "sign-magnitude": Adc(bits=8, flaws=Flaws(gain_sigma=0.01, offset_sigma=0.002, noise_sigma=0.002)),
    "uniform": Uniform(bits=8),
    "sar": Sar(bits=8, capacitor_sigma=0.02),
    "ramp": Ramp(bits=8),
    "flash": Flash(bits=6),
    "pipeline": Pipeline(bits=8),
    "cyclic": Cyclic(bits=8),
    "ladder": Ladder.from_levels(np.tanh(np.linspace(-1.5, 1.5, 63)) / np.tanh(1.5), threshold_sigma=0.002),
    "sense amplifier": SenseAmplifier(offset_sigma=0.01),
}
DACS = {
    "serial": Dac(input_bits=4, bits=1),
    "two's complement": Dac(input_bits=4, bits=2, signs="twos_complement"),
    "uniform": UniformDac(input_bits=4),
}
WIRES = {"no wires": None, "wires": Wires(1.0, 1.0, 2.0, 2.0)}
CELL = Generic(g_min=1e-6, g_max=5e-5, program_sigma=0.01, read_sigma=0.01)
READOUTS = {
    "current": lambda encoding: Current(),
    "voltage": lambda encoding: Voltage(),
    "charge": lambda encoding: Charge(g_ref=5e-5, sigma=0.01),
    "c2c": lambda encoding: C2c(bits=encoding.cell_bits, g_min=1e-6, g_max=5e-5, sigma=0.01),
    "digital": lambda encoding: Digital(g_min=1e-6, g_max=5e-5, levels=encoding.top_digit + 1),
}
TABLES = (ENCODINGS, ADCS, DACS, READOUTS, ("digital", "analog"), WIRES, ("linear", "convolution"))


def technology(encoding, adc, dac, readout, accumulation, wires="no wires"):
    return Hardware(
        rows=16,
        cols=8,
        encoding=ENCODINGS[encoding],
        dac=DACS[dac],
        device=CELL,
        wires=WIRES[wires],
        readout=READOUTS[readout](ENCODINGS[encoding]),
        adc=ADCS[adc],
        accumulation=accumulation,
    )


def go_together(encoding, adc, dac, readout, accumulation):
    """What is refused, said once more: the test below compares."""
    held = ENCODINGS[encoding]
    volts = readout in ("voltage", "charge", "c2c")
    if volts and held.cells == 2 and held.columns == 1 and not held.interleaved:
        return False  # columns with scales of their own cannot be subtracted before conversion
    if readout == "c2c" and getattr(held, "common_mode", 0):
        return False  # cells between digits, of which ladders know none
    if accumulation == "analog" and dac == "two's complement":
        return False  # a phase that counts negatively shares no charge
    if readout != "digital":
        return True
    whole = held.weight_bits is not None and not getattr(held, "common_mode", 0)
    return adc == "none" and dac != "uniform" and accumulation == "digital" and whole


def covering(*tables):
    """Combinations in which every pair of options of two tables that can occur does occur, few of them (greedy)."""
    every = [row for row in itertools.product(*tables) if go_together(*row[:5])]
    places = [{option: place for place, option in enumerate(table)} for table in tables]
    ends = np.cumsum([0, *map(len, tables)])
    options = np.array([[place[option] for place, option in zip(places, row, strict=True)] for row in every]) + ends[:-1]
    couples = np.stack([options[:, i] * ends[-1] + options[:, j] for i, j in itertools.combinations(range(len(tables)), 2)], 1)
    missing = np.zeros(ends[-1] ** 2, bool)
    missing[couples] = True
    chosen = []
    while missing.any():
        best = missing[couples].sum(1).argmax()
        chosen.append(every[best])
        missing[couples[best]] = False
    return chosen


COMBINATIONS = covering(*TABLES)


def test_what_is_left_out_is_refused_and_nothing_else():
    for row in itertools.product(ENCODINGS, ("none", "uniform"), DACS, READOUTS, ("digital", "analog")):
        if go_together(*row):
            check(technology(*row))
        else:
            with pytest.raises(UserError, match=r"give|leave|set|make"):
                check(technology(*row))


def layer_and_input(kind):
    rngs = nnx.Rngs(0)
    if kind == "linear":
        return nnx.Linear(20, 9, use_bias=False, rngs=rngs), jax.random.normal(jax.random.key(1), (6, 20))
    layer = nnx.Conv(4, 6, (3, 3), strides=2, use_bias=False, rngs=rngs)
    return layer, jax.random.normal(jax.random.key(1), (2, 7, 7, 4))


@pytest.mark.parametrize(
    "encoding, adc, dac, readout, accumulation, wires, kind",
    [pytest.param(*row, marks=[] if place % 18 == 0 else pytest.mark.slow) for place, row in enumerate(COMBINATIONS)],
)
def test_every_pair_of_options_works_together(encoding, adc, dac, readout, accumulation, wires, kind):
    layer, x = layer_and_input(kind)
    hardware = technology(encoding, adc, dac, readout, accumulation, wires)
    model = imcjax.convert(layer, hardware, rngs=nnx.Rngs(imc=3))
    imcjax.calibrate(model, [x])

    @nnx.jit
    def run(model, x):
        return model(x)

    exact = layer(x)
    if encoding == "complementary":  # binary weights are another matrix
        binary = jnp.sign(layer.kernel[...]) * jnp.mean(jnp.abs(layer.kernel[...]))
        layer.kernel[...] = binary
        exact = layer(x)
    found = np.asarray(run(model, x))
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    if adc == "sense amplifier":  # one bit for each partial sum says little, but not nothing
        assert np.corrcoef(found.ravel(), np.ravel(exact))[0, 1] > 0.3
    else:
        assert error < 0.6
    assert error > 1e-4
