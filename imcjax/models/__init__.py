"""Plain Flax models that know nothing of hardware. A new one is a file here and a line below."""

from collections.abc import Callable

from flax import nnx

from imcjax.errors import UserError, nearest
from imcjax.models.lenet5 import LeNet5
from imcjax.models.mlp import MLP


MODELS: dict[str, Callable[..., nnx.Module]] = {
    "lenet5": LeNet5,
    "mlp": MLP,
}


def names() -> list[str]:
    """The models that `build` knows."""
    return sorted(MODELS)


def build(name: str, shape: tuple[int, ...], classes: int, seed: int) -> nnx.Module:
    """The model `name` for samples of `shape`, its weights drawn from `seed`; it maps (batch, *shape) to (batch, classes).

    Raises:
      UserError: where the name is unknown, or the model cannot take samples of this shape.
    """
    if name not in MODELS:
        raise UserError(f"there is no model {name!r}{nearest(name, MODELS)}; give one of these names.")
    return MODELS[name](shape, classes, rngs=nnx.Rngs(seed))
