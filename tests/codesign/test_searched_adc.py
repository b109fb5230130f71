"""Widths of ADCs, by layer and by group of columns: learned under a bound on the energy of conversions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, Settings, UserError, calibrated_settings, cost, mvm
from imcjax.codesign import SearchedAdc, bitwidths, conversion_energy
from imcjax.codesign.constraints import augmented_lagrangian, given, keep_in_box, whole
from imcjax.converters import Adc, Dac, SenseAmplifier, Uniform
from imcjax.devices import Generic
from imcjax.mapping import Differential
from imcjax.nn import operators
from imcjax.training import Options, Trainer, by_kind, cross_entropy


RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (64, 20)).astype(np.float32)
Y = (X[:, :10].sum(1) > X[:, 10:].sum(1)).astype(np.int32)
CHIP = Hardware(
    rows=8, cols=8, encoding=Differential(weight_bits=4, cell_bits=3), dac=Dac(3, 3), device=Generic(0.0, 1e-4), adc=Adc(bits=6)
)


class Net(nnx.Module):
    def __init__(self):
        self.first = nnx.Linear(20, 16, rngs=nnx.Rngs(0))
        self.last = nnx.Linear(16, 2, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.last(nnx.relu(self.first(x)))


def model_on(adc):
    model = imcjax.convert(Net(), CHIP.replace(adc=adc))
    imcjax.calibrate(model, [X], progress=False)
    return model


def widths(model):
    return nnx.as_pure(nnx.state(model, lambda path, _: path[-1] == "adc_bits"))


@pytest.mark.parametrize("adc", [Adc(bits=6), pytest.param(Uniform(bits=6), marks=pytest.mark.slow)], ids=lambda adc: adc.kind)
def test_columns_in_groups_are_converted_each_at_their_own_width(adc):
    hardware, w = CHIP.replace(adc=adc), RNG.normal(size=(20, 7)).astype(np.float32)
    x = X[:6]
    settings = calibrated_settings(w, x, hardware, per="column")

    @jax.jit
    def product(bits):
        return mvm(x, w, hardware, settings.replace(adc_bits=bits))

    found = product(jnp.asarray([2.0, 5.0, 3.0]))  # of 3, 3 and 1 columns
    for columns, bits in ((slice(0, 3), 2.0), (slice(3, 6), 5.0), (slice(6, 7), 3.0)):
        np.testing.assert_array_equal(found[:, columns], product(jnp.full(3, bits))[:, columns])
        np.testing.assert_allclose(found[:, columns], product(jnp.asarray(bits))[:, columns], rtol=1e-6)
    each = calibrated_settings(w, x, hardware, Settings(adc_bits=jnp.asarray([2.0, 5.0, 3.0])), per="column")
    alone = calibrated_settings(w, x, hardware, Settings(adc_bits=5.0), per="column")
    np.testing.assert_allclose(each.adc_range[..., 3:6], alone.adc_range[..., 3:6], rtol=1e-6)
    with pytest.raises(UserError, match="adc_bits"):
        mvm(x, w, hardware, settings.replace(adc_bits=jnp.asarray([2.0, 7.0])))


def test_the_energy_of_conversions_is_that_of_the_cost_model():
    model = model_on(Adc(bits=6))
    energy = conversion_energy(model, X[:2])
    for bits in (2.0, 5.0):
        for operator in operators(model).values():
            operator.adc_bits.set_value(jnp.asarray(bits))
        counted = sum(float(layer.cost.energy["adc"]) for layer in cost.estimate(model, X[:2]).layers.values())
        assert float(energy(widths(model))) == pytest.approx(counted, rel=1e-5)
    first = model.first.dot_general.adc_bits
    first.set_value(jnp.asarray([2.0, 4.0]))  # half of the columns each
    mixed = float(energy(widths(model)))
    first.set_value(jnp.asarray(2.0))
    low = float(energy(widths(model)))
    first.set_value(jnp.asarray(4.0))
    assert mixed == pytest.approx((low + float(energy(widths(model)))) / 2, rel=1e-6)
    with pytest.raises(UserError, match="no ADC width 'other/adc_bits'"):
        energy({"other": {"adc_bits": jnp.ones(())}})
    with pytest.raises(UserError, match="has no ADC"):
        conversion_energy(imcjax.convert(Net(), CHIP.replace(adc=Adc())), X[:2])


LATER = [pytest.param(one, marks=pytest.mark.slow) for one in (bitwidths.NoiseThenSampled(), bitwidths.FracBits())]


@pytest.mark.parametrize("method", [bitwidths.Sampled(), *LATER])
def test_widths_are_learned_under_a_bound_without_compiling_anew(method):
    model = model_on(SearchedAdc(6, method))
    model.first.dot_general.adc_bits.set_value(jnp.full(2, 5.0))
    energy = conversion_energy(model, X[:2])
    budget = float(energy(jax.tree.map(lambda b: jnp.full_like(b, 3.0), widths(model))))
    bound = given(augmented_lagrangian(energy, every=2), budget=budget)
    bits = optax.chain(bound, optax.adam(0.2), keep_in_box(1.0, 6.0))
    traces = []

    def loss(outputs, labels):
        traces.append(1)
        return cross_entropy(outputs, labels)

    optimizer = by_kind(optax.adam(3e-3), ranges=optax.adam(1e-2), bits=bits)
    trainer = Trainer(model, optimizer, Options(learn=("weights", "adc_range", "adc_bits")), loss=loss)
    state, seen = trainer.start(), []
    for _ in range(30):
        state, _ = trainer.step(state, X, Y)
        seen.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(widths(trainer.model(state)))]))
    assert len(traces) == 1
    assert len({tuple(np.round(row)) for row in seen}) > 2  # other whole widths came and went
    assert float(energy(whole(widths(trainer.model(state))))) <= 1.15 * budget < float(energy(widths(model)))
    assert np.ptp(seen[-1]) > 0.01  # the loss has a say
    assert ((seen[-1] >= 1) & (seen[-1] <= 6)).all()


@pytest.mark.parametrize("bits, built", [(1.0, SenseAmplifier()), (2.0, Adc(bits=2)), (4.0, Adc(bits=4))])
def test_at_whole_widths_it_is_the_adc_that_is_built(bits, built):
    currents = jnp.asarray(RNG.normal(size=(50, 3)), jnp.float32)
    limit = jnp.asarray([0.5, 1.0, 2.0])
    found = SearchedAdc(6).convert(currents, bits, limit)
    np.testing.assert_array_equal(found, built.convert(currents, bits, limit))
    assert not np.any(SearchedAdc(6).convert(currents, 0.0, limit))


def test_sampled_widths_convert_as_whole_ones():
    adc, built = SearchedAdc(6, bitwidths.Sampled()), Adc(bits=6)
    currents = jnp.asarray(RNG.normal(size=200), jnp.float32)
    low, high = (built.convert(currents, b, 2.0) for b in (3.0, 4.0))
    found = [adc.convert(currents, 3.4, 2.0, key=jax.random.key(i)) for i in range(30)]
    above = [bool(jnp.array_equal(y, high)) for y in found]
    assert all(np.array_equal(y, high if up else low) for y, up in zip(found, above, strict=True))
    assert 4 <= sum(above) <= 20  # 12 are expected, with a standard deviation of 2.7
    slope = jax.grad(lambda b: jnp.sum(adc.convert(currents, b, 2.0, key=jax.random.key(0)) * currents))(3.4)
    assert float(slope) == pytest.approx(float(jnp.sum((high - low) * currents)), rel=1e-4)
    np.testing.assert_array_equal(adc.convert(currents, 3.4, 2.0), low)  # without a key, the nearest
