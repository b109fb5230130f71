"""AdaRound: for each weight, whether to round up or down, learned layer by layer from what the layer computes."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from imcjax.errors import UserError
from imcjax.nn.fake_quantize import fake_operators
from imcjax.nn.hooks import plain_layers
from imcjax.nn.layer_records import LayerRecord, Recorder
from imcjax.quantize import Affine, Format, Lsq, Symmetric


LOW, HIGH = -0.1, 1.1
"""gamma and zeta of the rectified sigmoid."""
SHARPNESS = (20.0, 2.0)
"""beta at the start and at the end."""
WARM = 0.2
"""The fraction of the steps without regularizer, in which rounding finds its way."""


def adaround(
    model: Any,
    batches: Iterable[Any],
    *,
    steps: int = 1000,
    samples: int = 32,
    learning_rate: float = 1e-2,
    regularizer: float = 0.01,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Round the weights of every quantized layer so that its outputs change least, in place, in the order of the calls.

    Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020: Adam on V minimises

        |W x - W^ x^|^2 + lambda sum(1 - |2 h(V) - 1|^beta),    W^ = s clip(floor(W / s) + h(V), n, p)

    x of the exact model, x^ of the quantized one with the layers before it rounded already, beta falling from 20 to 2 with the
    half cosine of their code; then h >= 1/2 rounds up. The kernels are left on the grid, where their formats keep them.

    Args:
      model: from `imcjax.nn.fake_quantize`, its weight formats `Symmetric`, `Affine` or `Lsq`.
      batches: inputs of the model, each a whole batch.
      steps: of Adam for each layer.
      samples: of each step, drawn from all (one is an input of the layer, for a convolution all its positions).
      learning_rate: of Adam.
      regularizer: lambda.
      seed: of the draws.

    Returns:
      {path: (mean squared error of the layer's outputs rounded to nearest, as rounded now)}.

    Raises:
      UserError: no layer with such formats, no batches, inputs that are not finite.
    """
    hooks = {path: hook for path, hook in fake_operators(model).items() if hook.weights is not None}
    if not hooks:
        raise UserError("The model has no layer with quantized weights; make it with imcjax.nn.fake_quantize.")
    for path, hook in hooks.items():
        if not isinstance(hook.weights.get(), Symmetric | Affine | Lsq):
            raise UserError(f"Layer {path!r} has weights in {hook.weights.family.kind!r}; adaround needs a uniform grid.")
    batches = [np.asarray(batch) for batch in batches]
    exact = Recorder(model, hooks, exact=True)(model, batches)
    quantized = Recorder(model, hooks, exact=False)
    errors = {}
    for path, record in exact.items():
        layer, hook = plain_layers(model)[path], hooks[path]
        kernel = layer.kernel.get_value()
        kernel = kernel if getattr(layer, "mask", None) is None else kernel * layer.mask
        seen = quantized(model, batches)[path]
        inputs = jnp.concatenate([hook.quantized(jnp.asarray(x), kernel)[0] for x in seen.inputs])
        outputs = _outputs(record, kernel)
        problem = _Problem.of(record, hook.weights.get(), kernel, inputs, outputs)
        up, error = problem.learn(jax.random.key(seed), steps, min(samples, len(inputs)), learning_rate, regularizer)
        layer.kernel.set_value(problem.rounded(up))
        errors[path] = (float(problem.error(problem.nearest)), float(error))
    return errors


def rectified_sigmoid(v: jax.Array) -> jax.Array:
    """h(V), in [0, 1]."""
    return jnp.clip(jax.nn.sigmoid(v) * (HIGH - LOW) + LOW, 0, 1)


def _outputs(record: LayerRecord, kernel: jax.Array) -> jax.Array:
    return jnp.concatenate([jax.jit(record.compute)(jnp.asarray(x), kernel) for x in record.inputs])


class _Problem(NamedTuple):
    """One layer: its grid, the codes below its weights, and what it should compute."""

    compute: Callable[[jax.Array, jax.Array], jax.Array]
    below: jax.Array
    fraction: jax.Array
    ends: tuple[jax.Array, jax.Array]
    step: jax.Array
    offset: jax.Array | float
    inputs: jax.Array
    outputs: jax.Array

    @classmethod
    def of(cls, record: LayerRecord, fmt: Format, kernel: jax.Array, inputs: jax.Array, outputs: jax.Array) -> "_Problem":
        """The problem of a layer with `kernel` in the format `fmt`."""
        _, step, offset = fmt.codes(kernel)
        offset = 0.0 if offset is None else offset
        units = (kernel - offset) / jnp.where(step > 0, step, 1)
        far = jnp.full_like(kernel, jnp.finfo(kernel.dtype).max / 4)
        ends = fmt.codes(-far).codes, fmt.codes(far).codes
        below = jnp.floor(units)
        return cls(record.compute, below, units - below, ends, step, offset, inputs, outputs)

    @property
    def nearest(self) -> jax.Array:
        """Up where that is nearer: 0 or 1."""
        return (self.fraction > 0.5).astype(self.fraction.dtype)

    def rounded(self, up: jax.Array) -> jax.Array:
        """The kernel with `up`, from 0 to 1, added to the codes below it."""
        return self.step * jnp.clip(self.below + up, *self.ends) + self.offset

    def error(self, up: jax.Array) -> jax.Array:
        """Mean over samples and positions of the squared error, summed over the outputs."""
        return jax.jit(self._error)(up, self.inputs, self.outputs)

    def _error(self, up: jax.Array, inputs: jax.Array, outputs: jax.Array) -> jax.Array:
        return jnp.mean(jnp.sum((self.compute(inputs, self.rounded(up)) - outputs) ** 2, axis=-1))

    def learn(
        self, key: jax.Array, steps: int, samples: int, learning_rate: float, regularizer: float
    ) -> tuple[jax.Array, jax.Array]:
        """Up or down (0 or 1) for each weight, and the error with it; never worse than rounding to nearest."""
        optimizer = optax.adam(learning_rate)
        # V where h(V) is the fraction: the search starts from the weights as they are.
        share = jnp.clip((self.fraction - LOW) / (HIGH - LOW), 1e-4, 1 - 1e-4)
        start = jnp.log(share / (1 - share))

        def loss(v: jax.Array, x: jax.Array, y: jax.Array, progress: jax.Array) -> jax.Array:
            up = rectified_sigmoid(v)
            late = jnp.clip((progress - WARM) / (1 - WARM), 0, 1)
            beta = SHARPNESS[1] + (SHARPNESS[0] - SHARPNESS[1]) * (1 + jnp.cos(late * jnp.pi)) / 2
            between = jnp.sum(1 - jnp.abs(2 * up - 1) ** beta)
            return self._error(up, x, y) + jnp.where(progress < WARM, 0.0, regularizer) * between

        def step(state: Any, now: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
            (v, moments), (place, key) = state, now
            chosen = jax.random.randint(key, (samples,), 0, len(self.inputs))
            slope = jax.grad(loss)(v, self.inputs[chosen], self.outputs[chosen], place / steps)
            change, moments = optimizer.update(slope, moments)
            return (optax.apply_updates(v, change), moments), None

        @jax.jit
        def run(start: jax.Array, key: jax.Array) -> jax.Array:
            along = (jnp.arange(steps, dtype=start.dtype), jax.random.split(key, steps))
            (v, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), along)
            return (rectified_sigmoid(v) >= 0.5).astype(start.dtype)

        learned = run(start, key)
        error, before = self.error(learned), self.error(self.nearest)
        return (learned, error) if error <= before else (self.nearest, before)
