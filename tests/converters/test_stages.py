"""Pipeline and cyclic converters against a scalar walk through their stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.converters import Cyclic, Pipeline
from imcjax.converters.stages import Stages


def walk(v, bits, c1, c2, parasitic, high, low, last, gain):
    """The code of one input, v in units of the reference: one stage after another, in plain Python."""
    code = 0
    for n in range(bits - 1):
        if v > 0.25 + high[n]:
            d = 1
        elif v > -0.25 + low[n]:
            d = 0
        else:
            d = -1
        code += (d + 1) * 2 ** (bits - 2 - n)
        ratio = c2[n] / c1[n]
        beta = c1[n] / (c1[n] + c2[n] + parasitic[n])
        v = ((1 + ratio) * v - d * ratio) / (1 + 1 / (gain * beta))
    return code + (v > last)


def current(code, bits):
    return (2 * code - (2**bits - 1)) / (2**bits - 1)


@pytest.mark.parametrize("kind", [Pipeline, Cyclic])
@pytest.mark.parametrize("bits", [7, 4])
def test_codes_are_those_of_the_walk(kind, bits):
    widest = 7
    rng = np.random.default_rng(5)
    v = rng.uniform(-1.05, 1.05, 3000)
    size = widest - 1 if kind is Pipeline else 1
    c1, c2 = rng.normal(1, 0.03, (2, size))
    parasitic, high, low = rng.normal(0, 0.03, (3, size))
    last = 0.02
    with jax.enable_x64(True):
        squeeze = (lambda a: jnp.asarray(a)) if kind is Pipeline else (lambda a: jnp.asarray(a[0]))
        state = Stages(*(squeeze(a) for a in (c1, c2, parasitic, high, low)), jnp.asarray(last))
        circuit = kind(bits=widest, gain_db=46.0)
        top = (2**bits - 1) / 2**bits
        found = np.asarray(jax.jit(lambda v: circuit.convert(v, float(bits), top, state))(v)) / top
    stages = [np.broadcast_to(a, widest - 1) for a in (c1, c2, parasitic, high, low)]
    expected = [current(walk(x, bits, *stages, last, 10 ** (46 / 20)), bits) for x in v]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert len(np.unique(np.round(found, 6))) > 0.8 * 2**bits


@pytest.mark.parametrize("kind", [Pipeline, Cyclic])
def test_inputs_at_a_threshold_convert_to_a_neighbouring_code(kind):
    # Whole partial sums fall on +-1/4 of the reference, and on residues at them, all the time. An input between no two
    # thresholds would come out half a range away.
    bits = 6
    with jax.enable_x64(True):
        v = jnp.arange(-64, 65) / 64  # every threshold of every stage
        top = 63 / 64
        found = np.asarray(kind(bits=bits).convert(v, float(bits), top))
    assert np.abs(found - np.clip(np.arange(-64, 65) / 64, -top, top)).max() <= 1 / 64 + 1e-12
    assert (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found[np.array([48, 80])], [-0.25 - 1 / 64, 0.25 - 1 / 64])


def test_comparator_offsets_below_a_quarter_are_forgiven():
    # The redundancy of a 1.5-bit stage: what a comparator decides wrong, the following stages make up for.
    circuit = Pipeline(bits=8)
    rng = np.random.default_rng(0)
    offsets = jnp.asarray(rng.uniform(-0.2, 0.2, (2, 7)), jnp.float32)
    state = circuit.draw((), None).replace(high=offsets[0], low=offsets[1])
    x = jnp.asarray(rng.uniform(-0.99, 0.99, 4000), jnp.float32)
    convert = jax.jit(lambda x, state: circuit.convert(x, 8.0, 1.0, state))
    differs = np.abs(convert(x, state) - convert(x, circuit.draw((), None))) > 1e-6
    assert differs.mean() < 2e-3  # only by rounding, at thresholds


def test_a_cyclic_converter_has_one_stage_and_a_pipeline_one_for_each_bit():
    key = jax.random.key(0)
    assert Pipeline(bits=8, c1_sigma=0.1).draw((3, 4), key).c1.shape == (3, 4, 7)
    assert Cyclic(bits=8, c1_sigma=0.1).draw((3, 4), key).c1.shape == (3, 4)
    drawn = Pipeline(bits=8, c1_sigma=0.1, c2_sigma=0.2, parasitic_sigma=0.3, offset_sigma=0.05).draw((4000,), key)
    for leaf, mean, sigma in (
        (drawn.c1, 1, 0.1),
        (drawn.c2, 1, 0.2),
        (drawn.parasitic, 0, 0.3),
        (drawn.high, 0, 0.05),
        (drawn.low, 0, 0.05),
        (drawn.last, 0, 0.05),
    ):
        assert leaf.mean() == pytest.approx(mean, abs=5 * sigma / np.sqrt(leaf.size))
        assert leaf.std() == pytest.approx(sigma, rel=0.06)
