"""Every stage of the path gives the same under jit, eagerly and under vmap, forwards and backwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, devices, mapping, mvm, pipeline, program, quantize
from imcjax.converters import Adc, Dac, best_range, full_scale
from imcjax.crossbar import Wires
from imcjax.fast_random import fast_key
from imcjax.mapping import Differential, Tiling


KEY = fast_key(2)
HARDWARE = Hardware(
    rows=4,
    cols=4,
    encoding=Differential(weight_bits=4, cell_bits=2),
    dac=Dac(input_bits=4, bits=2),
    device=devices.Generic(program_sigma=0.02, read_sigma=0.01),
    adc=Adc(bits=7),
)
W = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
MAGNITUDES = np.random.default_rng(1).uniform(0.1, 0.9, (3, 6)).astype(np.float32)  # three calls of six numbers each


def cells(device):
    return lambda x: device.read(device.program(x * 3e-5, KEY), KEY, time=60.0) * 1e5


def outputs(hardware, settings=None):
    return lambda x: mvm(x[:5], W, hardware, settings, key=KEY)


def programmed(x):
    chip = program(jnp.outer(x, x[:3]), HARDWARE, key=KEY)
    return 1e5 * jnp.sum(chip.state.g, (2, 3, 4, 5)) + chip.weight_step


STAGES = {
    "quantize": lambda x: jnp.multiply(*quantize.quantize(x, 0.8, x[0] * 8)),
    "unsigned": lambda x: jnp.multiply(*quantize.quantize(x, x[1], 5.0, signed=False)),
    "slices": lambda x: mapping.slices.split(quantize.round_through(x * 60), 3, 2, jnp.float32(3)),
    "encode": lambda x: Differential(weight_bits=4).encode(x[None], x[0], 1 + x[1]),
    "tiling": lambda x: Tiling(2, 3, 1, 2).cut(x.reshape(2, 3)),
    "patches": lambda x: mapping.patches(x.reshape(1, 2, 3, 1), (2, 2), (1, 1), ((0, 1), (1, 0)), (1, 1)),
    "generic": cells(devices.Generic(program_sigma=0.05, read_sigma=0.05)),
    "reram_wan2022": cells(devices.ReramWan2022()),
    "dac": lambda x: Dac(input_bits=4, bits=2, v_read=x[0]).voltages(x),
    "adc": lambda x: Adc(bits=8).convert(x, 3 + x[0], 0.77),
    "full_scale": lambda x: full_scale(2 + x[0], 40.0 + x[1])[None],
    "best_range": lambda x: best_range(x, 3.0)[None],
    "program": programmed,
    "mvm": outputs(HARDWARE),
    "mvm with settings": outputs(HARDWARE, Settings(weight_bits=3.2, adc_range=4e-5, input_signed=False, slices=1)),
    "mvm with wires": outputs(HARDWARE.replace(wires=Wires(1.0, 1.0, 5.0, 5.0), solver="pade")),
}


@pytest.mark.parametrize("name", STAGES)
def test_jit_eager_and_vmap_agree(name):
    stage = STAGES[name]

    def both(x):
        value, pull = jax.vjp(stage, x)
        return value, pull(jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape))[0]

    compiled = jax.jit(both)
    alone = [compiled(x) for x in MAGNITUDES]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(alone))
    together = jax.jit(jax.vmap(both))(MAGNITUDES)
    eager = stage(MAGNITUDES[0])
    for k, (value, gradient) in enumerate(alone):
        scale = 1e-5 * (1 + np.abs(gradient).max())
        np.testing.assert_allclose(together[0][k], value, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(together[1][k], gradient, rtol=1e-4, atol=scale)
    np.testing.assert_allclose(eager, alone[0][0], rtol=2e-5, atol=2e-6)
    assert np.ptp([np.asarray(value).sum() for value, _ in alone]) > 0  # the three calls differ, so the check can fail


def test_many_chips_in_one_call_are_each_their_own():
    x = MAGNITUDES[:, :5]
    keys = jax.random.split(KEY, 4)
    hardware = HARDWARE.replace(device=devices.Generic(program_sigma=0.2, read_sigma=0.2))  # enough to change ADC codes
    compiled = jax.jit(lambda key: mvm(x, W, hardware, key=key))
    together = jax.jit(jax.vmap(compiled))(keys)
    for found, key in zip(together, keys, strict=True):
        np.testing.assert_allclose(found, compiled(key), rtol=1e-4, atol=1e-4)
    assert np.asarray(together).std(0).min() > 0


def test_a_sweep_over_widths_compiles_once_and_is_a_loop():
    widths = jnp.array([2.0, 3.0, 4.0])
    compiled = jax.jit(lambda bits: mvm(MAGNITUDES[:, :5], W, HARDWARE, Settings(weight_bits=bits, input_bits=bits)))
    together = jax.jit(jax.vmap(compiled))(widths)
    for found, bits in zip(together, widths, strict=True):
        np.testing.assert_allclose(found, compiled(bits), rtol=1e-5, atol=1e-5)


def test_a_settled_chip_is_a_pytree_that_crosses_jit():
    settled = jax.jit(lambda w: pipeline.settle(program(w, HARDWARE, key=KEY), HARDWARE, key=KEY))(W)
    assert (settled.n_in, settled.matrix.shape) == (5, (1, 2, 3, 2, 3))
    found = jax.jit(lambda settled, x: pipeline.multiply(settled, x, HARDWARE))(settled, MAGNITUDES[:, :5])
    again = jax.jit(lambda w, x: pipeline.read(program(w, HARDWARE, key=KEY), x, HARDWARE, key=KEY))(W, MAGNITUDES[:, :5])
    np.testing.assert_allclose(found, again, rtol=1e-5, atol=1e-5)
