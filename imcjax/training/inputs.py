"""What training is given, looked at before the first step: errors of Flax and Optax say little of which argument is wrong."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from imcjax.errors import UserError, check_number
from imcjax.nn.hooks import hook_name, placed
from imcjax.training.losses import cross_entropy


def check_optimizer(optimizer: Any, name: str = "optimizer") -> None:
    """Refuse what is no Optax transformation.

    Raises:
      UserError: naming the argument `name`.
    """
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise UserError(f"{name} is a {type(optimizer).__name__}; give an Optax optimizer, as optax.adam(1e-3).")


def check_model(model: Any, name: str = "model") -> None:
    """Refuse what is no nnx module.

    Raises:
      UserError: naming the argument `name`.
    """
    if not isinstance(model, nnx.Module):
        raise UserError(f"{name} is a {type(model).__name__}; give a flax.nnx module.")


def check_mesh(mesh: Any) -> None:
    """Refuse what is no mesh.

    Raises:
      UserError: it is none.
    """
    if mesh is not None and not isinstance(mesh, Mesh):
        raise UserError(f"mesh is a {type(mesh).__name__}; give a jax.sharding.Mesh, or None for one device.")


def check_batch(x: Any, y: Any, batch: Any) -> None:
    """Refuse inputs and labels of different numbers, and a batch that is more than all.

    Raises:
      UserError: naming the numbers.
    """
    check_number("batch", batch, whole=True)
    if len(x) != len(y) or not 1 <= batch <= len(x):
        raise UserError(
            f"There are {len(x)} inputs, {len(y)} labels and a batch of {batch}; give a label an input, batch at most."
        )


def check_data(model: Any, x: Any, y: Any, loss: Any, teacher: Any = None) -> None:
    """Refuse inputs that the models cannot take, and labels that cross-entropy would silently take for others.

    Args:
      model: to be trained.
      x, y: one batch of inputs, all labels.
      loss: whose labels are classes where it is `cross_entropy`.
      teacher: a model, or None.

    Raises:
      UserError: naming shapes, or the layer on hardware that has other features.
    """
    outputs = _outputs(model, x, "model")
    if teacher is not None:
        wanted = _outputs(teacher, x, "teacher")
        if jnp.shape(wanted) != jnp.shape(outputs):
            raise UserError(
                f"The teacher's outputs have shape {jnp.shape(wanted)}, the model's {jnp.shape(outputs)}; give one of "
                "the same classes."
            )
    if loss is not cross_entropy:
        return
    shape = jnp.shape(outputs)
    if not np.issubdtype(y.dtype, np.integer) or y.shape[1:] != shape[1:-1]:
        raise UserError(
            f"Labels are {y.dtype} numbers of shape {y.shape} for outputs of shape {shape}; give whole numbers of classes, one "
            "for each row of outputs, or a loss of your own."
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= shape[-1]:
        raise UserError(f"Labels go from {low} to {high}, and the model has {shape[-1]} outputs; give classes from 0.")


def _outputs(model: Any, x: Any, name: str) -> Any:
    """Shapes of the outputs; layers on hardware compute digitally, which is traced in no time."""
    model = nnx.clone(model)
    model.train() if name == "model" else model.eval()
    copy = nnx.clone(model)
    for module in placed(copy).values():
        setattr(module, hook_name(module), nnx.static(getattr(module, hook_name(module)).exactly))
    try:
        return _shapes(copy, x)
    except (TypeError, ValueError) as error:
        if placed(model):
            try:
                _shapes(model, x)
            except UserError as named:  # by the layer
                raise named from None
            except (TypeError, ValueError):
                pass
        raise UserError(f"The {name} cannot be called with inputs of shape {np.shape(x)}: {error}") from error


def _shapes(model: Any, x: Any) -> Any:
    graph, state = nnx.split(model)
    return jax.eval_shape(lambda state, x: nnx.merge(graph, state, copy=True)(x), state, jnp.asarray(x))
