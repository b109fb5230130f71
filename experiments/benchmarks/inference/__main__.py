"""Inference on programmed arrays beside the plain network: python -m experiments.benchmarks.inference --json OUT."""

import contextlib
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from jax import lax
from rich.console import Console

import imcjax
from experiments import tables
from experiments.benchmarks import timing
from experiments.benchmarks.installed import versions
from experiments.benchmarks.training import peers
from imcjax import Hardware, converters, devices, models, pipeline
from imcjax.fast_random import fast_key
from imcjax.files import write_json, write_text
from imcjax.mapping import Differential
from imcjax.settings import Settings


WHOLE = Hardware(
    name="8-bit converters",
    rows=1152,
    cols=256,
    dac=converters.Dac(input_bits=8, bits=8),
    adc=converters.Adc(bits=8),
    device=devices.Generic(program_sigma=0.01),
)
"""Continuous weights with programming errors, 8-bit inputs at once, an array as tall as the largest layer of ResNet-20."""
SLICED = WHOLE.replace(
    rows=512,
    cols=512,
    encoding=Differential(weight_bits=8, cell_bits=2),
    dac=converters.Dac(input_bits=8, bits=1),
)
"""8-bit weights in four slices of two bits (and a sign), unsigned 8-bit inputs bit by bit: 32 products, each converted."""
IMAGES, SIZE, BATCH = 32, 512, 256


@dataclass(frozen=True)
class Options:
    """Forward passes of networks and products on programmed chips; PyTorch is left out where it is not installed."""

    json: Path
    """File for the result; a .md of the same name goes beside it."""
    threads: int = 1
    """Processors that all may use."""
    rounds: int = 7
    """How often they take turns."""


def main(options: Options) -> dict[str, Any]:
    """Measure everything that the options ask for."""
    threads = timing.use_threads(options.threads)
    result: dict[str, Any] = {"threads": threads, "versions": versions("jax", "jaxlib", "flax", "torch"), "rows": []}
    works = {f"ResNet-20, {IMAGES} images": network(threads), f"{BATCH} x {SIZE} x {SIZE}, 4 slices, 8 phases": sliced()}
    for work, jobs in works.items():
        first = {}
        for name, job in jobs.items():
            start = time.perf_counter()
            jax.block_until_ready(job())
            first[name] = time.perf_counter() - start
        times = timing.take_turns(jobs, options.rounds)
        base = next(iter(times.values()))
        for name, spent in times.items():
            ratios = {"times_plain": spent["min_s"] / base["min_s"], "times_plain_median": spent["median_s"] / base["median_s"]}
            row = {"work": work, "solver": name, **spent, "first_s": first[name], "peak_bytes": timing.peak_bytes(jobs[name])}
            result["rows"].append(row | ratios)
    return result


def network(threads: int) -> dict[str, Callable[[], Any]]:
    """ResNet-20 in evaluation mode: plain, on one programmed chip, and in PyTorch."""
    x = np.random.default_rng(1).normal(size=(IMAGES, 32, 32, 3)).astype(np.float32)
    plain = models.build("resnet20", (32, 32, 3), 10, 0)
    plain.eval()
    converted = imcjax.convert(plain, WHOLE)
    converted.eval()
    imcjax.calibrate(converted, [x], progress=False)
    chip = imcjax.nn.on_chip(converted, imcjax.nn.program_chips(converted, fast_key(0))[0])
    jobs = {"plain Flax": forward(plain, x), "imcjax, one chip": forward(chip, x)}
    with contextlib.suppress(ImportError):
        jobs["plain PyTorch"] = torch_forward(x, threads)
    return jobs


def forward(model: Any, x: np.ndarray) -> Callable[[], Any]:
    """The compiled model on x."""
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, x: nnx.merge(graph, state, copy=True)(x))
    inputs = jnp.asarray(x)
    return lambda: run(state, inputs)


def torch_forward(x: np.ndarray, threads: int) -> Callable[[], Any]:
    """The same network in PyTorch.

    Raises:
      ImportError: without torch.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    model = peers.resnet20(torch).eval()
    inputs = torch.from_numpy(np.moveaxis(x, -1, 1).copy())

    def run() -> Any:
        with torch.no_grad():
            return model(inputs).numpy()

    return run


def sliced() -> dict[str, Callable[[], Any]]:
    """A product whose every slice and phase is converted, and as many plain products of the same shape."""
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.uniform(size=(BATCH, SIZE)), jnp.float32)
    w = jnp.asarray(rng.normal(size=(SIZE, SIZE)), jnp.float32)
    settings = Settings(input_signed=False)
    chip = pipeline.settle(pipeline.program(w, SLICED, settings, key=fast_key(0)), SLICED)
    slices = chip.matrix.shape[-2]
    phases = SLICED.dac.phases
    bits = jnp.asarray(rng.integers(0, 2, (phases * BATCH, SIZE)), jnp.float32)
    many = jnp.asarray(rng.normal(size=(SIZE, slices * SIZE)), jnp.float32)
    plain = jax.jit(lambda x, w: jnp.matmul(x, w, precision=lax.Precision.HIGHEST))
    ours = jax.jit(lambda chip, x: pipeline.multiply(chip, x, SLICED, settings))
    return {f"{phases * slices} plain products": lambda: plain(bits, many), "imcjax, one chip": lambda: ours(chip, x)}


HEADS = ("work", "", "least", "median", "times plain", "first call", "memory")


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table, written out."""
    ratios = [f"{row['times_plain']:.2f}", f"{row['first_s']:.2g} s"]
    return [row["work"], row["solver"], *tables.times(row), *ratios, tables.memory(row)]


def save(result: dict[str, Any], path: Path) -> None:
    """The numbers, and the table beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    head = f"# Inference, {result['threads']} thread(s) for all\n\n{tables.listed(result['versions'])}.\n\n"
    write_text(path.with_suffix(".md"), head + tables.markdown(HEADS, map(cells, result["rows"])))


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.benchmarks.inference")
    measured = main(given)
    save(measured, given.json)
    title = f"Inference, {measured['threads']} thread(s)"
    Console().print(tables.shown(HEADS, map(cells, measured["rows"]), title))
