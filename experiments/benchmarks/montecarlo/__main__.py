"""Chips programmed, aged and read, beside IBM aihwkit: python -m experiments.benchmarks.montecarlo --json OUT."""

import importlib
import itertools
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
from rich.console import Console

import imcjax
from experiments import tables
from experiments.benchmarks import timing
from experiments.benchmarks.installed import versions
from experiments.benchmarks.perceptron import SIZES, Perceptron
from imcjax import Hardware, converters, devices, models, pipeline
from imcjax.conversion import unit_current
from imcjax.fast_random import fast_key, normal
from imcjax.files import write_json, write_text
from imcjax.keys import fold_index, fold_name
from imcjax.xla import jit_by_key


LAYERS = tuple(itertools.pairwise(SIZES))
CELLS = 2 * sum(n_in * n_out for n_in, n_out in LAYERS)
DAY_S = 86400.0
HARDWARE = Hardware(name="pcm", rows=512, cols=512, device=devices.preset("pcm_nandakumar"))
CONVERTERS = {
    "dac": converters.Dac(input_bits=8, bits=8),
    "adc": converters.Adc(bits=8, flaws=converters.Flaws(noise_sigma=0.04 / 10)),
}
ADC_RANGE = 10.0
"""Largest products (max|w| max|x|) at the ADC's largest code; noise is 0.04 of the largest product."""
BATCH = 250
"""Inputs side by side on our side; aihwkit takes all at once."""


@dataclass(frozen=True)
class Options:
    """Program a network of phase-change cells, let it drift for a day and read it, many times over.

    aihwkit is left out, with the reason, where it is not installed.
    """

    json: Path
    """File for the result; a .md of the same name goes beside it."""
    chips: int = 20
    """How many chips."""
    inputs: int = 2000
    """Inputs that each chip computes too; 0 for none."""
    threads: int = 1
    """Processors that both may use."""
    rounds: int = 5
    """How often they take turns."""
    networks: tuple[int, ...] = (10, 100, 1000)
    """So many chips of LeNet-5 on 1000 images are judged by one call each, to see how time and memory grow; () for none."""


def main(options: Options) -> dict[str, Any]:
    """Measure everything that the options ask for."""
    threads = timing.use_threads(options.threads)
    result: dict[str, Any] = {"threads": threads, "chips": options.chips, "inputs": options.inputs, "cells": CELLS}
    result |= {"versions": versions("jax", "jaxlib", "torch", "aihwkit"), "rows": [], "left_out": []}
    inputs = options.inputs
    works: dict[str, tuple[Any, Any, int]] = {"program, a day, read": (ours, aihwkit, 0)}
    if inputs:
        works[f"... and {inputs} inputs, nothing converted"] = (ours, aihwkit, inputs)
        works[f"... and {inputs} inputs, 8-bit converters, drift compensated"] = (judged, converted_aihwkit, inputs)
    for work, (build, build_peer, count) in works.items():
        jobs = {f"imcjax, {name}": build(key, options.chips, count) for name, key in KEYS.items()}
        try:
            jobs["aihwkit"] = build_peer(options.chips, count, threads)
        except ImportError as reason:
            result["left_out"].append({"work": work, "solver": "aihwkit", "reason": str(reason)})
        for job in jobs.values():
            jax.block_until_ready(job())
        times = timing.take_turns(jobs, options.rounds)
        peer = times.get("aihwkit", {}).get("min_s")
        for name, spent in times.items():
            row = {"work": work, "solver": name, **spent, "ns_per_cell": spent["min_s"] / (options.chips * CELLS) * 1e9}
            result["rows"].append(row | {"ratio": None if peer is None else peer / spent["min_s"]})
    result["normals"] = [floor(name, key, options.rounds) for name, key in KEYS.items()]
    result["networks"] = networks(options.networks)
    return result


