"""imcjax's training steps: the plain Flax model, and the same one with LSQ on every layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.models import build
from imcjax.nn import FormatRule, Range, fake_quantize
from imcjax.quantize import Lsq
from imcjax.training import cross_entropy


RATE = 1e-3


def jobs(x: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[], Any]]:
    """A step of stochastic gradient descent each, on images (batch, 28, 28, 1); every call goes on from the last."""
    plain = build("lenet5", x.shape[1:], 10, seed=0)

    def quantized(learn_inputs: bool) -> Any:
        image = FormatRule("conv1", weights=Lsq(bits=4), inputs=Lsq(bits=8), learn_inputs=learn_inputs)
        return fake_quantize(plain, weights=Lsq(bits=4), inputs=Lsq(bits=4), rules=[image], sample=x)

    return {
        "float": step(plain, x, labels),
        "quantized": step(quantized(False), x, labels),
        "quantized, image step learned": step(quantized(True), x, labels),
    }


def step(model: Any, x: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    """The weights, and the steps of the formats where there are any, are trained."""
    graph, trained, rest = nnx.split(model, nnx.Any(nnx.Param, Range), ...)
    images, classes = jnp.asarray(x), jnp.asarray(labels)

    def loss(trained: Any, rest: Any, images: jax.Array, classes: jax.Array) -> jax.Array:
        return cross_entropy(nnx.merge(graph, trained, rest)(images), classes)

    def advance(trained: Any, rest: Any, images: jax.Array, classes: jax.Array) -> tuple[Any, jax.Array]:
        value, slope = jax.value_and_grad(loss)(trained, rest, images, classes)
        return jax.tree.map(lambda leaf, g: leaf - RATE * g, trained, slope), value

    compiled = jax.jit(advance, donate_argnums=0)
    state = [jax.tree.map(jnp.copy, trained)]

    def run() -> jax.Array:
        state[0], value = compiled(state[0], rest, images, classes)
        return value

    return run
