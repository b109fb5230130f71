"""What is published of the presets: outputs of IBM aihwkit where there are any, else the law of the source in closed form.

Written without imcjax, to be compared with it. A preset that is not here is drawn alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


US = 1e-6
Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Reference:
    """One source. Conductances in siemens, times in seconds.

    Attributes:
      label: what the picture calls it.
      program: targets -> (targets, standard deviation as programmed) of points of its own choice.
      aged: (target, times) -> (times, mean, standard deviation) without read noise.
      read: targets -> (targets, standard deviation of the read noise as programmed).
      sampled: points with a sampling error, not a law.
    """

    label: str
    program: Curve | None = None
    aged: Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None
    read: Curve | None = None
    sampled: bool = False


def find(name: str, folder: Path | None) -> list[Reference]:
    """The references of the preset `name`; vectors are looked for in `folder`."""
    found = []
    if folder is not None and (folder / f"aihwkit_{name}.npz").exists():
        found.append(_aihwkit(folder / f"aihwkit_{name}.npz", drifts=name.startswith("pcm")))
    if name in LAWS:
        found.append(LAWS[name]())
    return found


def _aihwkit(path: Path, *, drifts: bool) -> Reference:
    """10,000 draws a point; where the model drifts, later points hold read noise too, and are left out."""
    vectors = np.load(path, allow_pickle=False)
    targets, times = vectors["g_target"].astype(float) * US, vectors["times"].astype(float)

    def aged(target: float, _: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = [np.interp(target, targets, vectors[f"t{k}_mean"] * US) for k in range(len(times))]
        std = [np.interp(target, targets, vectors[f"t{k}_std"] * US) for k in range(len(times))]
        return times, np.array(mean), np.full(len(times), np.nan) if drifts else np.array(std)

    return Reference("IBM aihwkit, sampled", lambda _: (targets, vectors["prog_std"] * US), aged, sampled=True)


def clipped(mean: Any, sigma: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of max(0, mean + sigma N)."""
    mean, sigma = np.broadcast_arrays(np.asarray(mean, float), np.maximum(np.asarray(sigma, float), 1e-30))
    z = mean / sigma
    above = np.vectorize(math.erf)(z / math.sqrt(2)) / 2 + 0.5
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    first = mean * above + sigma * density
    second = (mean**2 + sigma**2) * above + mean * sigma * density
    return first, np.sqrt(np.maximum(second - first**2, 0))


