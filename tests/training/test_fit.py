"""Hardware-aware training: the step is the one written by hand, resuming changes nothing, and what is no number is named."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import lax

import imcjax
from imcjax import Hardware, Settings, UserError, devices
from imcjax.conversion import unit_current
from imcjax.converters import Adc, Dac, Flaws
from imcjax.crossbar import Wires
from imcjax.fast_random import fast_key
from imcjax.keys import fold_index
from imcjax.layout import tiling
from imcjax.mapping import Differential
from imcjax.nn import direct
from imcjax.nn.hooks import operators, placed
from imcjax.quantize import Stochastic
from imcjax.training import NotFiniteError, Options, Store, Trainer, cross_entropy, fit


NOISY = Hardware(name="noisy", device=devices.Generic(0.0, 40e-6, program_sigma=0.1))
X = np.random.default_rng(0).normal(size=(96, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0)
SGD = optax.sgd(0.1)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(8, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        self.second = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.relu(self.norm(self.first(x))))


def model(hardware=NOISY):
    return imcjax.convert(Net(nnx.Rngs(0)), hardware)


def params(state):
    return jax.device_get(nnx.to_pure_dict(state.params))


def near(one, two, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), one, two)


@pytest.mark.slow
def test_a_step_is_the_gradient_of_the_mean_loss_over_its_chips():
    trainer = Trainer(model(), SGD, Options(chips=2), key=fast_key(3))
    start = trainer.start()
    after, metrics = trainer.step(start, X, Y)

    def loss(weights, i):
        outputs, _ = trainer.outputs(weights, start.rest, jnp.asarray(X), fold_index(fold_index(fast_key(3), 0), i))
        return cross_entropy(outputs, jnp.asarray(Y))

    found = [jax.jit(jax.value_and_grad(loss))(start.params, i) for i in range(2)]
    assert float(found[0][0]) != float(found[1][0])
    assert float(metrics["loss"]) == pytest.approx(np.mean([float(value) for value, _ in found]), rel=1e-5)
    grads = jax.tree.map(lambda a, b: (a + b) / 2, *(g for _, g in found))
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, start.params, grads)
    near(params(after), jax.device_get(nnx.to_pure_dict(expected)))
    assert np.abs(after.rest["norm"]["mean"].get_value()).max() > 0


@pytest.mark.slow
def test_accumulation_is_the_step_of_the_whole_batch():
    class Plain(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(8, 3, rngs=rngs)

        def __call__(self, x):
            return self.layer(x)

    found = [
        Trainer(imcjax.convert(Plain(nnx.Rngs(0)), NOISY), SGD, Options(accumulate=parts), key=fast_key(0)) for parts in (1, 4)
    ]
    (one, a), (two, b) = (trainer.step(trainer.start(), X, Y) for trainer in found)
    # Inputs are scaled by the largest of the part: nothing is rounded here, so that it does not matter.
    near(params(one), params(two), 1e-5)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-4)
    with pytest.raises(UserError, match="90 inputs and 90 labels; give as many of both, a multiple of 4"):
        found[1].step(found[1].start(), X[:90], Y[:90])


@pytest.mark.parametrize("wires", [pytest.param("auto", marks=pytest.mark.slow), "pade"])
def test_straight_through_has_the_digital_gradient_and_exact_the_hardwares(wires):
    hardware = Hardware(rows=8, cols=8, wires=Wires(300.0, 300.0, 300.0, 300.0), solver=wires)
    x, w = jnp.asarray(X[:4]), jnp.asarray(np.random.default_rng(1).normal(size=(8, 3)), jnp.float32)
    layer = nnx.Linear(8, 3, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel.set_value(w)
    grads, values = {}, {}
    for backward in ("exact", "straight_through"):
        trainer = Trainer(imcjax.convert(layer, hardware), SGD, Options(backward=backward))
        start = trainer.start()
        outputs = jax.jit(lambda p, t=trainer, s=start: t.outputs(p, s.rest, x, fast_key(0))[0])
        values[backward] = np.asarray(outputs(start.params))
        grads[backward] = jax.grad(lambda p, f=outputs: jnp.sum(jnp.sin(f(p))))(start.params)["kernel"].get_value()
    np.testing.assert_array_equal(values["exact"], values["straight_through"])
    digital = jnp.einsum("bi,bo->io", x, jnp.cos(values["exact"]))
    np.testing.assert_allclose(grads["straight_through"], digital, rtol=1e-4, atol=1e-5)
    assert np.abs(grads["exact"] - digital).max() > 0.02 * np.abs(digital).max()


@pytest.mark.slow
def test_weight_noise_is_gaussian_of_its_size_and_only_in_training():
    layer = nnx.Linear(40, 50, use_bias=False, rngs=nnx.Rngs(0))
    trainer = Trainer(imcjax.convert(layer, Hardware.ideal()), SGD, Options(weight_noise=0.05))
    start = trainer.start()
    noisy = jax.jit(lambda i: trainer.outputs(start.params, start.rest, jnp.eye(40), fold_index(fast_key(0), i))[0])
    kernel = np.asarray(layer.kernel.get_value())
    one, two = (np.asarray(noisy(i)) - kernel for i in range(2))
    assert np.std(one) == pytest.approx(0.05 * np.abs(kernel).max(), rel=0.05)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1
    np.testing.assert_allclose(trainer.model(start)(jnp.eye(40)), kernel, atol=1e-5)


@pytest.mark.slow
def test_distillation_is_the_divergence_from_the_teacher():
    teacher = Net(nnx.Rngs(5))
    teacher.eval()
    trainer = Trainer(model(), SGD, Options(distill=0.25, temperature=3.0), teacher=teacher, key=fast_key(0))
    start = trainer.start()
    _, metrics = trainer.step(start, X, Y)
    outputs, _ = jax.jit(trainer.outputs)(start.params, start.rest, jnp.asarray(X), fold_index(fold_index(fast_key(0), 0), 0))
    wanted = np.asarray(teacher(jnp.asarray(X)), float)

    def soft(z):
        e = np.exp(z - z.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    p, q = soft(wanted / 3), soft(np.asarray(outputs, float) / 3)
    expected = (
        0.75 * -np.log(soft(np.asarray(outputs, float))[range(96), Y]).mean() + 0.25 * 9 * (p * np.log(p / q)).sum(-1).mean()
    )
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(UserError, match=r"distill is 0\.5 and teacher NoneType"):
        Trainer(model(), SGD, Options(distill=0.5))


def test_training_learns_keeps_a_mean_and_goes_on_where_it_stopped(tmp_path):
    options = Options(ema=0.5)
    common = {"optimizer": optax.adam(0.02), "batch": 32, "options": options, "chunk": 5, "key": fast_key(1)}
    whole = fit(model(), X, Y, steps=20, **common)
    assert [row["step"] for row in whole.history] == [5, 10, 15, 20]
    assert whole.history[-1]["loss"] < 0.8 * whole.history[0]["loss"]
    fit(model(), X, Y, steps=10, folder=tmp_path, **common)
    resumed = fit(model(), X, Y, steps=20, folder=tmp_path, **common)
    near(params(resumed.state), params(whole.state), 0)
    assert resumed.history == whole.history
    assert np.abs(whole.state.ema["first"]["kernel"].get_value() - whole.state.params["first"]["kernel"].get_value()).max() > 0
    np.testing.assert_array_equal(whole.model.first.kernel.get_value(), whole.state.ema["first"]["kernel"].get_value())
    assert whole.model.norm.use_running_average
    assert all(module.dot_general.weight_noise is None for module in placed(whole.model).values())
    with pytest.raises(UserError, match="of another structure"):
        fit(model(), X, Y, steps=20, folder=tmp_path, **(common | {"options": Options()}))


def test_ranges_are_part_of_what_is_kept(tmp_path):
    common = {"optimizer": SGD, "batch": 8, "chunk": 2, "folder": tmp_path, "progress": False}
    plain = imcjax.convert(Net(nnx.Rngs(0)), NOISY.replace(adc=Adc(bits=6), dac=Dac(input_bits=6, bits=6)))
    narrow, wide = nnx.clone(plain), nnx.clone(plain)
    imcjax.calibrate(narrow, [X], progress=False)
    imcjax.calibrate(wide, [5 * X], progress=False)
    ranges = [operators(model)["first"].input_range.get_value() for model in (narrow, wide)]
    assert ranges[1] > 2 * ranges[0]
    fit(narrow, X, Y, steps=2, **common)
    went_on = fit(wide, X, Y, steps=4, **common)  # with the ranges that it began with
    assert operators(went_on.model)["first"].input_range.get_value() == ranges[0]
    with pytest.raises(UserError, match=r"of another structure: .*_range.* absent here"):
        fit(plain, X, Y, steps=6, **common)


def test_stochastic_formats_round_otherwise_in_every_step():
    quantized = imcjax.nn.fake_quantize(Net(nnx.Rngs(0)), weights=Stochastic(3), rngs=nnx.Rngs(imc=0))
    trainer = Trainer(quantized, SGD, key=fast_key(1))
    start, x = trainer.start(), jnp.asarray(X)
    run = jax.jit(lambda i: trainer.outputs(start.params, start.rest, x, fold_index(fast_key(1), i))[0])
    one, same, other = (np.asarray(run(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_training_goes_on_with_the_batches_it_began_with(tmp_path):
    common = {"optimizer": SGD, "batch": 8, "chunk": 2, "folder": tmp_path, "progress": False}
    fit(Net(nnx.Rngs(0)), X, Y, steps=2, **common)
    for other, message in (
        ({"batch": 16}, "has batch 8, and batch is 16 here"),
        ({"seed": 3}, "has seed 0, and seed is 3 here"),
        ({"key": fast_key(9)}, "was begun with another key"),
        ({"key": jax.random.key(0)}, "was begun with another key"),
        ({"steps": 1}, "has done 2 steps, and steps is 1; give at least 2"),
    ):
        with pytest.raises(UserError, match=message):
            fit(Net(nnx.Rngs(0)), X, Y, **({"steps": 4} | common | other))
    with pytest.raises(UserError, match="has samples 96, and samples is 95 here"):
        fit(Net(nnx.Rngs(0)), X[:95], Y[:95], steps=4, **common)
    assert len(fit(Net(nnx.Rngs(0)), X, Y, steps=4, **common).history) == 2


@pytest.mark.slow
def test_half_precision_activations_train():
    trainer = Trainer(model(), SGD, Options(activations="bfloat16"), key=fast_key(3))
    start = trainer.start()
    outputs, _ = trainer.outputs(start.params, start.rest, jnp.asarray(X), fast_key(0))
    assert outputs.dtype == jnp.bfloat16
    after, metrics = trainer.step(start, X, Y)
    assert metrics["loss"].dtype == jnp.float32
    full, _ = Trainer(model(), SGD, key=fast_key(3)).step(start, X, Y)
    near(params(after), params(full), 0.01)
    assert after.params["first"]["kernel"].get_value().dtype == jnp.float32


def test_a_loss_that_is_no_number_stops_with_the_last_good_state(tmp_path):
    x = X.copy()
    x[77] = np.nan
    common = {"optimizer": SGD, "batch": 8, "chunk": 3}
    with pytest.raises(NotFiniteError, match=r"the inputs are not finite.*state of step") as caught:
        fit(Net(nnx.Rngs(0)), x, Y, steps=12, folder=tmp_path, **common)
    good = caught.value.state
    assert int(good.step) % 3 == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params(good)))
    went_on = fit(Net(nnx.Rngs(0)), X, Y, steps=12, folder=tmp_path, **common)
    assert len(went_on.history) == 4
    with pytest.raises(NotFiniteError, match=r"in step 2: .*(first|norm|second).* not finite"):
        fit(Net(nnx.Rngs(0)), X, Y, steps=12, batch=8, chunk=12, optimizer=optax.sgd(1e38))
    broken = Net(nnx.Rngs(0))
    broken.second.bias.set_value(jnp.full(3, 3e38))
    broken.second.kernel.set_value(jnp.full((16, 3), 1e38))
    with pytest.raises(NotFiniteError, match="outputs of layer 'second' are not finite"):
        fit(broken, X, Y, steps=1, batch=96, optimizer=SGD)


def test_an_update_that_is_no_number_is_never_kept(tmp_path):
    bad = optax.chain(optax.sgd(0.1), optax.scale_by_schedule(lambda step: jnp.where(step == 4, jnp.nan, 1.0)))
    common = {"batch": 8, "chunk": 1, "folder": tmp_path}
    # The loss of that step is finite; it is the parameters after it that are not.
    with pytest.raises(
        NotFiniteError, match=r"step 5 made parameter 'first/(bias|kernel)' no number.*state of step 4"
    ) as caught:
        fit(Net(nnx.Rngs(0)), X, Y, steps=5, optimizer=bad, **common)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params(caught.value.state)))
    assert Store(tmp_path).step("fit") == 4


def test_the_layer_to_blame_is_found_in_a_loop():
    class Recurrent(nnx.Module):
        def __init__(self, rngs):
            self.rnn = nnx.RNN(nnx.GRUCell(4, 5, rngs=rngs))
            self.output = nnx.Linear(5, 3, rngs=rngs)

        def __call__(self, x):
            return self.output(self.rnn(x.reshape(len(x), 2, 4))[:, -1])

    broken = Recurrent(nnx.Rngs(0))
    broken.output.kernel.set_value(jnp.full((5, 3), 3e38))
    broken.output.bias.set_value(jnp.full(3, 3e38))
    with pytest.raises(NotFiniteError, match="the outputs of layer 'output' are not finite"):
        fit(broken, X, Y, steps=1, batch=8, optimizer=SGD)


def test_convolutions_in_one_pass_are_those_of_the_pipeline():
    hardware = Hardware(rows=12, cols=8, dac=Dac(input_bits=5, bits=5), adc=Adc(bits=6))
    layer = nnx.Conv(2, 3, (3, 3), strides=2, padding=1, rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(2).normal(size=(4, 6, 5, 2)), jnp.float32)
    converted = imcjax.convert(layer, hardware)
    imcjax.calibrate(converted, [images], progress=False)
    trainer = Trainer(converted, SGD)
    start = trainer.start()
    graph, params, rest = nnx.split(converted, nnx.Param, ...)

    def once(params, images):
        return trainer.outputs(params, start.rest, images, fast_key(0))[0]

    def stages(params, images):
        return nnx.merge(graph, params, rest, copy=True)(images)

    def both(function):
        return jax.jit(jax.value_and_grad(lambda p, x: jnp.sum(jnp.sin(function(p, x))), (0, 1)))

    whole = nnx.merge(trainer._graph, start.params, trainer._recipe.state(start.held), trainer._given, start.rest)
    assert placed(whole)[""].conv_general_dilated.direct
    (one, (grads, back)), (two, (same, again)) = both(once)(start.params, images), both(stages)(params, images)
    assert float(one) == pytest.approx(float(two), rel=1e-4)
    near(nnx.to_pure_dict(grads), nnx.to_pure_dict(same), 1e-4)
    near(back, again, 1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backward": "ste"}, "backward is 'ste'"),
        ({"chips": 0}, r"chips is 0; give whole numbers in \[1"),
        ({"ema": 1.5}, "ema is 1.5"),
        ({"activations": "float16"}, r"activations is 'float16'"),
        ({"accumulate": None}, r"accumulate is None; give a number in \[1, 10000\]"),
    ],
)
def test_wrong_options_are_refused_when_they_are_made(fields, message):
    with pytest.raises(UserError, match=message):
        Options(**fields)


def test_whole_numbers_may_be_floats():
    assert list(range(Options(accumulate=2.0).accumulate)) == [0, 1]  # pyright: ignore


DIGITAL = Net(nnx.Rngs(0))
WIDE = nnx.Linear(8, 7, rngs=nnx.Rngs(0))
REFUSED = {
    "labels that are too few": ({"y": Y[:3]}, "96 inputs, 3 labels and a batch of 8"),
    "half a batch": ({"batch": 8.5}, "batch is 8.5"),
    "arguments in another order": ({"model": X, "x": Y, "y": DIGITAL}, "model is a ndarray; give a flax.nnx module"),
    "inputs of other features": ({"x": X[:, :7]}, r"model cannot be called with inputs of shape \(8, 7\): .*dot_general"),
    "on hardware": ({"model": None, "x": X[:, :7]}, r"'first' was given inputs of shape \(8, 7\); its axes .* 8 features"),
    "one-hot labels": ({"y": np.eye(3)[Y]}, r"float64 numbers of shape \(96, 3\) for outputs of shape \(8, 3\); give whole"),
    "classes from one": ({"y": Y + 1}, "Labels go from 1 to 3, and the model has 3 outputs; give classes from 0"),
    "negative classes": ({"y": Y - 1}, "Labels go from -1 to 1"),
    "options as a dict": ({"options": {"chips": 2}}, "options is a dict; give imcjax.training.Options"),
    "a learning rate": ({"optimizer": 0.1}, "optimizer is a float; give an Optax optimizer"),
    "a seed for a key": ({"key": 0}, "key is a int; give one random key"),
    "a number for a mesh": ({"mesh": 2}, "mesh is a int; give a jax.sharding.Mesh"),
    "a teacher of other classes": (
        {"teacher": WIDE, "options": Options(distill=0.5)},
        r"teacher's outputs have shape \(8, 7\), the model's \(8, 3\)",
    ),
    "a function for a teacher": ({"teacher": len, "options": Options(distill=0.5)}, "teacher is a builtin_function_or_method"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_before_the_first_step(name):
    given, message = REFUSED[name]
    given = {"model": DIGITAL, "x": X, "y": Y, "optimizer": SGD, "batch": 8} | given
    given["model"] = model() if given["model"] is None else given["model"]
    with pytest.raises(UserError, match=message):
        fit(given.pop("model"), given.pop("x"), given.pop("y"), steps=1, **given)


def test_lists_will_do_and_labels_of_ones_own_loss_are_ones_own():
    layer = nnx.Linear(8, 3, rngs=nnx.Rngs(0))
    fit(layer, X.tolist(), Y.tolist(), steps=1, batch=8, optimizer=SGD)
    fit(layer, X, np.eye(3)[Y], steps=1, batch=8, optimizer=SGD, loss=lambda outputs, y: jnp.mean((outputs - y) ** 2))


def test_folders_that_cannot_hold_checkpoints_are_refused(tmp_path):
    layer, common = nnx.Linear(8, 3, rngs=nnx.Rngs(0)), {"steps": 1, "batch": 8, "optimizer": SGD}
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file cannot hold checkpoints"):
        fit(layer, X, Y, folder=tmp_path / "file", **common)
    (tmp_path / "damaged" / "fit" / "1").mkdir(parents=True)
    with pytest.raises(UserError, match=r"checkpoint of step 1 in .*damaged/fit cannot be read .* delete that folder"):
        fit(layer, X, Y, folder=tmp_path / "damaged", **common)


SHARDED = """
import jax, optax
from tests.training.test_fit import *
mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
plain = imcjax.convert(Net(nnx.Rngs(0)), NOISY)
one, many = (Trainer(plain, SGD, Options(chips=2), key=fast_key(3), mesh=m) for m in (None, mesh))
(a, am), (b, bm) = (t.step(t.start(), X, Y) for t in (one, many))
near(params(a), params(b), 1e-5)
assert len(b.params["first"]["kernel"].get_value().sharding.device_set) == 4
"""


@pytest.mark.slow
def test_data_parallel_training_is_training():
    code = "import os; os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'\n" + SHARDED
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def product(x, w, hardware, settings, **how):
    """`direct.product` of a whole matrix, as `imcjax.mvm` takes it."""
    return direct.product(x, lax.split(w, tiling(w.shape, hardware).row_sizes), hardware, settings, **how)


def test_products_in_one_pass_are_those_of_the_pipeline():
    hardware = Hardware(rows=6, cols=5, dac=Dac(input_bits=5, bits=5), adc=Adc(bits=6, flaws=Flaws(noise_sigma=0.01)))
    x, w = jnp.asarray(X[:16]), jnp.asarray(np.random.default_rng(1).normal(size=(8, 7)), jnp.float32)
    level = 15 * unit_current(hardware)
    weight, inputs, adc = (
        1.3,
        1.9,
        jnp.asarray([[1.0], [2.0]])[:, :, None, None, None] * level,
    )  # of each tile; some of all clip
    settings = Settings(weight_range=weight, input_range=inputs, adc_range=adc)

    def loss(function):
        return jax.jit(jax.value_and_grad(lambda x, w: jnp.sum(jnp.sin(function(x, w, hardware, settings))), (0, 1)))

    (one, grads), (two, same) = (loss(function)(x, w) for function in (product, imcjax.mvm))
    assert float(one) == pytest.approx(float(two), rel=1e-4)
    near(grads, same, 1e-4)
    for free in (Settings(), Settings(adc_range=adc)):
        np.testing.assert_allclose(product(x, w, hardware, free), imcjax.mvm(x, w, hardware, free), rtol=1e-4, atol=1e-4)
    wide = settings.replace(adc_range=10 * adc)
    noise = product(x, w, hardware.replace(adc=Adc(bits=24, flaws=hardware.adc.flaws)), wide, key=fast_key(0))
    noise -= product(x, w, hardware.replace(adc=Adc(bits=24)), wide)
    assert np.std(noise) == pytest.approx(0.1 * np.sqrt(5) * weight * inputs, rel=0.2)  # of both tiles
    assert direct.applies(hardware)
    clean = product(x, w, hardware, wide, key=fast_key(0), largest=jnp.asarray(1.3))  # the settings' own range comes first
    np.testing.assert_allclose(clean, product(x, w, hardware, wide, key=fast_key(0)), rtol=1e-6)
    free = wide.replace(weight_range=None)
    largest = jnp.max(jnp.abs(w))
    np.testing.assert_array_equal(product(x, w, hardware, free), product(x, w, hardware, free, largest=largest))
    # Twice the largest weight: half the conductance and twice the value of a code, as after doubling the range of the ADC.
    coarse = product(x, w, hardware, free, largest=2 * largest)
    np.testing.assert_allclose(coarse, product(x, w, hardware, free.replace(adc_range=20 * adc)), rtol=1e-5, atol=1e-5)
    for other in (
        {"device": devices.Generic(1e-6, 40e-6, read_sigma=0.1)},
        {"wires": Wires(1.0, 1.0, 1.0, 1.0)},
        {"dac": Dac(input_bits=5, bits=2)},
        {"encoding": Differential(weight_bits=4)},
        {"adc": Adc(bits=6, flaws=Flaws(gain_sigma=0.1))},
    ):
        assert not direct.applies(hardware.replace(**other))
