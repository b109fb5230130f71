"""What a finished run says: the content of result.json."""

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from imcjax.codesign.chips import spread
from imcjax.codesign.problem import Design, Problem
from imcjax.hardware import to_dict


CONVENTIONS = {
    "accuracy": "share of correct answers; chips are simulated with exact wires, each programmed and read once",
    "std": "sample standard deviation over chips; q01 is their 1 % quantile",
    "energy": "joule for one inference (one image): ADC, array read, wordlines, DAC, digital and buffers; no weight writing, "
    "no leakage",
    "budget": "a fraction of the energy of the uniform design with the widest legal bits, on the same hardware, float weights",
    "uniform_baseline": "best on validation of the uniform triples within the budget: ranked by validation loss before "
    "training, the first few then trained for as many steps as the co-design",
    "bits": "weight bits include the sign; input bits include it where inputs can be negative; an ADC of b bits has 2^b - 1 "
    "levels",
    "selection": "designs are chosen on validation data; the test set is used once, at the end",
}


def build_result(
    problem: Problem,
    float_params: nnx.State,
    design: Design,
    chips: np.ndarray,
    baseline: Design,
    uniform_chips: np.ndarray,
    considered: list[dict[str, Any]],
    chosen: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The result as JSON-ready dict.

    Args:
      problem: the task on hardware.
      float_params: of the network without hardware.
      design, chips: the co-designed network and its (chips, 2) accuracies on validation and test.
      baseline, uniform_chips, considered: the uniform design, its accuracies, and the table of those considered.
      chosen: where the design comes from: "searched" or "grown", or "uniform" where the baseline was better on validation.
      seconds: wall time of each stage.
    """
    task, split = problem.task, problem.task.data
    joules = problem.energy_of(design)
    layers = _layers(problem, design)
    names = ("weight", "input", "adc")
    sides = {"validation": (0, split.validation), "accuracy": (1, split.test)}
    scores = {
        name: {
            "float": problem.accuracy(float_params, part),
            "uniform_baseline": spread(uniform_chips[:, column]),
            "chips": spread(chips[:, column]),
        }
        for name, (column, part) in sides.items()
    }
    return {
        "data": split.name,
        "model": task.model,
        "seed": task.seed,
        "accuracy": scores["accuracy"],
        "validation": scores["validation"],
        "energy_j": joules,
        "latency_s": sum(layer["latency_s"] for layer in layers),
        "area_m2": sum(layer["area_m2"] for layer in layers),
        "budget": {
            "fraction": task.energy_budget,
            "energy_j": problem.budget_j,
            "reference_energy_j": problem.reference_j,
            "satisfied": bool(joules <= problem.budget_j),
        },
        "chosen": chosen,
        "uniform_baseline": {
            "bits": dict(zip(names, (int(b) for b in baseline.bits[0]), strict=True)),
            "energy_j": problem.energy_of(baseline),
            "candidates": considered,
        },
        "layers": layers,
        "hardware": to_dict(problem.hardware),
        "plan": dataclasses.asdict(task.plan),
        "seconds": seconds,
        "conventions": CONVENTIONS,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("imcjax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")},
    }


def _layers(problem: Problem, design: Design) -> list[dict[str, Any]]:
    bills = problem.bill.layers(design.params, jnp.asarray(design.bits), hard=True, ranges=design.ranges)
    counts = problem.network.trimmed(design.bits, problem.hardware).counts
    names = ("weight_bits", "input_bits", "adc_bits")
    rows = []
    for work, bill, bits, (slices, _) in zip(problem.bill.works, bills, design.bits, counts, strict=True):
        tiling = work.tiling(problem.hardware)
        rows.append(
            {
                "path": work.path,
                **dict(zip(names, (int(b) for b in bits), strict=True)),
                "energy_j": float(bill.energy_j),
                "latency_s": float(bill.latency_s),
                "area_m2": float(bill.area_m2),
                "n_in": work.n_in,
                "n_out": work.n_out,
                "groups": work.groups,
                "positions": work.positions,
                "arrays": work.groups * slices * problem.hardware.encoding.cells * tiling.row_tiles * tiling.col_tiles,
                "utilisation": tiling.utilisation,
                "energy": {name: float(value) for name, value in bill.energy.items()},
                "area": {name: float(value) for name, value in bill.area.items()},
            }
        )
    return rows