def _normal(sigma: Callable[[np.ndarray], Any], read: Callable[[np.ndarray], Any], label: str) -> Reference:
    """A normal error as programmed that stays, and read noise."""

    def aged(target: float, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, std = clipped(target, sigma(np.asarray(target)))
        return times, np.full(len(times), mean), np.full(len(times), std)

    return Reference(label, lambda g: (g, clipped(g, sigma(g))[1]), aged, lambda g: (g, read(g) + 0 * g))


def ideal() -> Reference:
    """No error at all."""
    return _normal(lambda g: 0 * g, lambda g: 0 * g, "law")


def generic() -> Reference:
    """2 % of g_max as programmed, 1 % of g a read."""
    return _normal(lambda g: 0.02 * 100 * US + 0 * g, lambda g: 0.01 * g, "law")


def pcm_joshi() -> Reference:
    """CrossSim's fit of V. Joshi et al., Nature Communications 11, 2473 (2020), Fig. 3b."""

    def sigma(g: np.ndarray) -> np.ndarray:
        us = g / US
        return (-0.00178767 * us**2 + 0.07585724 * us + 0.28638599) * US

    return Reference("fit of CrossSim", program=lambda g: (g, clipped(g, sigma(g))[1]))


def rram_milo() -> Reference:
    """CrossSim's fit of V. Milo et al., IRPS 2021."""

    def sigma(g: np.ndarray) -> np.ndarray:
        return np.maximum(-0.009107 * g / US + 4.782321, 0) * US

    return Reference("fit of CrossSim", program=lambda g: (g, clipped(g, sigma(g))[1]))


def reram_wan2022() -> Reference:
    """The polynomials in r = g / 40 uS at 1 s, 1 day and 2 days."""
    measured = np.array([1.0, 86400.0, 172800.0])
    fits = np.array(
        [
            [-16.815, 45.393, -43.853, 16.030, 0.348],
            [-16.458, 47.095, -50.773, 22.086, 0.701],
            [-11.934, 37.062, -43.507, 20.274, 0.782],
        ]
    )

    def aged(target: float, _: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sigma = np.array([np.polyval(row, target / (40 * US)) for row in fits]) * US
        return measured, *clipped(target, sigma)

    def program(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return g, clipped(g, np.polyval(fits[0], g / (40 * US)) * US)[1]

    return Reference("fit of aihwkit", program, aged, lambda g: (g, 0.01 * np.hypot(*clipped(g, program(g)[1]))))


Law = Callable[[np.ndarray], np.ndarray]


def _pcm(g_max: float, t0: float, read_time: float, sigma: list[float], mu: Law, sd: Law, q: Law) -> Reference:
    """Phase change: moments by Gauss-Hermite quadrature over the exponent; sigma in uS, from the highest power of r down."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def programmed(g: Any) -> tuple[np.ndarray, np.ndarray]:
        return clipped(g, np.polyval(sigma, np.asarray(g) / g_max) * US)

    def aged(target: float, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r = np.array(target / g_max)
        left = ((times[:, None] + t0) / t0) ** -np.abs(mu(r) + sd(r) * nodes)
        once, twice = left @ weights, left**2 @ weights
        mean, std = programmed(target)
        return times, mean * once, np.sqrt((mean**2 + std**2) * twice - (mean * once) ** 2)

    def read(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, std = programmed(g)
        # Over the programmed conductances: Q depends on what a cell has, not on what it was asked for.
        found = np.maximum(mean[:, None] + std[:, None] * nodes, 1e-12)
        square = (found * q(found / g_max)) ** 2 @ weights
        return g[1:], np.sqrt(square * math.log((t0 + read_time) / (2 * read_time)))[1:]

    return Reference("law with aihwkit's numbers", lambda g: (g, programmed(g)[1]), aged, read)


def pcm_nandakumar() -> Reference:
    """S. R. Nandakumar et al., ICECS 2019."""
    return _pcm(
        25 * US, 20.0, 250e-9, [-1.1731, 1.9650, 0.26348],
        lambda r: np.clip(-0.0155 * np.log(r) + 0.0244, 0.049, 0.1),
        lambda r: np.clip(-0.0125 * np.log(r) - 0.0059, 0.008, 0.045),
        lambda r: np.minimum(0.0088 / r**0.65, 0.2),
    )  # fmt: skip


def _hermes_mu(r: np.ndarray) -> np.ndarray:
    low = np.clip(-0.0387 * np.log(r) - 0.0182, 0.0720, 0.13)
    return np.where(r < 0.0945, low, np.polyval([-0.0436, -0.0126, 0.0736], r))


def pcm_hermes1() -> Reference:
    """M. Le Gallo et al., Nature Electronics 6, 680 (2023), one device."""
    return _pcm(
        10.35 * US, 200.0, 512e-9, [0.68841818, -2.16310839, 2.32443916, 0.15781817], _hermes_mu,
        lambda r: np.where(
            r < 0.3039, np.clip(-0.0120 * np.log(r) - 0.0023, 0.0124, 0.04), np.polyval([-0.0165, 0.0116, 0.0104], r)
        ),
        lambda r: np.where(
            r < 0.1591, np.clip(-0.0078 * np.log(r) + 0.0038, 0.0179, 0.04), np.polyval([0.0664, -0.1352, 0.0768, 0.0088], r)
        ),
    )  # fmt: skip


def pcm_hermes2() -> Reference:
    """The same, two devices."""
    return _pcm(
        20.7 * US, 300.0, 512e-9, [4.68961419, -8.48101252, 4.71806468, 0.16603222], _hermes_mu,
        lambda r: np.where(
            r < 0.3055, np.clip(-0.0117 * np.log(r) - 0.0057, 0.0091, 0.04), np.polyval([-0.0118, 0.0093, 0.0073], r)
        ),
        lambda r: np.where(
            r < 0.16, np.clip(-0.0117 * np.log(r) - 0.0069, 0.015, 0.04), np.polyval([0.0069, -0.0280, 0.0211, 0.0123], r)
        ),
    )  # fmt: skip


def _reram_cmo(offset: float, slope: float) -> Reference:
    """D. F. Falcone et al., arXiv 2502.04524 (2025), without the ends of its window at 9 and 88.2 uS, where values are cut."""

    def sigma(g: Any) -> np.ndarray:
        return offset * US + slope * np.asarray(g)

    def aged(target: float, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # At the upper end the cut makes other moments: nothing is said of it.
        known = np.nan if target > 0.99 * 88.2 * US else 1.0
        spread = np.hypot(sigma(target), (0.04201137 * np.log(times) + 0.41183342) * US)
        return times, known * (target - 0.08900206 * np.log(times) * US), known * spread

    def inner(g: np.ndarray) -> np.ndarray:
        return g[(g > 9.5 * US) & (g < 84 * US)]

    def read(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return inner(g), 0.0277316483 * np.log10(inner(g) / US) * math.sqrt(math.log((1 + 1e-6) / 2e-6)) * US

    return Reference("law with aihwkit's numbers", lambda g: (inner(g), sigma(inner(g))), aged, read)


def still() -> Reference:
    """Two states, or a spread for which the source has no number: none by default."""
    return Reference("spreads are 0 by default", lambda g: (g, 0 * g), read=lambda g: (g, 0 * g))


LAWS: dict[str, Callable[[], Reference]] = {
    "ideal": ideal,
    "generic": generic,
    "fefet": still,
    "pcm_hermes1": pcm_hermes1,
    "pcm_hermes2": pcm_hermes2,
    "pcm_joshi": pcm_joshi,
    "pcm_nandakumar": pcm_nandakumar,
    "reram_wan2022": reram_wan2022,
    "reram_cmo_0.2": lambda: _reram_cmo(0.00081107, 0.00106879),
    "reram_cmo_2": lambda: _reram_cmo(0.0112185391, 0.01129027418),
    "rram_milo": rram_milo,
    "sram": still,
    "stt_mram": still,
}
