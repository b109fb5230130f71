"""Agreement with CrossSim 3.2.0: its weights, inputs and converters through our path, output by output."""

import jax
import numpy as np
import pytest

from imcjax import Hardware, Settings, devices, mvm, pipeline
from imcjax.converters import Adc, Dac
from imcjax.mapping import Differential


G_MAX, V_READ = 1e-4, 0.1


def technology(cell_bits):
    """CrossSim's array: 1 % of Gmax at weight zero, sign and 7 bits of magnitude in one input phase, one array of 64 rows."""
    return Hardware(
        rows=64,
        cols=64,
        encoding=Differential(weight_bits=8, cell_bits=cell_bits),
        dac=Dac(input_bits=8, bits=7, v_read=V_READ),
        device=devices.Generic(g_min=0.01 * G_MAX, g_max=G_MAX),
        adc=Adc(bits=8),
    )


CASES = [
    # file, bits of a cell, ADC range in Gmax * Vread
    ("01_balanced_quant", 7, 6.0),
    ("02_bitsliced_balanced", 2, 64.0),
]


@pytest.mark.parametrize("name, cell_bits, limit", CASES)
def test_outputs_and_conductances_agree(reference_dir, name, cell_bits, limit):
    reference = np.load(reference_dir / f"crosssim_{name}.npz", allow_pickle=False)
    hardware = technology(cell_bits)
    # Their conversion ranges over inputs in [-1, 1] and outputs in +-limit; float64 decides ties as their NumPy does.
    with jax.enable_x64(True):
        settings = Settings(input_range=1.0, adc_range=limit * G_MAX * V_READ)
        w, x = reference["W"].T, reference["X"].T
        cells = pipeline.program(w, hardware, settings).state.g / G_MAX  # (S, 2, 1, 1, n_in, n_out)
        for k, theirs in enumerate((reference["gpos"], reference["gneg"])):
            # They store the conductances of 01 before rounding to the levels of the cells.
            levels = 2**cell_bits - 1
            theirs = 0.01 + np.rint((np.reshape(theirs, (-1, 48, 64)).astype(float) - 0.01) * levels / 0.99) * 0.99 / levels
            np.testing.assert_allclose(cells[:, k, 0, 0].swapaxes(-1, -2), theirs, atol=1e-9)
        found = jax.jit(lambda x, w: mvm(x, w, hardware, settings))(x, w)
        assert found.dtype == np.float64
    np.testing.assert_allclose(found.T, reference["Y"], atol=1e-6 * np.abs(reference["Y"]).max())


@pytest.mark.parametrize("name, cell_bits, limit", CASES)
def test_float32_differs_by_single_codes_at_most(reference_dir, name, cell_bits, limit):
    reference = np.load(reference_dir / f"crosssim_{name}.npz", allow_pickle=False)
    settings = Settings(input_range=1.0, adc_range=limit * G_MAX * V_READ)
    found = jax.jit(lambda x, w: mvm(x, w, technology(cell_bits), settings))(reference["X"].T, reference["W"].T)
    differs = np.abs(found.T - reference["Y"]) > 1e-4 * np.abs(reference["Y"]).max()
    assert differs.mean() < 0.005


def test_their_effective_weights_are_ours_without_converters(reference_dir):
    reference = np.load(reference_dir / "crosssim_01_balanced_quant.npz", allow_pickle=False)
    hardware = technology(7).replace(adc=Adc(), dac=Dac())
    found = mvm(np.eye(64), reference["W"].T, hardware)
    np.testing.assert_allclose(found.T, reference["Weff"], atol=2e-6)
