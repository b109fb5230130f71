"""A small layer whose cost can be counted by hand."""

import jax.numpy as jnp
import numpy as np

from imcjax import Hardware, Settings, cost, devices
from imcjax.converters import Adc, Dac
from imcjax.mapping import Differential


HARDWARE = Hardware(
    rows=16,
    cols=12,
    encoding=Differential(weight_bits=8, cell_bits=2),
    dac=Dac(input_bits=8, bits=3, v_read=0.2),
    device=devices.Generic(g_min=1e-6, g_max=40e-6),
    adc=Adc(bits=8, share=4.0),
)
WORK = cost.Work("fc", n_in=40, n_out=20, positions=3)  # 3 row tiles, 2 column tiles


def settings(bits: cost.Bits) -> Settings:
    return Settings(weight_bits=bits.weight, input_bits=bits.input, adc_bits=bits.adc)


def data(n_in: int = 40, n_out: int = 20, samples: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(samples, n_in)), rng.normal(size=(n_in, n_out))


def measured(bits: cost.Bits, hardware: Hardware = HARDWARE):
    """(activity, row conductance) of the example's data, of the dtype in force."""
    x, w = (jnp.asarray(a, dtype=float) for a in data())
    return cost.measure(x, settings(bits), hardware), cost.row_conductance(w, hardware, settings(bits))
