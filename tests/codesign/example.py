"""A network small enough that every design can be looked at: a convolution of two groups and a dense layer."""

from functools import cached_property

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
from imcjax.nn.operator import answers, respond


HARDWARE = Hardware(
    name="tiny",
    rows=8,
    cols=8,
    encoding=Differential(weight_bits=5, cell_bits=2),  # at most 2 slices
    dac=Dac(input_bits=4, bits=2, v_read=0.2),  # at most 2 phases
    device=devices.Generic(g_min=1e-6, g_max=40e-6, program_sigma=0.02, read_sigma=0.01),
    adc=Adc(bits=6, share=4.0),
)
WIRED = HARDWARE.replace(wires=Wires(wordline=100.0, bitline=100.0, driver=100.0, sense=100.0), solver="pade")
PATHS, SIGNED = ("back", "wide"), (True, False)
SHAPES = {"wide": (3, 2, 2, 4), "back": (16, 3, 1, 1)}  # n_in, n_out, groups, positions


class Small(nnx.Module):
    """12 positive inputs, 3 outputs."""

    def __init__(self, rngs: nnx.Rngs):
        self.wide = nnx.Conv(2, 4, (3,), padding="VALID", feature_group_count=2, rngs=rngs)
        self.back = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.back(jnp.tanh(self.wide(x.reshape(-1, 6, 2))).reshape(len(x), -1))


def inputs(samples=16):
    return np.random.default_rng(0).uniform(0, 1, (samples, 12)).astype(np.float32)


class Example:
    """The network, its bill, and its functions compiled once for all tests: (bits, ..., hardware) are arguments of them."""

    def __init__(self):
        model = convert(Small(nnx.Rngs(0)), HARDWARE)
        calibrate(model, [inputs()])
        self.network, self.params = Network.of(model)
        recorded = record_inputs(model, [inputs()])
        self.inputs = {path: jnp.asarray(seen.inputs) for path, seen in recorded.items()}
        self.bill = Bill.of(self.network, self.params, recorded, HARDWARE)

    @cached_property
    def find(self):
        return jax.jit(lambda bits, hardware: self.network.find_ranges(self.params, bits, self.inputs, hardware))

    def ranges(self, bits, hardware=HARDWARE):
        return self.find(jnp.asarray(bits, jnp.float32), hardware)

    @cached_property
    def logits(self):
        def logits(bits, ranges, hardware, x, key=None, chip=None):
            return self.network.apply(self.params, bits, ranges, hardware, x, key=key, chip=chip)

        return jax.jit(logits)

    @cached_property
    def settle(self):
        return jax.jit(lambda *args: settled(self.network, self.params, *args))


def settled(network, params, bits, ranges, hardware, key):
    """One chip, wires included: what `Network.apply` takes as `chip`."""
    drawn = network.conductances(params, bits, ranges, hardware, key)
    return {path: respond(chip, answers(chip, g, hardware), hardware) for path, (chip, g) in drawn.items()}
