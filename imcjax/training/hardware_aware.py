"""Hardware-aware training: one step as a pure function of a state, for the loop of `fit` and for a loop of one's own."""

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from imcjax.errors import UserError, check_number, nearest
from imcjax.fast_random import fast_key
from imcjax.keys import check_key, fold_index, fold_name
from imcjax.nn.direct import applies
from imcjax.nn.formats import FakeQuantized
from imcjax.nn.hooks import hook_name, modules, placed
from imcjax.nn.operator import BACKWARDS, RANGES, Operator
from imcjax.nn.structure import Structure
from imcjax.nn.variables import Bits, Calls, HardwareVariable, Noise, Range, WeightNoise
from imcjax.training.inputs import check_mesh, check_model, check_optimizer
from imcjax.training.kinds import learned, names_of
from imcjax.training.losses import correct, cross_entropy
from imcjax.xla import jit_by_key


@dataclasses.dataclass(frozen=True)
class Options:
    """How a model on hardware is trained. What the forward pass goes through is the model's hardware.

    Each step programs fresh chips: programming noise, converters, partial sums and, by `Hardware.solver`, exact ("auto") or
    approximate ("pade") IR drop.

    Attributes:
      chips: chips a step; loss and gradient are their mean.
      backward: "exact", the derivative of what the hardware computes (rounding passes straight through), or "straight_through",
        that of the digital product, whatever the hardware made of it (Y. Bengio et al., arXiv 1308.3432).
      weight_noise: standard deviation of Gaussian noise on the weights, relative to each layer's largest, new for each chip
        (V. Joshi et al., Nature Communications 11, 2473, 2020); None: none.
      accumulate: parts that a batch is computed in, one after another, to save memory; the gradient is that of the whole. All
        parts meet the same chips.
      distill: share of the teacher's outputs in the loss, from 0 to 1.
      temperature: of both in that part (G. Hinton et al., arXiv 1503.02531).
      ema: decay of the running mean of the parameters; None: none is kept.
      activations: "float32" or "bfloat16": what is computed between layers in; parameters and arrays stay as they are.
      learn: what is trained: "weights", "ranges" and "bits" of converters, or single ones of both ("adc_range", ...). Ranges
        have to be static first (`imcjax.calibrate`); give them an optimizer of their own by `imcjax.training.by_kind`.
    """

    chips: int = 1
    backward: str = "exact"
    weight_noise: float | None = None
    accumulate: int = 1
    distill: float = 0.0
    temperature: float = 4.0
    ema: float | None = None
    activations: str = "float32"
    learn: tuple[str, ...] = ("weights",)

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
          UserError: naming the option.
        """
        names_of(self.learn)
        object.__setattr__(self, "learn", (self.learn,) if isinstance(self.learn, str) else tuple(self.learn))
        for name, low, high, whole in _LIMITS:
            value: Any = getattr(self, name)
            if value is None and name not in ("weight_noise", "ema"):
                raise UserError(f"{name} is None; give a number in [{low:g}, {high:g}], or leave it out.")
            check_number(name, value, low, high, whole=whole)
            if whole and value is not None:
                object.__setattr__(self, name, int(value))  # 2.0 counts as 2, and no range() takes it
        for name, known in (("backward", BACKWARDS), ("activations", ("float32", "bfloat16"))):
            if getattr(self, name) not in known:
                raise UserError(f"{name} is {getattr(self, name)!r}{nearest(str(getattr(self, name)), known)}.")


_LIMITS = (
    ("chips", 1, 10_000, True),
    ("weight_noise", 0.0, 1.0, False),
    ("accumulate", 1, 10_000, True),
    ("distill", 0.0, 1.0, False),
    ("temperature", 1e-3, 1e3, False),
    ("ema", 0.0, 1.0, False),
)


_HELD, _GIVEN = (Bits, Range), (HardwareVariable, Noise, Calls, WeightNoise)
"""What no step changes, where it is not learned: a step does not return it, for every array takes time. The model's ranges and
widths are part of the state all the same, and so of its checkpoints."""


class TrainState(NamedTuple):
    """Everything that training changes, a pytree.

    Attributes:
      params: what is trained: the model's parameters, and ranges and widths where `Options.learn` names them.
      rest: its other state: running statistics, counters.
      held: ranges and widths that are not trained, as nested dictionaries; steps leave them as they are.
      moments: the optimizer's.
      ema: running mean of the parameters; None: none is kept.
      step: how many steps were done.
    """

    params: Any
    rest: Any
    held: Any
    moments: Any
    ema: Any
    step: jax.Array


class Trainer:
    """A model, an optimizer and options as a pure step.

        trainer = Trainer(model, optax.adam(1e-3), Options(chips=2))
        state = trainer.start()
        for x, y in batches:
            state, metrics = trainer.step(state, x, y)
        model = trainer.model(state)

    Attributes:
      options: as given.
      key: what chips are drawn from: step number i from fold_index(key, i).
    """

    def __init__(
        self,
        model: Any,
        optimizer: optax.GradientTransformation,
        options: Options | None = None,
        *,
        loss: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
        teacher: Any = None,
        key: jax.Array | None = None,
        mesh: Mesh | None = None,
    ):
        """A trainer; the model itself is left as it is.

        Args:
          model: an nnx model, converted or not.
          optimizer: of Optax.
          options: None: the defaults.
          loss: of (outputs, labels): a mean over the batch.
          teacher: a model whose outputs are aimed at too, by `Options.distill`.
          key: of the chips; None: `imcjax.fast_random.fast_key(0)`.
          mesh: batches are spread over its first axis, everything else is on all of its devices; None: one device.

        Raises:
          UserError: options out of range, or a teacher without a share in the loss or a share without a teacher.
        """
        options = Options() if options is None else options
        if not isinstance(options, Options):
            raise UserError(f"options is a {type(options).__name__}; give imcjax.training.Options(...).")
        check_model(model)
        check_optimizer(optimizer)
        check_mesh(mesh)
        check_key(key)
        if teacher is not None:
            check_model(teacher, "teacher")
        if (teacher is None) != (options.distill == 0):
            raise UserError(f"distill is {options.distill} and teacher {type(teacher).__name__}; give both, or neither.")
        self.options, self.optimizer, self.mesh = options, optimizer, mesh
        self.key = fast_key(0) if key is None else key
        prepared = _prepared(model, options, self.key)
        self._graph, params, held, self._given, self._rest = nnx.split(
            prepared, learned(options.learn), nnx.Any(*_HELD), nnx.Any(*_GIVEN), ...
        )
        # Numbers set by hand may be weakly typed; after a step they are not, which would compile the second step anew.
        self._params = jax.tree.map(lambda value: lax.convert_element_type(value, value.dtype), params)
        taught, self._teacher = None, None
        if teacher is not None:
            teacher = nnx.clone(teacher)
            teacher.eval()
            graph, self._teacher = nnx.split(teacher)
            taught = Structure(graph)
        # Taken apart once, and not in every step.
        self._held = nnx.to_pure_dict(held)
        self._numbers, given = jax.tree.flatten(jax.tree.map(jnp.asarray, self._given))
        fixed = Structure(jax.tree.structure(held)), Structure(given)
        options = dataclasses.replace(options, weight_noise=None)  # how much noise is one of the numbers by now
        self._recipe = _Recipe(Structure(self._graph), *fixed, optimizer, options, loss, taught)
        self._run = _compiled(self._recipe)(self.key)

    def start(self) -> TrainState:
        """The state before the first step."""
        ema = None if self.options.ema is None else jax.tree.map(jnp.copy, self._params)
        moments = self.optimizer.init(self._params)
        state = TrainState(self._params, self._rest, self._held, moments, ema, jnp.zeros((), jnp.uint32))
        return self.place(state)

    def place(self, state: TrainState) -> TrainState:
        """A state, of a checkpoint say, on the devices."""
        state = jax.tree.map(jnp.asarray, state)
        return state if self.mesh is None else jax.device_put(state, NamedSharding(self.mesh, PartitionSpec()))

    def step(self, state: TrainState, x: Any, y: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        """One step on inputs (batch, ...) and labels (batch, ...): the new state, and the means of loss and accuracy.

        Raises:
          UserError: a batch that `accumulate` parts or the mesh's devices do not divide.
        """
        parts = self.options.accumulate * (1 if self.mesh is None else self.mesh.devices.shape[0])
        if len(x) % parts or len(x) != len(y):
            raise UserError(f"The batch has {len(x)} inputs and {len(y)} labels; give as many of both, a multiple of {parts}.")
        x, y = (part if isinstance(part, jax.Array) else jnp.asarray(part) for part in (x, y))  # asking JAX takes longer
        if self.mesh is not None:
            spread = NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))
            x, y = jax.device_put(x, spread), jax.device_put(y, spread)
        after, metrics = self._run(state._replace(held=None), state.held, self._numbers, self.key, self._teacher, x, y)
        return after._replace(held=state.held), metrics

    def model(self, state: TrainState, *, ema: bool | None = None) -> Any:
        """The model to evaluate, with the parameters or their running mean, where one is kept and `ema` is not False."""
        mean = state.ema is not None if ema is None else ema
        if mean and state.ema is None:
            raise UserError("No running mean of the parameters was kept; give Options(ema=...).")
        held = self._recipe.state(state.held)
        model = nnx.merge(self._graph, state.ema if mean else state.params, held, self._given, state.rest, copy=True)
        for module in placed(model).values():
            operator = getattr(module, hook_name(module))
            operator.weight_noise = nnx.data(None)
            operator.backward, operator.direct, operator.paced = "exact", False, False
        model.eval()
        return model

    def outputs(self, params: Any, rest: Any, x: jax.Array, key: jax.Array, given: Any = None) -> tuple[jax.Array, Any]:
        """Outputs of fresh chips, and the model's other state after the call; `given` holds hardware numbers of one's own."""
        fixed = self._recipe.state(self._held), self._given if given is None else given
        return self._recipe.outputs(params, rest, fixed, x, key)


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """What a step is compiled for. Trainers of the same recipe, whatever their numbers, share the compiled step."""

    model: Structure
    held: Structure
    given: Structure
    optimizer: optax.GradientTransformation
    options: Options
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    teacher: Structure | None

    def state(self, held: Any) -> Any:
        """`TrainState.held` as a part of the model's state."""
        return jax.tree.unflatten(self.held.graph, jax.tree.leaves(held))

    def step(
        self, state: TrainState, held: Any, numbers: list[jax.Array], key: jax.Array, teacher: Any, x: jax.Array, y: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """The state after a step, `held` taken out of both; `numbers` are the hardware's, in the structure `given`."""
        given = self.state(held), jax.tree.unflatten(self.given.graph, numbers)
        own = fold_index(key, state.step)
        parts = self.options.accumulate
        rest, total = state.rest, None
        # Interleaved parts: each device keeps its own share of every part.
        for part in range(parts):
            gradient: Any = jax.value_and_grad(self._objective, has_aux=True)
            (loss, (hits, rest)), grads = gradient(state.params, rest, given, teacher, x[part::parts], y[part::parts], own)
            found = (grads, {"loss": loss, "accuracy": hits})
            total = found if total is None else jax.tree.map(jnp.add, total, found)
        assert total is not None
        grads, metrics = jax.tree.map(lambda sum_: sum_ / parts, total)
        updates, moments = self.optimizer.update(grads, state.moments, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        decay, ema = self.options.ema, state.ema
        if decay is not None:
            ema = jax.tree.map(lambda mean, value: decay * mean + (1 - decay) * value, ema, params)
        return TrainState(params, rest, None, moments, ema, state.step + 1), metrics

    def outputs(self, params: Any, rest: Any, given: Any, x: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        """Outputs of fresh chips, and the model's other state after the call."""
        model = nnx.merge(self.model.graph, params, *given, rest, copy=True)
        for module in modules(model).values():
            hook = getattr(module, hook_name(module))
            # Formats that round at random draw anew in every step, as devices do.
            if isinstance(hook, Operator | FakeQuantized) and hook.noise is not None:
                stack = getattr(hook, "stack", ())
                hook.noise.set_value(_of_stack(key, stack))
                hook.calls.set_value(jnp.zeros(stack, jnp.uint32))
        found = model(x)
        return found, nnx.split(model, learned(self.options.learn), nnx.Any(*_HELD), nnx.Any(*_GIVEN), ...)[4]

    def _objective(self, params: Any, rest: Any, given: Any, teacher: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> Any:
        if self.options.chips == 1:
            outputs, after = self.outputs(params, rest, given, x, fold_index(key, 0))
            loss, hits = self._loss(outputs, teacher, x, y)
            return loss, (hits, after)
        keys = jax.vmap(lambda i: fold_index(key, i))(jnp.arange(self.options.chips, dtype=jnp.uint32))
        outputs, after = jax.vmap(self.outputs, in_axes=(None, None, None, None, 0))(params, rest, given, x, keys)
        loss, hits = jax.vmap(self._loss, in_axes=(0, None, None, None))(outputs, teacher, x, y)
        return loss.mean(), (hits.mean(), jax.tree.map(_mean_of_chips, after))

    def _loss(self, outputs: jax.Array, teacher: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        loss = self.loss(outputs, y)
        if self.teacher is not None:
            wanted = nnx.merge(self.teacher.graph, teacher, copy=True)(x).astype(outputs.dtype)
            loss = (1 - self.options.distill) * loss + self.options.distill * _distance(
                outputs, wanted, self.options.temperature
            )
        classes = outputs.ndim == 2 and y.ndim == 1
        return loss, correct(outputs, y).mean() if classes else jnp.full((), jnp.nan)


@lru_cache(maxsize=64)
def _compiled(recipe: _Recipe) -> Any:
    return jit_by_key(recipe.step)


def _distance(outputs: jax.Array, wanted: jax.Array, temperature: float) -> jax.Array:
    """Kullback-Leibler divergence from the teacher's softened classes, nat, times the squared temperature."""
    log_p, log_q = (jax.nn.log_softmax(z / temperature) for z in (wanted, outputs))
    return temperature**2 * jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1).mean()


def _prepared(model: Any, options: Options, key: jax.Array) -> Any:
    """A copy in training mode whose layers on hardware draw, with the options' noise and backward pass."""
    copy = nnx.clone(model)
    copy.train()
    _check_learned(copy, options)
    wanted = [name for name in names_of(options.learn) if name in RANGES]
    noises: dict[tuple[int, ...], Noise] = {}
    for path, module in placed(copy).items():
        operator = getattr(module, hook_name(module))
        if wanted and all(getattr(operator, name) is None for name in wanted):
            raise UserError(f"Layer {path!r} has no static {wanted[0]} to learn; call imcjax.calibrate(model, batches) first.")
        operator.paced = bool(wanted)
        if operator.stack not in noises:
            noises[operator.stack] = Noise(_of_stack(key, operator.stack))
        operator.noise = nnx.data(noises[operator.stack])
        operator.backward = options.backward
        operator.direct = applies(operator.technology)
        noise = options.weight_noise
        operator.weight_noise = nnx.data(None if noise is None else WeightNoise(jnp.full(operator.stack, noise, dtype=float)))
    if options.activations == "bfloat16":
        for _, module in nnx.iter_modules(copy):
            if hasattr(module, "dtype") and hasattr(module, "param_dtype"):
                setattr(module, "dtype", jnp.bfloat16)  # noqa: B010  (of a kind that has one)
    return copy


def _check_learned(model: Any, options: Options) -> None:
    """Refuse to train what the model does not have, or what would move without any effect on the chip."""
    names = names_of(options.learn)
    found = {path: getattr(module, hook_name(module)) for path, module in placed(model).items()}
    for path, operator in found.items():
        adc = operator.technology.adc
        if "adc_bits" in names and operator.adc_bits is not None and adc.kind != "searched":
            raise UserError(
                f"learn holds adc_bits, but layer {path!r} has ADCs of kind {adc.kind!r}, whose width is fixed; put "
                "imcjax.codesign.SearchedAdc in their place, or leave adc_bits out."
            )
    asked = [name for name in names if name != "weights"]
    # Ranges of layers on hardware are not there before calibration, and that is said layer by layer.
    later = bool(found) and any(name in RANGES for name in asked)
    if asked and not later and not jax.tree.leaves(nnx.state(model, learned(asked))):
        raise UserError(f"learn holds {', '.join(asked)}, and no layer of the model has any; train its weights alone.")


def _of_stack(key: jax.Array, stack: tuple[int, ...]) -> jax.Array:
    return jax.random.split(fold_name(key, "member"), stack) if stack else key


def _mean_of_chips(leaf: jax.Array) -> jax.Array:
    """Of running statistics; of keys and counters any."""
    return leaf.mean(0) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf[0]
