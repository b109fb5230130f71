"""A hardware-aware training step beside the plain one and its peers: python -m experiments.benchmarks.training --json OUT."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx
from rich.console import Console

import imcjax
from experiments import tables
from experiments.benchmarks import timing
from experiments.benchmarks.installed import versions
from experiments.benchmarks.perceptron import Perceptron
from experiments.benchmarks.training import peers
from imcjax import Hardware, converters, models
from imcjax.conversion import unit_current
from imcjax.fast_random import fast_key
from imcjax.files import write_json, write_text
from imcjax.nn import operators
from imcjax.training import Options as Training
from imcjax.training import Trainer, cross_entropy


MEASURED = ("jax", "jaxlib", "flax", "torch", "aihwkit-lightning", "aihwkit", "brevitas")
TURN_S = 0.3
"""Least time of a turn: a step of training follows hundreds like it."""
RATE = 0.05
HARDWARE = Hardware(
    name="cfg8",
    rows=512,
    cols=512,
    dac=converters.Dac(input_bits=8, bits=8),
    adc=converters.Adc(bits=8, flaws=converters.Flaws(noise_sigma=0.04 / 10)),
)
"""8-bit inputs and ADCs, noise of 0.04 of the largest product before each conversion, arrays of 512 x 512 cells."""
WEIGHT_NOISE = 0.05
ADC_RANGE = 10.0
"""Largest products (max|w| max|x|) at the ADC's largest code."""


@dataclass(frozen=True)
class Options:
    """Steps of gradient descent with noisy weights and 8-bit converters; peers that are not installed are left out."""

    json: Path
    """File for the result; a .md of the same name goes beside it."""
    threads: int = 1
    """Processors that all may use."""
    rounds: int = 7
    """How often they take turns."""
    resnet: bool = False
    """Measure ResNet-20 on 32 images of 32 x 32 pixels too."""
    scaling: bool = False
    """Measure the perceptron's step with other batches, tiles and numbers of chips too."""


def main(options: Options) -> dict[str, Any]:
    """Measure everything that the options ask for."""
    threads = timing.use_threads(options.threads)
    result: dict[str, Any] = {
        "threads": threads,
        "versions": versions(*MEASURED),
        "rows": [],
        "left_out": [],
    }
    works: dict[str, tuple[Any, tuple[int, ...]]] = {"MLP 784-512-256-10, batch 128": (Perceptron(nnx.Rngs(0)), (128, 784))}
    if options.resnet:
        works["ResNet-20, batch 32"] = (models.build("resnet20", (32, 32, 3), 10, 0), (32, 32, 32, 3))
    for work, (model, shape) in works.items():
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=shape).astype(np.float32), rng.integers(0, 10, shape[0]).astype(np.int32)
        jobs = {"plain Flax": flax_step(model, x, y)}
        for name, key in {"jax.random": jax.random.key(0), "fast": fast_key(0)}.items():
            jobs[f"imcjax, {name}"] = our_step(model, x, y, key)
        for name, build in peers.PEERS.items():
            try:
                jobs[name] = build(len(shape) == 4, x, y, threads)
            except ImportError as reason:
                result["left_out"].append({"work": work, "solver": name, "reason": str(reason)})
        first = {}
        for name, job in jobs.items():
            start = time.perf_counter()
            jax.block_until_ready(job())
            first[name] = time.perf_counter() - start
            jax.block_until_ready(job())
        times = timing.take_turns(jobs, options.rounds, TURN_S)
        base, lightning = times["plain Flax"]["min_s"], times.get(peers.LIGHTNING, {}).get("min_s")
        for name, spent in times.items():
            memory = timing.peak_bytes(jobs[name])
            row = {"work": work, "solver": name, **spent, "first_s": first[name], "peak_bytes": memory}
            ratio = None if lightning is None else lightning / spent["min_s"]
            result["rows"].append(row | {"times_flax": spent["min_s"] / base, "lightning_speed": ratio})
    if options.scaling:
        result["scaling"] = scaling(options.rounds)
    return result


VARIED = {"batch": (32, 128, 512), "rows": (128, 256, 512), "chips": (1, 2, 4)}
"""What is varied by itself: inputs a step, the arrays' rows and columns, chips a step."""
USUAL = {"batch": 128, "rows": 512, "chips": 1}


