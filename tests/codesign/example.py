"""A network small enough that every design can be looked at, its layers not in alphabetical order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax import Hardware, calibrate, convert, devices
from imcjax.codesign.bill import Bill
from imcjax.codesign.network import Network
from imcjax.converters import Adc, Dac
from imcjax.crossbar import Wires
from imcjax.mapping import Differential
from imcjax.nn import record_inputs


HARDWARE = Hardware(
    name="tiny",
    rows=8,
    cols=8,
    encoding=Differential(weight_bits=5, cell_bits=2),  # at most 2 slices
    dac=Dac(input_bits=4, bits=2, v_read=0.2),  # at most 2 phases
    device=devices.Generic(g_min=1e-6, g_max=40e-6, program_sigma=0.02, read_sigma=0.01),
    adc=Adc(bits=6, share=4.0),
)
WIRED = HARDWARE.replace(wires=Wires(wordline=2.0, bitline=2.0, driver=10.0, sense=10.0))
SIGNED = (False, True, False)
"""Of the layers of `Small` on the inputs of `inputs`."""


class Small(nnx.Module):
    """A convolution of two groups, tanh, and two dense layers with ReLU between: 12 inputs of one sign, 3 outputs."""

    def __init__(self, rngs: nnx.Rngs):
        self.wide = nnx.Conv(2, 4, (3,), padding="VALID", feature_group_count=2, rngs=rngs)
        self.middle = nnx.Linear(16, 5, rngs=rngs)
        self.back = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        x = jnp.tanh(self.wide(x.reshape(-1, 6, 2)))
        return self.back(jax.nn.relu(self.middle(x.reshape(len(x), -1))))


@dataclasses.dataclass(frozen=True)
class Example:
    network: Network
    params: nnx.State
    bill: Bill
    inputs: dict

    def ranges(self, bits, hardware=HARDWARE):
        return self.network.find_ranges(self.params, jnp.asarray(bits, jnp.float32), self.inputs, hardware)


def inputs(samples=16):
    return np.random.default_rng(0).uniform(0, 1, (samples, 12)).astype(np.float32)


def build(hardware=HARDWARE) -> Example:
    model = convert(Small(nnx.Rngs(0)), hardware)
    calibrate(model, [inputs()])
    network, params = Network.of(model)
    recorded = record_inputs(model, [inputs()])
    bill = Bill.of(network, params, recorded, hardware)
    return Example(network, params, bill, {path: jnp.asarray(seen.inputs) for path, seen in recorded.items()})
