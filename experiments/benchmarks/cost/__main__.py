"""How many layers and designs a second the cost model evaluates: python -m experiments.benchmarks.cost --json OUT."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from experiments.benchmarks import timing
from imcjax import cost, hardware
from imcjax.cost import Activity, Bits, Work
from imcjax.files import write_json, write_text


# ResNet-18 for 224 x 224 images, its 20 convolutions and the classifier, and one more: 22 layers, (inputs, outputs, positions)
LAYERS = (
    [(147, 64, 12544)] + [(576, 64, 3136)] * 4 + [(576, 128, 784)] + [(1152, 128, 784)] * 3 + [(64, 128, 784), (1152, 256, 196)]
    + [(2304, 256, 196)] * 3 + [(128, 256, 196), (2304, 512, 49)] + [(4608, 512, 49)] * 3
    + [(256, 512, 49), (512, 1000, 1), (1000, 1000, 1)]
)  # fmt: skip
BLOCKS = 50
THEIRS = {
    "ZigZag-IMC, one macro, no mapping (measured, one core)": 16_058,
    "accelergy ADC, plain Python (measured, one core)": 53_976,
    "CiMLoop, mapping x layer, 5000 mappings searched (its paper, one core)": 83,
    "NeuroSim V1.4, one layer (its authors, one core)": 0.07,
}
"""Evaluations a second of others. They compute other things, some of them more."""


@dataclass(frozen=True)
class Options:
    """Time layers, designs of 22 layers, their gradients, and the calibrated product against SciPy."""

    json: Path
    """File for the result; a .md of the same name goes beside it."""
    threads: int = 2
    """Processors."""
    designs: int = 2000
    """Designs in one call: as many as stay in the caches."""
    rounds: int = 30
    """How often they take turns; the least time counts."""
    products: bool = True
    """Also time the calibrated model of a product against SciPy's nodal solution, 1000 arrays."""


def main(options: Options) -> dict[str, Any]:
    """Measure everything that the options ask for."""
    threads = timing.use_threads(options.threads)
    chip = hardware.preset("rram_128")
    works = [Work(f"layer{i}", n, m, positions=p) for i, (n, m, p) in enumerate(LAYERS)]
    known = [cost.facts(work, *data(work, i), chip) for i, work in enumerate(works)]
    every = cost.stack(known)

    def layer(bits: Bits) -> jax.Array:
        made = cost.cost_of(known[7], bits, chip, hard=False)
        return jnp.stack([made.energy_j, made.area_m2, made.latency_s])

    def network(b: Bits) -> jax.Array:
        """(3, designs) of widths (layers, designs)."""
        each = jax.vmap(lambda one, w: cost.cost_of(one, w, chip, hard=False))(every, b)
        return jnp.stack([jnp.sum(part, 0) for part in (each.energy_j, each.area_m2, each.latency_s)])

    def energy(b: Bits) -> jax.Array:
        return jnp.sum(jax.vmap(lambda one, w: cost.cost_of(one, w, chip, hard=False).energy_j)(every, b), 0)

    def slopes(b: Bits) -> tuple[jax.Array, Bits]:
        """The energies, and each design's gradient: designs do not depend on each other."""
        found, pull = jax.vjp(energy, b)
        return found, pull(jnp.ones_like(found))[0]

    rng = np.random.default_rng(0)
    many = Bits(*(jnp.asarray(rng.uniform(2, 8, 20 * options.designs), jnp.float32) for _ in range(3)))
    bits = Bits(*jnp.asarray(rng.uniform(2, 8, (3, len(works), options.designs)), jnp.float32))
    blocks = Bits(*jnp.asarray(rng.uniform(2, 8, (3, BLOCKS, len(works), options.designs)), jnp.float32))
    jobs: dict[str, tuple[Callable, Any, int]] = {
        "one layer": (jax.vmap(layer), many, 20 * options.designs),
        "22 layers: energy, area, latency": (network, bits, options.designs),
        "22 layers: energy": (energy, bits, options.designs),
        "22 layers: energy and its gradient to 66 widths": (slopes, bits, options.designs),
        f"22 layers: energy, {BLOCKS} such calls in one": (lambda b: jax.lax.map(energy, b), blocks, BLOCKS * options.designs),
        f"22 layers: with gradient, {BLOCKS} such calls in one": (
            lambda b: jax.lax.map(slopes, b),
            blocks,
            BLOCKS * options.designs,
        ),
    }
    rows, runs = [], {}
    for name, (function, argument, count) in jobs.items():
        start = time.perf_counter()
        compiled = jax.jit(function).lower(argument).compile()
        rows.append({"job": name, "count": count, "compile_s": time.perf_counter() - start})
        runs[name] = lambda compiled=compiled, argument=argument: compiled(argument)
        jax.block_until_ready(runs[name]())
    spent = timing.take_turns(runs, options.rounds)
    for row in rows:
        row |= spent[row["job"]]
        row["per_s"] = row["count"] / row["min_s"]
    result = {"threads": threads, "layers": len(works), "rows": rows, "theirs": THEIRS}
    if options.products:
        from experiments.validation.cost import products

        result["products"] = products.speed()
    return result


def data(work: Work, seed: int) -> tuple[Activity, jax.Array]:
    """Made-up statistics of a layer: mean squared voltages that grow with the width, and conductances of its rows."""
    rng = np.random.default_rng(seed)
    volts = np.cumsum(rng.uniform(0.001, 0.01, (8, work.n_in)), 0)
    return Activity(jnp.asarray(volts, jnp.float32)), jnp.asarray(rng.uniform(1e-4, 4e-3, work.n_in), jnp.float32)


def lines(result: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, compile time, per second, note) of every row."""
    found = [(row["job"], f"{row['compile_s']:.1f} s", f"{row['per_s']:.3g}", "") for row in result["rows"]]
    _, full, energy, gradient, *many = (row["min_s"] for row in result["rows"])
    found.append(("time of energy and gradient / energy alone", "", f"{gradient / energy:.2f}", ""))
    found.append(("the same in blocks", "", f"{many[1] / many[0]:.2f}", ""))
    found.append(("time of energy and gradient / energy, area, latency", "", f"{gradient / full:.2f}", ""))
    if "products" in result:
        p = result["products"]
        for name, what in (("arrays", "1000 arrays of 64 x 64"), ("inputs", "1000 inputs of one array")):
            rate, theirs = 1000 / p[f"{name}_s"], 1000 / p[f"{name}_scipy_s"]
            found.append((f"calibrated product, {what}", "", f"{rate:.3g}", "exact counts, wires"))
            found.append((f"SciPy nodal solution, {what}", "", f"{theirs:.3g}", f"ratio {p[f'{name}_ratio']:.3g}"))
    return found + [(name, "", f"{value:g}", "") for name, value in result["theirs"].items()]


def save(result: dict[str, Any], path: Path) -> None:
    """The numbers, and the table beside them."""
    write_json(path, result)
    head = f"# Evaluations a second, {result['threads']} thread(s)\n\n| what | to compile | a second | |\n"
    head += "| --- | --- | --- | --- |\n"
    write_text(path.with_suffix(".md"), head + "".join(f"| {' | '.join(line)} |\n" for line in lines(result)))


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.benchmarks.cost")
    measured = main(given)
    save(measured, given.json)
    table = Table("what", "to compile", "a second", "")
    for line in lines(measured):
        table.add_row(*line)
    Console(width=120).print(table)
