"""A BatchNorm folded into the layer before it gives the outputs of evaluation mode."""

import jax
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware, UserError
from imcjax.nn import fold_batchnorm, operators

from .example import close, data, run


IDEAL = Hardware.ideal()


def trained(norm: nnx.BatchNorm) -> nnx.BatchNorm:
    """Statistics, gains and offsets that are not the initial ones."""
    rng = np.random.default_rng(3)
    for name, low, high in (("mean", -1, 1), ("var", 0.2, 3), ("scale", -2, 2), ("bias", -1, 1)):
        variable = getattr(norm, name)
        if variable is not None:
            variable.set_value(jax.numpy.asarray(rng.uniform(low, high, variable.shape), "float32"))
    return norm


def sequence(bias=True, **options):
    rngs, init = nnx.Rngs(0), nnx.initializers.normal(1.0)
    return nnx.Sequential(
        nnx.Conv(2, 4, (2, 2), padding="VALID", use_bias=bias, bias_init=init, rngs=rngs),
        trained(nnx.BatchNorm(4, use_running_average=True, rngs=rngs, **options)),
        nnx.relu,
        nnx.Linear(4, 5, use_bias=bias, bias_init=init, rngs=rngs),
        trained(nnx.BatchNorm(5, use_running_average=True, rngs=rngs, **options)),
    )


@pytest.mark.parametrize(
    ("bias", "options"), [(True, {}), (False, {"use_scale": False, "epsilon": 0.1}), (True, {"use_bias": False}), (False, {})]
)
def test_folded_norms_of_a_sequential_give_the_same_outputs(bias, options):
    model, x = sequence(bias, **options), data(2, 3, 3, 2)
    before = np.asarray(model(x))
    found = imcjax.convert(model, IDEAL, batchnorm="fold")
    assert not [m for _, m in nnx.iter_modules(found) if isinstance(m, nnx.BatchNorm)]
    assert len(operators(found)) == 2
    close(run(found, x), before)
    np.testing.assert_array_equal(model(x), before)
    assert (model.layers[0].bias is None) == (not bias)


class Named(nnx.Module):
    def __init__(self, rngs):
        self.norm = trained(nnx.BatchNorm(5, use_running_average=True, rngs=rngs))
        self.inner = nnx.Dict(layer=nnx.Linear(4, 5, use_bias=False, rngs=rngs))
        self.norms = nnx.List([trained(nnx.BatchNorm(5, use_running_average=True, rngs=rngs))])
        self.last = nnx.Linear(5, 5, rngs=rngs)

    def __call__(self, x):
        return self.norms[0](self.last(nnx.relu(self.norm(self.inner["layer"](x)))))


def test_norms_named_by_a_mapping_are_folded():
    model, x = Named(nnx.Rngs(0)), data(6, 4)
    found = imcjax.convert(model, IDEAL, batchnorm={"norm": "inner/layer", "norms/0": "last"})
    close(run(found, x), model(x))
    assert imcjax.summary(found).digital == []


def test_digital_keeps_the_norms():
    model, x = sequence(), data(2, 3, 3, 2)
    found = imcjax.convert(model, IDEAL)
    assert sum(isinstance(m, nnx.BatchNorm) for _, m in nnx.iter_modules(found)) == 2
    close(run(found, x), model(x))


def test_wrong_foldings_are_refused():
    model = Named(nnx.Rngs(0))
    for batchnorm, message in {
        "fold": "No BatchNorm follows a layer directly",
        "merge": "batchnorm is 'merge'; give 'digital', 'fold'",
    }.items():
        with pytest.raises(UserError, match=message):
            imcjax.convert(model, IDEAL, batchnorm=batchnorm)
    with pytest.raises(UserError, match="'last', which is not a BatchNorm"):
        imcjax.convert(model, IDEAL, batchnorm={"last": "norm"})
    with pytest.raises(UserError, match="not a Linear or Conv"):
        imcjax.convert(model, IDEAL, batchnorm={"norm": "norms/0"})
    with pytest.raises(UserError, match="4 features on axis -1; to be folded into 'layers/3' it must normalise its 5"):
        fold_batchnorm(sequence(), {"layers/1": "layers/3"})
