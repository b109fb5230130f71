"""imcjax's crossbar solvers beside their peers: python -m experiments.benchmarks.crossbar --json OUT."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from experiments.benchmarks import timing
from experiments.benchmarks.crossbar import first_call, ours, peers, ratios, report, throughput
from experiments.benchmarks.crossbar.case import Case, case, error
from experiments.benchmarks.crossbar.jobs import ONE, Job, Missing
from imcjax.files import write_json, write_text


@dataclass(frozen=True)
class Options:
    """Measure, print the tables, and write all numbers.

    A peer that is missing is left out with its reason.
    """

    json: Path
    """File for the result; a .md and a .png of the same name go beside it."""
    sizes: tuple[int, ...] = (64, 128, 256, 512)
    """Rows = columns of the arrays."""
    threads: int = 2
    """Processors that every solver may use."""
    rounds: int = 7
    """How often the solvers take turns."""
    slowest: float = 60.0
    """A solver is left out of a size where eight times its time at half the size would exceed this, in seconds."""
    crosssim: Path | None = None
    """A checkout of CrossSim."""
    crosssim_up_to: int = 128
    """Largest size that CrossSim gets: how long it searches for a relaxation factor that converges is anyone's guess."""
    ngspice: str = "ngspice"
    """The program; left out where it is not found."""
    ngspice_up_to: int = 64
    """Largest size that ngspice gets: its time grows faster than size^4."""
    gradients_up_to: int = 128
    """Largest size at which gradients and nonlinear cells are timed; 0 for none."""
    first_call_size: int = 128
    """Size at which first calls are timed; 0 for not at all."""
    arrays: int = 64
    """Arrays at once in the table of many arrays; 0 for none."""
    throughput_size: int = 128
    """Their size."""
    peak_flops: float | None = None
    """Float32 operations a second that the device is assumed to reach at most, for the roofline."""
    peak_bandwidth: float | None = None
    """Bytes a second, likewise."""


def main(options: Options) -> dict[str, Any]:
    """Run everything that the options ask for."""
    result: dict[str, Any] = {"threads": timing.use_threads(options.threads), "device": throughput.device()}
    result |= {"machine": _machine(), "versions": _versions(), "options": _plain(options)}
    result |= {"rows": [], "backward": [], "nonlinear": [], "first_call": [], "throughput": [], "skipped": []}
    for size in sorted(options.sizes):
        print(f"size {size}", flush=True)
        work = case(size)
        result["rows"] += _rows(work, options, result)
        if size <= options.gradients_up_to:
            result["backward"] += _backward(work, options.rounds)
            result["nonlinear"] += _nonlinear(work, options.rounds)
        save(_summed_up(result), options.json)
    for name in (*first_call.SOLVERS, *first_call.GRADIENTS) if options.first_call_size else ():
        print(f"first call: {name}", flush=True)
        measured = first_call.measure(name, options.first_call_size)
        result["first_call"].append({"size": options.first_call_size, "solver": name, **measured})
    if options.arrays:
        result["throughput"] = _throughput(options)
    return _summed_up(result)


def _summed_up(result: dict[str, Any]) -> dict[str, Any]:
    """With what follows from the rows so far."""
    result["ratios"] = ratios.speedups(result["rows"])
    kinds = dict.fromkeys((row["work"], row["solver"]) for row in result["rows"])
    slopes = ({"work": work, "solver": solver, "slope": ratios.slope(result["rows"], work, solver)} for work, solver in kinds)
    result["slopes"] = [one for one in slopes if one["slope"] is not None]
    sizes = sorted({row["size"] for row in result["rows"]})
    found = {str(size): ratios.break_even(result["rows"], size) for size in sizes}
    result["break_even"] = {size: number for size, number in found.items() if number is not None}
    return result


