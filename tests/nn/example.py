"""Small models and hardware, and what the tests ask of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax import Hardware, devices
from imcjax.converters import Adc, Dac
from imcjax.crossbar import Wires
from imcjax.mapping import Differential


QUANTIZED = Hardware(
    name="quantized",
    rows=8,
    cols=4,
    encoding=Differential(weight_bits=6, cell_bits=2),
    dac=Dac(input_bits=6, bits=3, v_read=0.2),
    device=devices.Generic(g_min=1e-6, g_max=40e-6),
    adc=Adc(bits=8),
)
NOISY = QUANTIZED.replace(name="noisy", device=devices.Generic(1e-6, 40e-6, program_sigma=0.05, read_sigma=0.05))
WIRED = QUANTIZED.replace(name="wired", wires=Wires(5.0, 4.0, 50.0, 30.0), solver="pade")
SMOOTH = Hardware(name="smooth", rows=8, cols=4, wires=Wires(5.0, 4.0, 50.0, 30.0), solver="pade")
"""Nothing rounds, so that finite differences mean something."""


class Net(nnx.Module):
    """Two Linear layers."""

    def __init__(self, rngs: nnx.Rngs, n_in: int = 10, hidden: int = 6, n_out: int = 3):
        self.first = nnx.Linear(n_in, hidden, bias_init=nnx.initializers.normal(), rngs=rngs)
        self.second = nnx.Linear(hidden, n_out, bias_init=nnx.initializers.normal(), rngs=rngs)
        self.label = "mine"

    def features(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.first(x))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(self.features(x))


class Twins(nnx.Module):
    """Two layers of the same weights on the same input, for what differs between layers."""

    def __init__(self, rngs: nnx.Rngs):
        self.a = nnx.Linear(10, 6, rngs=rngs)
        self.b = nnx.Linear(10, 6, rngs=rngs)
        self.b.kernel.set_value(self.a.kernel.get_value())

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.a(x), self.b(x)


def net() -> Net:
    return Net(nnx.Rngs(0))


def data(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@nnx.jit
def run(model, x):
    return model(jnp.asarray(x))


def close(found, wanted, rtol: float = 1e-5) -> None:
    """Equal to `rtol` of the largest output."""
    wanted = np.asarray(wanted)
    assert np.shape(found) == wanted.shape
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=0, atol=rtol * np.abs(wanted).max())
