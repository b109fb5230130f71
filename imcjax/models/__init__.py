"""Plain Flax models that know nothing of hardware. A new one is a file here and a line below."""

from collections.abc import Callable
from functools import partial

from flax import nnx

from imcjax.errors import UserError, check_number, nearest
from imcjax.models.lenet5 import LeNet5
from imcjax.models.mlp import MLP
from imcjax.models.mobilenet import MobileNetV2
from imcjax.models.resnet import ResNet
from imcjax.models.vgg import VGG
from imcjax.models.vit import ViT


MODELS: dict[str, Callable[..., nnx.Module]] = {
    "lenet5": LeNet5,
    "mlp": MLP,
}
"""Those that `imcjax codesign` takes."""

LARGER: dict[str, Callable[..., nnx.Module]] = {
    "mobilenetv2": MobileNetV2,
    "resnet20": partial(ResNet, blocks=3),
    "resnet32": partial(ResNet, blocks=5),
    "vgg7": partial(VGG, hidden=()),
    "vgg8": partial(VGG, hidden=(1024,)),
    "vgg9": partial(VGG, hidden=(1024, 1024)),
    "vit": ViT,
}
"""Those with running statistics or attention, which `imcjax.training.fit` trains."""


def names() -> list[str]:
    """The models that `imcjax codesign` takes."""
    return sorted(MODELS)


def build(name: str, shape: tuple[int, ...], classes: int, seed: int) -> nnx.Module:
    """The model `name` for samples of `shape`, its weights drawn from `seed`; it maps (batch, *shape) to (batch, classes).

    Raises:
      UserError: where the name is unknown, there are no classes, or the model cannot take samples of this shape.
    """
    known = MODELS | LARGER
    if name not in known:
        raise UserError(f"there is no model {name!r}{nearest(name, known)}; give one of these names.")
    check_number("classes", classes, 1, whole=True)
    return known[name](shape, classes, rngs=nnx.Rngs(seed))
