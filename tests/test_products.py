"""Options together: encodings, converters, wires, accumulation, in linear and convolution layers.

What one stage does must not depend on another one's choice. Every pair of options occurs in one of the combinations: all of
them together would take an hour to compile. Each gives a product that is near the exact one, and not it.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware
from imcjax.converters import Adc, Cyclic, Dac, Flash, Flaws, Pipeline, Ramp, Sar, Uniform, UniformDac
from imcjax.crossbar import Wires
from imcjax.devices import Generic
from imcjax.mapping import Complementary, Differential, MultiDevice, Offset, TwosComplement


ENCODINGS = {
    "one-sided": Differential(weight_bits=4, cell_bits=2),
    "two-sided, digital": Differential(weight_bits=4, cell_bits=1, common_mode=1.0, subtract="digital"),
    "interleaved": Differential(weight_bits=4, cell_bits=3, pairs="interleaved"),
    "offset, flipped": Offset(weight_bits=4, cell_bits=2, flip=1, reference="unit_column"),
    "two's complement": TwosComplement(weight_bits=4, cell_bits=1),
    "complementary": Complementary(),
    "several pairs": MultiDevice(pairs=2),
}
ADCS = {
    "sign-magnitude": Adc(bits=8, flaws=Flaws(gain_sigma=0.01, offset_sigma=0.002)),
    "uniform": Uniform(bits=8),
    "sar": Sar(bits=8, capacitor_sigma=0.02),
    "ramp": Ramp(bits=8),
    "flash": Flash(bits=6),
    "pipeline": Pipeline(bits=8),
    "cyclic": Cyclic(bits=8),
}
DACS = {
    "serial": Dac(input_bits=4, bits=1),
    "two's complement": Dac(input_bits=4, bits=2, signs="twos_complement"),
    "uniform": UniformDac(input_bits=4),
}
WIRES = {"no wires": None, "wires": Wires(1.0, 1.0, 2.0, 2.0)}
CELL = Generic(g_min=1e-6, g_max=5e-5, program_sigma=0.01, read_sigma=0.01)


def covering(*tables):
    """Combinations in which every pair of options of two tables occurs, few of them (greedy)."""
    every = list(itertools.product(*tables))
    missing = {(i, a, j, b) for i, j in itertools.combinations(range(len(tables)), 2) for a in tables[i] for b in tables[j]}
    chosen = []
    while missing:
        found = {
            row: {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(row)), 2)} & missing for row in every
        }
        best = max(every, key=lambda row: len(found[row]))
        chosen.append(best)
        missing -= found[best]
    return chosen


COMBINATIONS = covering(ENCODINGS, ADCS, DACS, WIRES, ("linear", "convolution"), ("digital", "analog"))


def layer_and_input(kind):
    rngs = nnx.Rngs(0)
    if kind == "linear":
        return nnx.Linear(20, 9, use_bias=False, rngs=rngs), jax.random.normal(jax.random.key(1), (6, 20))
    layer = nnx.Conv(4, 6, (3, 3), strides=2, use_bias=False, rngs=rngs)
    return layer, jax.random.normal(jax.random.key(1), (2, 7, 7, 4))


@pytest.mark.parametrize(
    "encoding, adc, dac, wires, kind, accumulation",
    [pytest.param(*row, marks=[] if place % 9 == 0 else pytest.mark.slow) for place, row in enumerate(COMBINATIONS)],
)
def test_every_pair_of_options_works_together(encoding, adc, dac, wires, kind, accumulation):
    if accumulation == "analog" and DACS[dac].signs == "twos_complement":
        accumulation = "digital"  # refused together, and tested there
    hardware = Hardware(
        rows=16,
        cols=8,
        encoding=ENCODINGS[encoding],
        dac=DACS[dac],
        device=CELL,
        wires=WIRES[wires],
        adc=ADCS[adc],
        accumulation=accumulation,
    )
    layer, x = layer_and_input(kind)
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
    error = np.linalg.norm(run(model, x) - exact) / np.linalg.norm(exact)
    assert error < 0.6
    assert error > 1e-4
