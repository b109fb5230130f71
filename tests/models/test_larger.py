"""The larger models have the sizes that their papers give, counted on shapes alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from imcjax import models
from imcjax.errors import UserError
from imcjax.models import MobileNetV2, ResNet, ViT
from imcjax.models.vgg import VGG

from .test_models import macs


SMALL = (32, 32, 3)


def shaped(build):
    return nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))


def count(model, kind=nnx.Param, *, only=lambda path: True):
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(model, kind)))
    return sum(int(np.prod(leaf.shape)) for path, leaf in leaves if only(jax.tree_util.keystr(path)))


def kernels(path):
    return "kernel" in path


def test_resnets_are_those_of_the_paper():
    small = shaped(lambda rngs: ResNet(SMALL, 10, blocks=3, rngs=rngs))
    assert count(small, only=kernels) == 268_336
    larger = shaped(lambda rngs: ResNet(SMALL, 10, blocks=5, rngs=rngs))
    assert round(count(larger) / 1e6, 2) == 0.46  # table 6
    assert count(larger, only=kernels) == 461_872


def test_vggs():
    convolutions = 9 * (3 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
    for hidden, dense in (((), 8192 * 10), ((1024,), 8192 * 1024 + 10_240), ((1024, 1024), 8192 * 1024 + 1024**2 + 10_240)):
        model = shaped(lambda rngs, hidden=hidden: VGG(SMALL, 10, hidden=hidden, rngs=rngs))
        assert count(model, only=kernels) == convolutions + dense


@pytest.mark.slow
def test_mobilenet_and_vision_transformer_at_their_published_sizes():
    assert count(shaped(lambda rngs: MobileNetV2((224, 224, 3), 1000, width=1.0, rngs=rngs))) == 3_504_872
    tiny = shaped(lambda rngs: ViT((224, 224, 3), 1000, patch=16, depth=12, rngs=rngs))
    assert count(tiny) == 5_717_416


@pytest.mark.slow
def test_multiplications_of_resnet20():
    model = models.build("resnet20", SMALL, 10, 0)
    model.eval()
    assert macs(model, SMALL) == 40_551_040


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) for n in models.LARGER if n != "resnet20"] + ["resnet20"]
)
def test_maps_a_batch_to_logits_and_trains(name):
    model = models.build(name, (16, 16, 2), 5, 0)
    model.eval()
    x = np.random.default_rng(0).random((2, 16, 16, 2), np.float32)
    call = nnx.jit(lambda model, x: model(x))
    logits = call(model, x)
    assert logits.shape == (2, 5)
    np.testing.assert_allclose(call(model, x[::-1])[1], logits[0], rtol=1e-3, atol=1e-4)  # samples do not mix
    gradient = nnx.jit(nnx.grad(lambda model: jnp.sum(model(x) ** 2)))(model)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(gradient, nnx.Param)))
    still = [jax.tree_util.keystr(path) for path, leaf in leaves if not np.any(np.asarray(leaf))]
    assert all("'key'" in path and "bias" in path for path in still)  # softmax does not see what all keys have in common


def test_samples_that_are_too_small_are_refused():
    for name, shape in (("resnet20", (64,)), ("vgg8", (4, 4, 1)), ("mobilenetv2", (8, 8, 1)), ("vit", (9, 9, 1))):
        with pytest.raises(UserError, match=rf"{' x '.join(map(str, shape))}; take the model mlp"):
            models.build(name, shape, 10, 0)
