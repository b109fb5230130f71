import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from imcjax import models
from imcjax.errors import UserError


def parameters(model):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def macs(model, shape):
    """Multiply-accumulates for one sample, counted in the program that JAX traces and not in what the model claims."""
    jaxpr = jax.make_jaxpr(lambda x: model(x))(jnp.zeros((1, *shape)))
    return sum(map(equation_macs, equations(jaxpr.jaxpr)))


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)  # closed or not
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def equation_macs(equation):
    name, out = equation.primitive.name, equation.outvars[0].aval
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return out.size * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        out_axis = equation.params["dimension_numbers"].rhs_spec[0]
        return out.size * kernel.size // kernel.shape[out_axis]
    return 0


@pytest.mark.parametrize(
    "name, shape, count, products",
    [
        ("lenet5", (28, 28, 1), 582_026, 4_267_008),
        ("mlp", (28, 28, 1), 235_146, 784 * 256 + 256 * 128 + 1_280),
        ("mlp", (8, 8, 1), 50_826, 64 * 256 + 256 * 128 + 1_280),
    ],
)
def test_size(name, shape, count, products):
    model = models.build(name, shape, 10, 0)
    assert parameters(model) == count
    assert macs(model, shape) == products


@pytest.mark.parametrize("name, shape", [("mlp", (8, 8, 1)), ("mlp", (5,)), ("lenet5", (16, 17, 3))])
def test_maps_a_batch_to_logits(name, shape):
    model = models.build(name, shape, 7, 0)
    x = np.random.default_rng(0).random((3, *shape), np.float32)
    call = nnx.jit(lambda model, x: model(x))
    logits = call(model, x)
    assert logits.shape == (3, 7)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(call(model, x[1:2])[0], logits[1], rtol=1e-4, atol=1e-5)  # samples do not mix
    gradient = nnx.jit(nnx.grad(lambda model: jnp.sum(model(x) ** 2)))(model)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_layer_names():
    """Rules, checkpoints and results name the layers, so they are part of the interface."""
    for name, layers in (("mlp", ["hidden1", "hidden2", "output"]), ("lenet5", ["conv1", "conv2", "hidden", "output"])):
        model = models.build(name, (28, 28, 1), 10, 0)
        assert [path[0] for path, module in nnx.iter_modules(model) if isinstance(module, (nnx.Linear, nnx.Conv))] == layers


def test_seed_decides_the_weights():
    kernels = [models.build("mlp", (4,), 2, seed).hidden1.kernel[...] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert jnp.all(kernels[0] != kernels[2])


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 15, 1), (64,)])
def test_lenet5_refuses_small_samples(shape):
    given = " x ".join(map(str, shape))
    with pytest.raises(
        UserError, match=f"^the model lenet5 needs .* at least 16 x 16 pixels.* {given}; take the model mlp instead"
    ):
        models.build("lenet5", shape, 10, 0)


def test_unknown_name():
    assert models.names() == ["lenet5", "mlp"]  # what the command takes
    with pytest.raises(UserError, match=r"^there is no model 'lenet' \(nearest: lenet5.*\); give"):
        models.build("lenet", (28, 28, 1), 10, 0)
    with pytest.raises(UserError, match=r"classes is 0; give whole numbers in \[1"):
        models.build("mlp", (8, 8, 1), 0, 0)
