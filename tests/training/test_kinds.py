"""Ranges and widths of converters trained beside weights: how fast, in which unit, and which of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, UserError
from imcjax.codesign import SearchedAdc
from imcjax.converters import Adc, Dac, SenseAmplifier
from imcjax.devices import Generic
from imcjax.mapping import Differential
from imcjax.nn import Range
from imcjax.training import Options, Trainer, by_kind, fit, learned, relative


RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (24, 20)).astype(np.float32)
Y = (X[:, :10].sum(1) > X[:, 10:].sum(1)).astype(np.int32)
CHIP = Hardware(
    rows=8, cols=8, encoding=Differential(weight_bits=4, cell_bits=2), dac=Dac(3, 1), device=Generic(0.0, 1e-4), adc=Adc(bits=4)
)


def model_on(adc=CHIP.adc, per="tensor"):
    model = imcjax.convert(nnx.Linear(20, 3, rngs=nnx.Rngs(0)), CHIP.replace(adc=adc))
    imcjax.calibrate(model, [X], per=per, progress=False)
    return model


def test_relative_moves_logarithms_in_any_unit():
    ranges, slopes = {"a": jnp.asarray([1.0, 2.0])}, {"a": jnp.asarray([0.3, -0.1])}
    plain = relative(optax.sgd(0.5))
    moves, _ = plain.update(slopes, plain.init(ranges), ranges)
    np.testing.assert_allclose(ranges["a"] + moves["a"], ranges["a"] * np.exp(-0.5 * slopes["a"] * ranges["a"]), rtol=1e-6)
    for optimizer in (plain, relative(optax.adam(0.1)), relative(optax.sgd(1e3))):
        found = []
        for unit in (1.0, 1e-6):
            here, state = jax.tree.map(lambda r: r * unit, ranges), None  # noqa: B023
            state = optimizer.init(here)
            for _ in range(3):
                moves, state = optimizer.update(jax.tree.map(lambda s: s / unit, slopes), state, here)  # noqa: B023
                here = optax.apply_updates(here, moves)
            found.append(here["a"] / unit)
        np.testing.assert_allclose(*found, rtol=1e-4)
        assert (found[0] >= 0).all()
    with pytest.raises(UserError, match="needs the parameters"):
        plain.update(slopes, plain.init(ranges))


def test_each_kind_has_its_own_optimizer():
    params = {"kernel": jnp.ones(2), "dot_general": {"adc_range": jnp.full((), 4.0), "adc_bits": jnp.full((), 5.0)}}
    slopes = jax.tree.map(jnp.ones_like, params)
    optimizer = by_kind(optax.sgd(1.0), ranges=optax.sgd(0.1), bits=optax.sgd(0.25))
    moves, _ = optimizer.update(slopes, optimizer.init(params), params)
    np.testing.assert_allclose(moves["kernel"], -1.0)
    assert float(moves["dot_general"]["adc_bits"]) == -0.25
    assert float(moves["dot_general"]["adc_range"]) == pytest.approx(4 * np.expm1(-0.4), rel=1e-6)


@pytest.mark.parametrize("adc, per", [(Adc(bits=4), "tile_column"), (SenseAmplifier(), "column")])
def test_ranges_learn_at_the_pace_of_lsq(adc, per):
    """Times largest code^1.5 / sqrt(count), which is 1 / sqrt(count * largest code) on steps; see `learned_range`."""

    @nnx.jit(static_argnames="paced")
    def slopes(model, x, paced):
        def loss(model):
            model.dot_general.paced = paced
            return jnp.sum(jnp.sin(model(x)))

        return nnx.grad(loss, argnums=nnx.DiffState(0, Range))(model).dot_general

    model = model_on(adc, per)
    for name in ("weight_range", "input_range", "adc_range"):  # away from the largest values, which may or may not clip
        variable = getattr(model.dot_general, name)
        variable.set_value(0.93 * variable.get_value())
    plain, paced = (slopes(model, jnp.asarray(X), on) for on in (False, True))
    # 3 row tiles, 3 phases, 24 inputs, 2 slices, 3 outputs
    count = 3 * 3 * 24 * 2 * 3 // model.dot_general.adc_range.get_value().size
    top = {1: 1, 4: 7}[adc.bits]
    wanted = {"weight_range": 7**1.5 / 60**0.5, "input_range": 7**1.5 / (24 * 20) ** 0.5, "adc_range": top**1.5 / count**0.5}
    for name, factor in wanted.items():
        before, after = (np.asarray(getattr(side, name).get_value()) for side in (plain, paced))
        assert np.abs(before).max() > 0
        np.testing.assert_allclose(after, before * factor, rtol=2e-5, atol=1e-6 * np.abs(after).max())


def test_only_what_is_named_is_trained():
    fixed, searched = (model_on(adc, per="column") for adc in (CHIP.adc, SearchedAdc(6)))
    everything = ("weights", "weight_range", "input_range", "adc_range", "adc_bits")
    for learn in (("weights",), ("adc_range",), ("weights", "ranges"), ("adc_bits", "adc_range")):
        model = searched if "adc_bits" in learn else fixed
        after = fit(
            model, X, Y, optimizer=by_kind(optax.adam(0.02)), steps=2, batch=12, options=Options(learn=learn), progress=False
        ).model  # fmt: skip
        moved = {"weights": (model.kernel, after.kernel)}
        moved |= {name: tuple(getattr(m.dot_general, name) for m in (model, after)) for name in everything[1:]}
        names = {name for name, (a, b) in moved.items() if not np.array_equal(a.get_value(), b.get_value())}
        groups = {"ranges": {"weight_range", "input_range", "adc_range"}, "bits": {"adc_bits"}}
        assert names == set().union(*(groups.get(name, {name}) for name in learn))
        assert not after.dot_general.paced
    for learn, said in (((), "learn is empty"), (("adc_rage",), "nearest: adc_range"), (3, "learn is 3; give a tuple")):
        with pytest.raises(UserError, match=said):
            Options(learn=learn)


def test_what_there_is_not_to_learn_is_refused():
    for learn in (("adc_bits",), ("weights", "bits")):
        with pytest.raises(
            UserError, match=r"layer '' has ADCs of kind 'sign_magnitude', whose width is fixed; put imcjax\.codesign"
        ):
            Trainer(model_on(), optax.sgd(0.1), Options(learn=learn))
    digital = nnx.Linear(20, 3, rngs=nnx.Rngs(0))
    for learn in (("weights", "bits"), ("adc_range",)):
        with pytest.raises(UserError, match="and no layer of the model has any; train its weights alone"):
            Trainer(digital, optax.sgd(0.1), Options(learn=learn))
    with pytest.raises(UserError, match=r"has no static adc_range to learn; call imcjax\.calibrate"):
        Trainer(imcjax.convert(digital, CHIP), optax.sgd(0.1), Options(learn=("adc_range",)))
    with pytest.raises(UserError, match="ranges is a float; give an Optax optimizer"):
        by_kind(optax.sgd(0.1), ranges=0.1)


def test_a_loop_of_ones_own():
    model = model_on()
    chosen = learned(("weights", "adc_range"))
    optimizer = nnx.Optimizer(model, by_kind(optax.adam(0.01)), wrt=chosen)

    @nnx.jit
    def step(model, optimizer, x, y):
        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        value, grads = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, chosen))(model)
        optimizer.update(model, grads)
        return value

    before = np.asarray(model.dot_general.adc_range.get_value())
    values = [float(step(model, optimizer, jnp.asarray(X), jnp.asarray(Y))) for _ in range(12)]
    assert values[-1] < values[0]
    assert (np.asarray(model.dot_general.adc_range.get_value()) != before).all()
