"""What a preset does, by sampling it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.devices.references import Reference
from imcjax import devices
from imcjax.keys import fold_name


YEAR_S = 365.25 * 86400
LEVELS = (0.25, 0.5, 1.0)
"""Targets that are followed over time, from g_min to g_max."""
POINTS = 25


def measure(name: str, draws: int) -> dict[str, Any]:
    """Statistics of the preset in parts of g_max: errors by target as programmed, mean and spread of LEVELS by time.

    Returns:
      target (n,), program (n,): standard deviation as programmed; times (t,), mean (t, levels), spread (t, levels);
      read (2, n): standard deviation of the read noise at the first and the last time.
    """
    device = devices.preset(name)
    key = jax.random.key(0)
    g_min, g_max = float(device.g_min), float(device.g_max)
    covers = getattr(device, "covers", None) or (0.0, YEAR_S)
    times = np.geomspace(1.0, min(covers[1], YEAR_S), 9)
    times[-1] = min(covers[1], YEAR_S)  # not rounded beyond it

    def written(targets: np.ndarray, key: Any) -> Any:
        return device.program(jnp.broadcast_to(jnp.asarray(targets, jnp.float32), (draws, len(targets))), key)

    target = np.linspace(g_min, g_max, POINTS)
    state = written(target, fold_name(key, "program"))
    program = np.asarray(device.read(state), float)
    noise = []
    for time in (0.0, float(times[-1])):
        quiet, noisy = device.read(state, None, time), device.read(state, fold_name(key, "read"), time)
        noise.append(np.std(np.asarray(noisy, float) - np.asarray(quiet, float), axis=0))
    levels = np.array([g_min + part * (g_max - g_min) for part in LEVELS])
    followed = written(levels, fold_name(key, "follow"))
    aged = np.stack([np.asarray(device.read(followed, None, float(time)), float) for time in times])
    return {
        "name": name,
        "g_max": g_max,
        "target": target / g_max,
        "program": program.std(axis=0) / g_max,
        "times": times,
        "levels": levels / g_max,
        "mean": aged.mean(axis=1) / g_max,
        "spread": aged.std(axis=1) / g_max,
        "read": np.stack(noise) / g_max,
    }


def distances(row: dict[str, Any]) -> dict[str, float | None]:
    """Largest distance from the references in each panel, as a part of g_max; None without any."""
    found: dict[str, list[float]] = {"program": [], "mean": [], "spread": [], "read": []}
    for reference in row["references"]:
        for panel, x, y, level in points(reference, row):
            place = row["target"] if panel in ("program", "read") else np.log(row["times"])
            ours = row[panel][0] if panel == "read" else row[panel] if panel == "program" else row[panel][:, level]
            x = x if panel in ("program", "read") else np.log(x)
            inside = (x >= place[0] - 1e-9) & (x <= place[-1] + 1e-9)
            if inside.any():
                found[panel].append(float(np.abs(np.interp(x[inside], place, ours) - y[inside]).max()))
    found = {panel: [one for one in values if not np.isnan(one)] for panel, values in found.items()}
    return {panel: max(values, default=None) for panel, values in found.items()}


def points(reference: Reference, row: dict[str, Any]) -> list[tuple[str, np.ndarray, np.ndarray, int]]:
    """(panel, x, y, index of the level) of everything that a reference says, in parts of g_max and seconds."""
    g_max, targets = row["g_max"], row["target"] * row["g_max"]
    said = []
    if (law := reference.program) is not None:
        x, y = law(targets)
        said.append(("program", x / g_max, y / g_max, 0))
    if (law := reference.read) is not None:
        x, y = law(targets)
        said.append(("read", x / g_max, y / g_max, 0))
    if (aged := reference.aged) is not None:
        for i, level in enumerate(row["levels"]):
            times, mean, spread = aged(level * g_max, row["times"])
            said += [("mean", times, mean / g_max, i), ("spread", times, spread / g_max, i)]
    return said