def networks(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """`imcjax.nn.evaluate` of LeNet-5 on 1000 images and so many chips: seconds and memory, those of compiling apart."""
    if not counts:
        return []
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(1000, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, 1000)
    hardware = HARDWARE.replace(adc=converters.Adc(bits=8), dac=converters.Dac(input_bits=8, bits=8))
    model = imcjax.convert(models.build("lenet5", (28, 28, 1), 10, 0), hardware)
    imcjax.calibrate(model, [x[:200]], progress=False)

    def judge(count: int) -> Any:
        return imcjax.nn.evaluate(model, x, y, key=fast_key(0), chips=count, times=(DAY_S,))

    start = time.perf_counter()
    judge(1)
    first, rows = time.perf_counter() - start, []
    for count in counts:
        spent: list[float] = []

        def once(count: int = count, spent: list[float] = spent) -> Any:
            start = time.perf_counter()
            found = judge(count)
            spent.append(time.perf_counter() - start)
            return found

        memory = timing.peak_bytes(once)
        rows.append({"chips": count, "s": spent[0], "first_s": first, "peak_bytes": memory})
    return rows


KEYS = {"jax.random": jax.random.key, "jax.random (rbg)": lambda seed: jax.random.key(seed, impl="rbg"), "fast": fast_key}


def weights() -> list[np.ndarray]:
    """As PyTorch starts linear layers: uniform within 1 / sqrt(n_in)."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, shape).astype(np.float32) / np.sqrt(shape[0]) for shape in LAYERS]


def ours(make_key: Callable[[int], jax.Array], chips: int, inputs: int) -> Callable[[], Any]:
    """One compiled program for all chips, one after another; with inputs, digital ReLU between the layers."""
    layers = [jnp.asarray(w) for w in weights()]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(max(inputs, 1), LAYERS[0][0])), jnp.float32)

    def one(layers: list[jax.Array], x: jax.Array, key: jax.Array) -> Any:
        settled = []
        for place, w in enumerate(layers):
            own = fold_index(key, place)
            chip = pipeline.program(w, HARDWARE, key=fold_name(own, "program"))
            settled.append(pipeline.settle(chip, HARDWARE, key=fold_name(own, "read"), time=DAY_S))
        if not inputs:
            return [layer.matrix for layer in settled]
        for layer in settled[:-1]:
            x = jax.nn.relu(pipeline.multiply(layer, x, HARDWARE))
        return pipeline.multiply(settled[-1], x, HARDWARE)

    def run(layers: list[jax.Array], x: jax.Array, keys: jax.Array) -> Any:
        return jax.lax.map(lambda key: one(layers, x, key), keys)

    keys = jax.random.split(make_key(0), chips)
    compiled = jit_by_key(run)(keys)
    return lambda: compiled(layers, x, keys)


def judged(make_key: Callable[[int], jax.Array], chips: int, inputs: int) -> Callable[[], Any]:
    """The network as a user puts it on chips: converted, judged by `imcjax.nn.evaluate`."""
    model = Perceptron(nnx.Rngs(0), (LAYERS[0][0], *(n_out for _, n_out in LAYERS)), use_bias=False)
    for layer, w in zip(model.layers, weights(), strict=True):
        layer.kernel.set_value(jnp.asarray(w))
    hardware = HARDWARE.replace(**CONVERTERS)
    model = imcjax.convert(model, hardware)
    for operator in imcjax.nn.operators(model).values():
        operator.set_range("adc_range", ADC_RANGE * 127 * unit_current(hardware))
    x, y = np.random.default_rng(1).normal(size=(inputs, LAYERS[0][0])).astype(np.float32), np.zeros(inputs, np.int32)
    given = {"chips": chips, "times": (DAY_S,), "compensation": "global", "batch": BATCH, "progress": False}
    return lambda: imcjax.nn.evaluate(model, x, y, key=make_key(0), **given)


def converted_aihwkit(chips: int, inputs: int, threads: int) -> Callable[[], Any]:
    """aihwkit with as many steps of its converters and as much noise, and its `GlobalDriftCompensation`.

    Raises:
      ImportError: where torch or aihwkit is missing.
    """
    return aihwkit(chips, inputs, threads, converted=True)


def aihwkit(chips: int, inputs: int, threads: int, *, converted: bool = False) -> Callable[[], Any]:
    """The same network on aihwkit's torch tiles with the same noise model; it programs and ages one chip after another.

    Raises:
      ImportError: where torch or aihwkit is missing.
    """
    torch = importlib.import_module("torch")
    noise, conversion, configs = (
        importlib.import_module(f"aihwkit.{name}") for name in ("inference.noise.pcm", "nn.conversion", "simulator.configs")
    )
    torch.set_num_threads(threads)
    config = configs.TorchInferenceRPUConfig()
    config.noise_model = noise.PCMLikeNoiseModel(g_max=25.0)
    config.drift_compensation = None
    config.forward.is_perfect = not converted
    if converted:
        compensation = importlib.import_module("aihwkit.inference.compensation.drift")
        config.drift_compensation = compensation.GlobalDriftCompensation()
        config.forward.inp_res, config.forward.out_res = 1 / 254, 1 / 254
        config.forward.out_bound, config.forward.out_noise = ADC_RANGE, 0.04
        config.mapping.weight_scaling_omega = 1.0
        enums = importlib.import_module("aihwkit.simulator.parameters.enums")
        config.forward.bound_management = enums.BoundManagementType.NONE  # what is out of bounds is not computed again
    stages: list[Any] = []
    for n_in, n_out in LAYERS:
        stages += [torch.nn.Linear(n_in, n_out, bias=False), torch.nn.ReLU()]
    model = conversion.convert_to_analog(torch.nn.Sequential(*stages[:-1]), config).eval()
    x = torch.randn(max(inputs, 1), LAYERS[0][0])

    def run() -> Any:
        found = None
        with torch.no_grad():
            for _ in range(chips):
                model.program_analog_weights()
                model.drift_analog_weights(DAY_S)
                found = model(x) if inputs else None
        return found

    return run


def floor(name: str, make_key: Callable[[int], jax.Array], rounds: int) -> dict[str, Any]:
    """What the normal numbers alone cost: three a cell are drawn."""
    shape = (3, CELLS)
    key = make_key(0)
    draw = jit_by_key(lambda key: jnp.sum(normal(key, shape)))(key)
    jax.block_until_ready(draw(key))
    spent = timing.take_turns({name: lambda: draw(key)}, rounds)[name]["min_s"]
    return {"generator": name, "ns_per_normal": spent / (3 * CELLS) * 1e9}


HEADS = ("work", "", "least", "median", "ns a cell", "times aihwkit's speed")
NETWORK_HEADS = ("chips of LeNet-5, 1000 images after a day", "one call", "a chip", "memory")


def cells(result: dict[str, Any]) -> list[list[str]]:
    """The rows of the first table, written out; the last say what the normal numbers alone take."""
    rows = []
    for row in result["rows"]:
        seconds = [f"{row[name]:.3g} s" for name in ("min_s", "median_s")]
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2g}"
        rows.append([row["work"], row["solver"], *seconds, f"{row['ns_per_cell']:.3g}", ratio])
    for row in result["normals"]:
        rows.append(["one normal number", row["generator"], "", "", f"{row['ns_per_normal']:.3g}", ""])
    return rows


def network_cells(row: dict[str, Any]) -> list[str]:
    """Chips, time of the call with its compiling, time for each, memory."""
    return [str(row["chips"]), f"{row['s']:.3g} s", f"{1e3 * row['s'] / row['chips']:.3g} ms", tables.memory(row)]


def save(result: dict[str, Any], path: Path) -> None:
    """The numbers, and the tables beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    table = f"# {result['chips']} chips of {CELLS} phase-change cells, {result['threads']} thread(s) for both\n\n"
    table += f"{tables.listed(result['versions'])}. The network is 784-512-256-10.\n\n" + tables.markdown(HEADS, cells(result))
    table += "".join(
        f"\n{entry['solver']} was left out of {entry['work']}: {entry['reason']}.\n" for entry in result["left_out"]
    )
    if result["networks"]:
        table += "\n" + tables.markdown(NETWORK_HEADS, map(network_cells, result["networks"]))
    write_text(path.with_suffix(".md"), table)


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.benchmarks.montecarlo")
    measured = main(given)
    save(measured, given.json)
    title = f"{measured['chips']} chips of {CELLS} cells, {measured['threads']} thread(s)"
    Console().print(tables.shown(HEADS, cells(measured), title))
    if measured["networks"]:
        Console().print(tables.shown(NETWORK_HEADS, map(network_cells, measured["networks"]), "Judged by one call"))
