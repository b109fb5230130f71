"""A case of a study: a network trained in one way for one hardware, judged on chips. Each is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import imcjax
from imcjax.data import Dataset
from imcjax.fast_random import fast_key
from imcjax.files import read_json, write_json
from imcjax.training import Options, fit


def kept(path: Path, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is in the file at `path`; where there is none, what `find` finds, which then is."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, find())
    return read_json(path)


def trained(
    model: Any,
    data: Dataset,
    steps: int,
    folder: Path,
    *,
    rate: float,
    options: Options | None = None,
    batch: int = 128,
    augment: Callable[..., Any] | None = None,
) -> Any:
    """The model after `steps` steps of Adam with a cosine schedule; goes on from the folder's checkpoints."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))
    x, y = data.train.x, data.train.y
    chunk = max(1, min(100, steps))
    how: dict[str, Any] = {"batch": batch, "options": options, "augment": augment, "folder": folder, "chunk": chunk}
    return fit(model, x, y, optimizer=optimizer, steps=steps, **how).model


def put_on(model: Any, rules: Any, data: Dataset) -> Any:
    """The model on hardware, calibrated on a thousand training images."""
    converted = imcjax.convert(model, rules)
    imcjax.calibrate(converted, [data.train.x[:1000]], progress=False)
    return converted


def correct_columns(model: Any, data: Dataset) -> Any:
    """The model, each column's digital gain and offset fitted to its noise-free chip on a thousand training images."""
    chip = imcjax.nn.program_chips(model, None)[0]
    ready = imcjax.nn.on_chip(model, chip, columns=imcjax.nn.record_inputs(model, [data.train.x[:1000]]))
    fitted = imcjax.nn.operators(ready)
    for path, operator in imcjax.nn.operators(model).items():
        operator.correction = fitted[path].correction
    return model


def digital_accuracy(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Of a model that is on no hardware."""
    from flax import nnx

    model.eval()
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, x: nnx.merge(graph, state, copy=True)(x))
    found = [np.asarray(run(state, part)).argmax(-1) for part in np.array_split(x, max(1, len(x) // 500))]
    return float((np.concatenate(found) == y).mean())


def chips(model: Any, x: np.ndarray, y: np.ndarray, count: int, **options: Any) -> list[list[float]]:
    """Accuracies of the same simulated chips in every case: [chip][time]."""
    return np.asarray(imcjax.nn.evaluate(model, x, y, key=fast_key(7), chips=count, **options)).tolist()


def summary(accuracies: list[float]) -> dict[str, float]:
    """Mean, sample standard deviation, and the 1 % quantile, at which one chip in a hundred is worse."""
    values = np.asarray(accuracies)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "std": spread, "quantile_1": float(np.quantile(values, 0.01))}
