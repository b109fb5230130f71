"""Quantization-aware training steps beside those of peers: python -m experiments.benchmarks.qat --json OUT."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from experiments.benchmarks import timing
from experiments.benchmarks.qat import ours, peers
from imcjax.files import write_json, write_text


@dataclass(frozen=True)
class Options:
    """Time training steps of LeNet-5 on random images, float and quantized: LSQ, 4-bit weights and inputs, 8-bit images.

    A peer that is missing is left out with its reason.
    """

    json: Path
    """File for the result; a .md of the same name goes beside it."""
    batch: int = 128
    """Images a step."""
    threads: int = 2
    """Processors that all may use."""
    rounds: int = 20
    """How often they take turns."""


def main(options: Options) -> dict[str, Any]:
    """Measure everything."""
    threads = timing.use_threads(options.threads)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (options.batch, 28, 28, 1)).astype(np.float32)
    labels = rng.integers(0, 10, options.batch)
    result: dict[str, Any] = {"threads": threads, "batch": options.batch, "rounds": options.rounds, "left_out": []}
    result |= {"machine": _machine(), "versions": _versions()}
    found = {"imcjax (plain Flax where float)": ours.jobs(x, labels)}
    for name, make in (("PyTorch", peers.pytorch), ("Brevitas", peers.brevitas)):
        try:
            found[name] = make(x, labels, threads)
        except ImportError as reason:
            result["left_out"].append({"name": name, "reason": str(reason)})
    jobs = {(name, kind): job for name, kinds in found.items() for kind, job in kinds.items()}
    for job in jobs.values():
        jax.block_until_ready(job())
    times = timing.take_turns({f"{name}|{kind}": job for (name, kind), job in jobs.items()}, options.rounds)
    result["rows"] = [
        {"name": name, "kind": kind, **times[f"{name}|{kind}"], "steps_per_s": 1 / times[f"{name}|{kind}"]["median_s"]}
        for name, kind in jobs
    ]
    for row in result["rows"]:
        own = times.get(f"{row['name']}|float")
        row["of_own_float"] = None if own is None else row["median_s"] / own["median_s"]
    return result


def table(result: dict[str, Any]) -> Table:
    """Times and ratios."""
    title = f"LeNet-5, batch {result['batch']}, {result['threads']} thread(s)"
    shown = Table("", "", "median", "least", "steps a second", "of its own float step", title=title)
    for row in result["rows"]:
        shown.add_row(row["name"], row["kind"], *_cells(row))
    return shown


def save(result: dict[str, Any], path: Path) -> None:
    """The numbers, and the table beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    lines = ["| | | median | least | steps a second | of its own float step |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {row['name']} | {row['kind']} | {' | '.join(_cells(row))} |" for row in result["rows"]]
    lines += [f"\nLeft out: {one['name']} ({one['reason']})." for one in result["left_out"]]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    head = f"# Training steps of LeNet-5, batch {result['batch']}, {result['threads']} thread(s) for all\n\n"
    write_text(path.with_suffix(".md"), f"{head}{result['machine']}; {versions}.\n\n" + "\n".join(lines) + "\n")


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = "" if row["of_own_float"] is None else f"{row['of_own_float']:.2f}"
    return [f"{row['median_s'] * 1e3:.1f} ms", f"{row['min_s'] * 1e3:.1f} ms", f"{row['steps_per_s']:.2f}", ratio]


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors"


def _versions() -> dict[str, str]:
    found = {}
    for name in ("jax", "jaxlib", "flax", "torch", "brevitas"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.benchmarks.qat")
    measured = main(given)
    save(measured, given.json)
    Console().print(table(measured))