def scaling(rounds: int) -> list[dict[str, Any]]:
    """The perceptron's step with the fast generator, with one number at a time changed."""
    cases = [USUAL | {name: value} for name, values in VARIED.items() for value in values]
    cases = [case for i, case in enumerate(cases) if case not in cases[:i]]
    model, rng = Perceptron(nnx.Rngs(0)), np.random.default_rng(1)
    jobs = {}
    for case in cases:
        x = rng.normal(size=(case["batch"], 784)).astype(np.float32)
        y = rng.integers(0, 10, case["batch"]).astype(np.int32)
        hardware = HARDWARE.replace(rows=case["rows"], cols=case["rows"])
        jobs[str(case)] = our_step(model, x, y, fast_key(0), hardware=hardware, chips=case["chips"])
    for job in jobs.values():
        jax.block_until_ready(job())
    times = timing.take_turns(jobs, rounds, TURN_S)
    return [case | times[str(case)] | {"peak_bytes": timing.peak_bytes(jobs[str(case)])} for case in cases]


def flax_step(model: Any, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """A step of the plain model, as a pure function of its state."""
    copy = nnx.clone(model)
    copy.train()
    graph, params, rest = nnx.split(copy, nnx.Param, ...)

    @jax.jit
    def step(params: Any, rest: Any, x: jax.Array, y: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            whole = nnx.merge(graph, params, rest, copy=True)
            return cross_entropy(whole(x), y), nnx.split(whole, nnx.Param, ...)[2]

        (value, after), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - RATE * g, params, grads), after, value

    inputs, labels = jnp.asarray(x), jnp.asarray(y)
    held = {"state": (params, rest)}

    def run() -> Any:
        params, rest, value = step(*held["state"], inputs, labels)
        held["state"] = (params, rest)
        return value

    return run


def our_step(
    model: Any, x: np.ndarray, y: np.ndarray, key: jax.Array, *, hardware: Hardware = HARDWARE, chips: int = 1
) -> Callable[[], Any]:
    """The same model with every product on hardware; fresh noise in every step."""
    converted = imcjax.convert(model, hardware)
    largest = 127 * unit_current(hardware)  # ampere, of the largest product: inputs have a sign and seven bits
    for operator in operators(converted).values():
        operator.set_range("adc_range", ADC_RANGE * largest)
    trainer = Trainer(converted, optax.sgd(RATE), Training(weight_noise=WEIGHT_NOISE, chips=chips), key=key)
    inputs, labels = jnp.asarray(x), jnp.asarray(y)
    held = {"state": trainer.start()}

    def run() -> Any:
        held["state"], metrics = trainer.step(held["state"], inputs, labels)
        return metrics["loss"]

    return run


HEADS = ("work", "", "least", "median", "times plain Flax", "times lightning's speed", "first call", "memory")


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table, written out."""
    ratio = "" if row["lightning_speed"] is None else f"{row['lightning_speed']:.2g}"
    ratios = [f"{row['times_flax']:.2f}", ratio, f"{row['first_s']:.2g} s"]
    return [row["work"], row["solver"], *tables.times(row), *ratios, tables.memory(row)]


SCALING_HEADS = (*USUAL, "least", "median", "memory")


def scaling_cells(case: dict[str, Any]) -> list[str]:
    """A row of the second table."""
    return [*(str(case[name]) for name in USUAL), *tables.times(case), tables.memory(case)]


def save(result: dict[str, Any], path: Path) -> None:
    """The numbers, and the tables beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    head = f"# One training step, {result['threads']} thread(s) for all\n\n{tables.listed(result['versions'])}.\n\n"
    table = head + tables.markdown(HEADS, map(cells, result["rows"]))
    table += "".join(
        f"\n{entry['solver']} was left out of {entry['work']}: {entry['reason']}.\n" for entry in result["left_out"]
    )
    if result.get("scaling"):
        table += "\n# The perceptron's step, one number changed at a time\n\n"
        table += tables.markdown(SCALING_HEADS, map(scaling_cells, result["scaling"]))
    write_text(path.with_suffix(".md"), table)


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.benchmarks.training")
    measured = main(given)
    save(measured, given.json)
    title = f"One training step, {measured['threads']} thread(s)"
    Console().print(tables.shown(HEADS, map(cells, measured["rows"]), title))
    if measured.get("scaling"):
        title = "The perceptron's step, one number changed at a time"
        Console().print(tables.shown(SCALING_HEADS, map(scaling_cells, measured["scaling"]), title))
