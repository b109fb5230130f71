"""The bill against the cost model called by hand, and its gradient against differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Settings, cost
from imcjax.codesign.bill import Bill
from imcjax.nn.recording import Recorded

from .example import HARDWARE, PATHS, SHAPES, SIGNED


NARROW = np.array([[5, 3, 5], [3, 2, 4]], dtype=np.float32)
WIDE = np.array([[5, 4, 6]] * 2, dtype=np.float32)


@pytest.fixture(scope="module")
def energy(example):
    """(bits, hard) -> joule."""
    return jax.jit(lambda bits, hard: example.bill.energy(example.params, bits, hard=hard), static_argnums=1)


def test_bill_is_the_sum_of_the_layers_costs(example):
    """At the design's own weight ranges, which clip the largest weights and so let the others conduct more."""
    limits = {path: 0.6 * jnp.max(jnp.abs(w)) for path, w in example.network.matrices(example.params).items()}

    def by_hand(path, signed, bits):
        n_in, n_out, groups, positions = SHAPES[path]
        work = cost.Work(path, n_in, n_out, groups, positions, signed)
        settings = Settings(*bits, weight_range=limits[path], input_signed=signed)
        x, w = example.inputs[path], example.network.matrices(example.params)[path]
        seen = settings.replace(input_range=jnp.max(jnp.abs(x)))
        volts = jnp.stack([cost.measure(x[:, g], seen, HARDWARE).volts_squared for g in range(groups)])
        siemens = jnp.stack([cost.row_conductance(w[g], HARDWARE, settings) for g in range(groups)])
        return cost.layer_cost(work, cost.Bits(*bits), cost.Activity(volts), siemens, HARDWARE, hard=True)

    ranges = {path: {"weight_range": limit} for path, limit in limits.items()}
    found, energy = jax.jit(
        lambda bits: (
            example.bill.layers(example.params, bits, hard=True, ranges=ranges),
            example.bill.energy(example.params, bits, hard=True, ranges=ranges),
        )
    )(NARROW)
    expected = jax.jit(lambda bits: [by_hand(*layer) for layer in zip(PATHS, SIGNED, bits)])(NARROW)
    assert len(found) == len(PATHS)
    for ours, theirs in zip(found, expected):
        for name in ("energy_j", "latency_s", "area_m2"):
            assert float(getattr(ours, name)) == pytest.approx(float(getattr(theirs, name)), rel=1e-5), name
    assert float(energy) == pytest.approx(sum(float(each.energy_j) for each in expected), rel=1e-5)


def test_replicas_take_their_area_and_give_their_time(example):
    network = dataclasses.replace(example.network, replicas=(1, 2))
    recorded = {path: Recorded(np.asarray(x), SHAPES[path][3], signed=False) for path, x in example.inputs.items()}
    several = Bill.of(network, example.params, recorded, HARDWARE)
    assert [work.replicas for work in several.works] == [1, 2]
    assert example.network.replicas == (1, 1)

    def of_each(bits):
        costs = [bill.layers(example.params, bits, hard=True) for bill in (example.bill, several)]
        return [[(each.area["adc"], each.latency_s) for each in layers] for layers in costs]

    one, two = np.asarray(jax.jit(of_each)(NARROW))
    np.testing.assert_allclose(two[0], one[0], rtol=1e-6)
    np.testing.assert_allclose(two[1], one[1] * [2.0, 0.5], rtol=1e-6)  # four positions


@pytest.mark.parametrize("bits", [NARROW, WIDE], ids=["narrow", "wide"])
def test_soft_and_hard_bills_agree_at_whole_widths(energy, bits):
    assert float(energy(bits, False)) == pytest.approx(float(energy(bits, True)), rel=1e-5)


def test_hard_bill_rounds_and_every_bit_costs(energy):
    near = NARROW + np.array([0.4, -0.4, 0.3], np.float32)
    assert float(energy(near, True)) == float(energy(NARROW, True))
    for place in np.ndindex(2, 3):
        fewer = WIDE.copy()
        fewer[place] -= 1
        assert float(energy(fewer, True)) < float(energy(WIDE, True)), place


def test_gradient_of_the_soft_bill_is_its_slope(energy):
    """Away from whole widths the energy is smooth in input and ADC bits; in weight bits the array's part is a staircase."""
    bits = jnp.asarray(NARROW + 0.37)
    slopes = np.asarray(jax.jit(jax.grad(lambda b: 1e12 * energy(b, False)))(bits))
    assert np.isfinite(slopes).all()
    assert (slopes > 0).all()
    for place in [(i, kind) for i in range(2) for kind in (1, 2)]:
        step = 2.0**-4
        up, down = (1e12 * float(energy(bits.at[place].add(s), False)) for s in (step, -step))
        assert slopes[place] == pytest.approx((up - down) / (2 * step), rel=2e-2), place
