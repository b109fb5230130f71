"""Slopes to the flaws of a circuit: those of its mean response to many inputs, which is smooth where single codes are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Cyclic, Flash, Flaws, Ladder, Pipeline, Ramp, Sar, Uniform
from imcjax.fast_random import fast_key


BITS = 5
DATA_SHEET = {"gain_sigma": 0.01, "offset_sigma": 0.01, "inl": 0.3, "dnl_sigma": 0.05, "noise_sigma": 0.01}
CAPACITORS = {"c1_sigma": 0.01, "c2_sigma": 0.01}
LADDER = {"capacitor_sigma": 0.02, "offset_sigma": 0.01, "noise_sigma": 0.01, "gain_db": 50.0}
FLASH = {"resistor_sigma": 0.05, "offset_sigma": 0.005, "noise_sigma": 0.01}
# Of every flaw, a size at which codes still change in proportion to it.
CASES = {
    "uniform": (lambda **numbers: Uniform(bits=BITS, flaws=Flaws(**numbers)), DATA_SHEET),
    "sar": (lambda **numbers: Sar(bits=BITS, **numbers), LADDER),
    "sar, binary": (lambda **numbers: Sar(bits=BITS, array="binary", **numbers), {"capacitor_sigma": 0.02, "gain_db": 50.0}),
    "ramp": (lambda **numbers: Ramp(bits=BITS, **numbers), LADDER | {"slope_sigma": 0.01, "bow_sigma": 0.01}),
    "flash": (
        lambda **numbers: Flash(bits=BITS, **numbers),
        FLASH,
    ),
    "ladder": (
        lambda **numbers: Ladder.from_levels(np.linspace(-1, 1, 2**BITS), **numbers),
        {"threshold_sigma": 0.005, "noise_sigma": 0.01},
    ),
    # Offsets move decisions too, which costs nothing where the stages are right; so they stand apart from the gain.
    "pipeline": (lambda **numbers: Pipeline(bits=BITS, **numbers), CAPACITORS | {"offset_sigma": 0.01}),
    "cyclic": (lambda **numbers: Cyclic(bits=BITS, **numbers), CAPACITORS | {"parasitic_sigma": 0.1, "gain_db": 50.0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_slopes_are_those_of_the_mean_response(name):
    build, sizes = CASES[name]
    with jax.enable_x64(True):
        x = jnp.linspace(-0.9, 0.9, 40_001)
        # Odd responses do not cancel, and no code is cut in two at the ends.
        weights = (1 + jnp.sin(5 * x)) * jnp.cos(jnp.pi * x / 1.8) ** 2

        @jax.jit
        @jax.value_and_grad
        def mean(numbers):
            circuit = build(**numbers)
            state = circuit.draw((), fast_key(4), jnp.float64)
            return jnp.mean(weights * circuit.convert(x, float(BITS), 1.0, state, fast_key(5)))

        # Where all of them are zero, present as they are; the gain has no zero.
        zero = {field: size if field == "gain_db" else 0.0 for field, size in sizes.items()}
        slopes = mean(zero)[1]
        for field, size in sizes.items():
            size = 1.0 if field == "gain_db" else size
            quotient = (mean(zero | {field: zero[field] + size})[0] - mean(zero | {field: zero[field] - size})[0]) / (2 * size)
            # A response of 1 LSB at the flaw's size is what matters; thousandths of that are lost between the inputs.
            lost = (0.01 if field == "noise_sigma" else 0.002) * 2**-BITS / size  # noise differs from input to input
            assert slopes[field] == pytest.approx(float(quotient), rel=0.1, abs=lost), field