def _rows(work: Case, options: Options, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every solver on this array: time, error, memory."""
    size = len(work.g)
    jobs = ours.jobs(work)
    makers = {
        "splu": peers.splu,
        "badcrossbar": peers.badcrossbar,
        "klujax": peers.klujax,
        "CrossSim": partial(peers.crosssim, checkout=options.crosssim),
        "ngspice": partial(peers.ngspice, program=options.ngspice),
    }
    limits = {"CrossSim": options.crosssim_up_to, "ngspice": options.ngspice_up_to}
    for name, make in makers.items():
        try:
            if size > limits.get(name, size):
                raise Missing(f"only up to {limits[name]}")
            jobs += [job for job in make(work) if not _too_slow(job, size, options, result)]
        except Missing as reason:
            _skip(result, name, size, str(reason))
    rows = {}
    for job in jobs:
        try:
            found = np.asarray(job.run())
        except Exception as reason:
            if job.solver.startswith("imcjax"):
                raise
            _skip(result, f"{job.solver} ({job.work})", size, f"failed: {type(reason).__name__}: {reason}")
            continue
        expected = work.expected[:1] if job.work == ONE else work.expected
        memory = timing.peak_bytes(job.run)
        rows[job] = {
            "size": size,
            "work": job.work,
            "solver": job.solver,
            "error": error(found, expected),
            "peak_bytes": memory,
        }
    times = timing.take_turns({str(place): job.run for place, job in enumerate(rows)}, options.rounds)
    return [row | times[str(place)] for place, row in enumerate(rows.values())]


def _too_slow(job: Job, size: int, options: Options, result: dict[str, Any]) -> bool:
    before = [row for row in result["rows"] if (row["work"], row["solver"]) == (job.work, job.solver)]
    known = {row["size"]: row["min_s"] for row in before}
    last = max(known, default=size)
    slow = bool(known) and known[last] * (size / last) ** 3 > options.slowest
    # Left out at a smaller size: left out here too.
    slow = slow or any(one["solver"] == f"{job.solver} ({job.work})" for one in result["skipped"])
    if slow:
        _skip(result, f"{job.solver} ({job.work})", size, f"more than {options.slowest:g} s a run expected")
    return slow


def _skip(result: dict[str, Any], solver: str, size: int, reason: str) -> None:
    print(f"  left out: {solver}: {reason}", flush=True)
    result["skipped"].append({"solver": solver, "size": size, "reason": reason})


def _backward(work: Case, rounds: int) -> list[dict[str, Any]]:
    pairs, errors = ours.gradients(work), {}
    with jax.enable_x64(True):
        exact = {name: both()[1] for name, (_, both) in ours.gradients(work, np.float64).items()}
    for name, (forward, both) in pairs.items():
        forward()
        errors[name] = max(map(ours.off, jax.tree.leaves(both()[1]), jax.tree.leaves(exact[name])))
    return [
        {
            "size": len(work.g),
            "solver": name,
            "forward_s": forward,
            "both_s": both,
            "ratio": both / forward - 1,
            "error": errors[name],
        }
        for name, (forward, both) in _least(pairs, rounds).items()
    ]


def _nonlinear(work: Case, rounds: int) -> list[dict[str, Any]]:
    pairs = ours.nonlinear(work)
    for pair in pairs.values():
        for job in pair:
            job()
    return [
        {"size": len(work.g), "work": name, "linear_s": linear, "nonlinear_s": nonlinear, "ratio": nonlinear / linear}
        for name, (linear, nonlinear) in _least(pairs, rounds).items()
    ]


def _least(pairs: dict[str, tuple], rounds: int) -> dict[str, tuple[float, float]]:
    """The least times of both jobs of each pair, s."""
    times = timing.take_turns({f"{name}|{k}": job for name, pair in pairs.items() for k, job in enumerate(pair)}, rounds)
    return {name: (times[f"{name}|0"]["min_s"], times[f"{name}|1"]["min_s"]) for name in pairs}


def _throughput(options: Options) -> list[dict[str, Any]]:
    jobs = throughput.jobs(options.throughput_size, options.arrays)
    for job in jobs.values():
        job[0]()
    times = timing.take_turns({name: job[0] for name, job in jobs.items()}, options.rounds)
    return [
        {
            "size": options.throughput_size,
            "arrays": options.arrays,
            "work": name,
            "unit": unit,
            **times[name],
            **throughput.rate(times[name]["min_s"], units, flops, moved, options.peak_flops, options.peak_bandwidth),
        }
        for name, (_, unit, units, flops, moved) in jobs.items()
    ]


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line] if info.is_file() else []
    )
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    found = {}
    for name in ("jax", "jaxlib", "numpy", "scipy", "badcrossbar", "klujax"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _plain(options: Options) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if not isinstance(value, Path) and value is not None}


def save(result: dict[str, Any], path: Path) -> None:
    """The numbers, and beside them the tables and the plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    write_text(path.with_suffix(".md"), report.markdown(result))
    report.plot(result, path.with_suffix(".png"))


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.benchmarks.crossbar")
    measured = main(given)
    save(measured, given.json)
    report.show(measured)
