"""The ratios that the table is about, from the rows of one run."""

from typing import Any

from experiments.benchmarks.crossbar.jobs import FURTHER, MANY, ONE


# Work, imcjax's solver, the peer (the fastest of its rows that begin so, at a comparable tolerance), and the figure aimed at.
PAIRS = (
    (ONE, "imcjax schur_pcg", "badcrossbar", 300, 500),
    (ONE, "imcjax schur_pcg", "splu", 100, 200),
    (ONE, "imcjax schur_pcg", "CrossSim", 25, 50),
    (ONE, "imcjax schur_pcg", "klujax", None, None),
    (ONE, "imcjax schur_pcg", "ngspice", None, None),
    (MANY, "imcjax port_merge", "badcrossbar", 30, 60),
    (MANY, "imcjax port_merge", "splu", 25, 50),
    (MANY, "imcjax port_merge", "CrossSim", 150, 300),
    (MANY, "imcjax port_merge", "klujax", None, None),
    (FURTHER, "imcjax matrix held", "splu factors held", 1000, 3000),
    (FURTHER, "imcjax matrix held", "klujax factors held", None, None),
)
BACKWARD_LIMITS = {"schur_pcg": 1.0, "port_merge": 2.5, "gate ladder": 2.5}
NONLINEAR_LIMIT = 4.0
FIGURES_AT = 128
FIRST_CALL_S = (5.0, 2.0)


def speedups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many times as long each peer takes, by least and by median times; the aim where one is set for this size."""
    found = []
    for size in sorted({row["size"] for row in rows}):
        for work, ours, peer, least, stretch in PAIRS:
            of_work = {row["solver"]: row for row in rows if row["size"] == size and row["work"] == work}
            peers = [row for name, row in of_work.items() if name.startswith(peer) and "default" not in name]
            if ours not in of_work or not peers:
                continue
            best = min(peers, key=lambda row: row["min_s"])
            at = size == FIGURES_AT
            found.append(
                {
                    "size": size,
                    "work": work,
                    "solver": ours,
                    "peer": best["solver"],
                    "ratio": best["min_s"] / of_work[ours]["min_s"],
                    "ratio_of_medians": best["median_s"] / of_work[ours]["median_s"],
                    "at_least": least if at else None,
                    "stretch": stretch if at else None,
                }
            )
    return found


def break_even(rows: list[dict[str, Any]], size: int) -> float | None:
    """From how many inputs on the transfer matrix repays being made, against solving each input in a batch of 64."""
    time = {(row["work"], row["solver"]): row["min_s"] for row in rows if row["size"] == size}
    try:
        further = time[FURTHER, "imcjax matrix held"] / 64
        one_by_one, merged = time[MANY, "imcjax schur_pcg"] / 64, time[MANY, "imcjax port_merge"]
    except KeyError:
        return None
    return (merged - 64 * further) / (one_by_one - further) if one_by_one > further else None


def slope(rows: list[dict[str, Any]], work: str, solver: str) -> float | None:
    """The exponent b of time ~ size^b, fitted to the least times; None with fewer than two sizes."""
    import numpy as np

    points = [(row["size"], row["min_s"]) for row in rows if row["work"] == work and row["solver"] == solver]
    if len(points) < 2:
        return None
    size, seconds = np.log(np.array(points)).T
    return float(np.polyfit(size, seconds, 1)[0])
