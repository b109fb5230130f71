"""Times of jobs that take turns, memory of one job, and how many threads all of them may use."""

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from threadpoolctl import threadpool_limits


REST_S = 0.1
"""Pause before each turn. BLAS threads spin for tens of milliseconds after their last call, on processors that others need."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def use_threads(count: int) -> int:
    """Give every solver the same processors, whatever it makes threads with: XLA, BLAS, OpenMP and child processes.

    XLA counts its processors when its backend starts: call this before anything is computed. Returns how many there are.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
        count = len(os.sched_getaffinity(0))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    threadpool_limits(count)
    return count


def take_turns(jobs: dict[str, Callable[[], Any]], rounds: int, at_least: float = 0.02) -> dict[str, dict[str, float]]:
    """Run every job in every round, so that what slows the machine for a while slows all; quick ones several times a round.

    A turn of a quick job begins with a run that is not timed and brings its data back into the caches.
    Returns for each the least and the median time of a run, in seconds, and the number of runs. Jobs have run before.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            time.sleep(REST_S)
            if not times[name] or times[name][-1] < REST_S:
                jax.block_until_ready(job())
            spent = 0.0
            while spent < at_least:
                start = time.perf_counter()
                jax.block_until_ready(job())
                times[name].append(time.perf_counter() - start)
                spent += times[name][-1]
    return {name: {"min_s": min(t), "median_s": statistics.median(t), "runs": len(t)} for name, t in times.items()}


def peak_bytes(job: Callable[[], Any]) -> int | None:
    """How far the resident memory of this process rises while a job runs; None where the kernel does not tell."""
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")
        before = _resident("VmRSS")
        jax.block_until_ready(job())
        return max(0, _resident("VmHWM") - before)
    except (OSError, AttributeError):
        return None


def _resident(field):
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
