"""The DAC: voltages and phases counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Dac


@pytest.mark.parametrize(
    "input_bits, bits, phases, top", [(None, 1, 1, 1), (8, 1, 8, 1), (8, 4, 2, 15), (8, 8, 1, 255), (7, 3, 3, 7), (1, 1, 1, 1)]
)
def test_phases_and_largest_digit(input_bits, bits, phases, top):
    dac = Dac(input_bits=input_bits, bits=bits)
    assert dac.phases == phases
    assert dac.top_digit == top


def test_voltages_are_digits_of_the_read_voltage():
    dac = Dac(input_bits=6, bits=3, v_read=0.35)
    digits = jnp.arange(-7.0, 8)
    np.testing.assert_allclose(dac.voltages(digits), np.arange(-7, 8) * 0.05, rtol=1e-6)
    assert dac.volt_per_digit == pytest.approx(0.05)
    assert Dac(v_read=0.35).voltages(jnp.float32(0.5)) == pytest.approx(0.175)


def test_gradient_to_the_read_voltage():
    found = jax.grad(lambda v: Dac(input_bits=4, bits=2, v_read=v).voltages(jnp.float32(2.0)))(0.3)
    assert found == pytest.approx(2 / 3)
