"""Results and histories like those of a real run, for the tests to render."""

import numpy as np


BITS = {"fc1": [4, 5, 6], "fc2": [5, 4, 5], "fc3": [8, 7, 8], "fc4": [6, 6, 7]}
SHAPES = {"fc1": (784, 256), "fc2": (256, 128), "fc3": (128, 10)}
LENET = {"conv1": (25, 6), "conv2": (150, 16), "fc1": (400, 120), "features/block_0/attention/query_projection": (84, 10)}


def summary(mean, std, n, seed, values=True):
    chips = np.clip(np.random.default_rng(seed).normal(mean, std, n), 0, 1)
    chips = np.round(chips * 360) / 360
    found = {"mean": float(chips.mean()), "std": float(chips.std()), "q01": float(np.quantile(chips, 0.01)), "n": n}
    return found | ({"values": chips.tolist()} if values else {})


def layer(path, bits, shape, positions):
    operations = shape[0] * shape[1] * positions
    energy = {
        "adc": 3e-12 * shape[1] * positions * 2 ** ((bits[2] or 5) - 5),
        "dac": 4e-13 * shape[0] * positions * bits[1],
        "array": 4e-15 * operations,
        "digital": 5e-13 * shape[1] * positions * bits[0],
        "buffer": 2e-13 * (shape[0] + shape[1]) * positions,
    }
    area = {"adc": 3e-9 * shape[1], "dac": 2e-11 * shape[0], "array": 5e-13 * shape[0] * shape[1], "digital": 4e-9}
    return {
        "path": path,
        **dict(zip(("weight_bits", "input_bits", "adc_bits"), bits)),
        "energy_j": sum(energy.values()),
        "latency_s": 4e-8 * positions * bits[1],
        "area_m2": sum(area.values()),
        "n_in": shape[0],
        "n_out": shape[1],
        "positions": positions,
        "arrays": -(-shape[0] // 128) * -(-shape[1] // 128),
        "utilisation": 0.71,
        "energy": energy,
        "area": area,
    }


def result(shapes=SHAPES, chips=20, std=0.004):
    positions = [576, 64] if "conv1" in shapes else []
    layers = [
        layer(path, bits, shape, count)
        for (path, shape), bits, count in zip(shapes.items(), BITS.values(), [*positions, 1, 1, 1, 1])
    ]
    energy = sum(entry["energy_j"] for entry in layers)
    return {
        "data": "digits",
        "model": "lenet5" if "conv1" in shapes else "mlp",
        "seed": 0,
        "command": "imcjax codesign --data digits --model mlp --budget 0.25 --seed 0",
        "accuracy": {
            "float": 0.972,
            "uniform_baseline": summary(0.935, 2 * std, chips, 1, values=False),
            "chips": summary(0.961, std, chips, 2),
        },
        "validation": {
            "float": 0.975,
            "uniform_baseline": summary(0.94, 2 * std, chips, 3),
            "chips": summary(0.964, std, chips, 4),
        },
        "energy_j": energy,
        "latency_s": sum(entry["latency_s"] for entry in layers),
        "area_m2": sum(entry["area_m2"] for entry in layers),
        "budget": {"fraction": 0.25, "energy_j": 1.04 * energy, "reference_energy_j": 4.16 * energy, "satisfied": True},
        "uniform_baseline": {
            "bits": {"weight": 5, "input": 5, "adc": 6},
            "energy_j": 1.01 * energy,
            "candidates": [
                {"weight": 4, "input": 4, "adc": 6, "energy_j": 0.93 * energy, "validation": 0.921},
                {"weight": 5, "input": 5, "adc": 6, "energy_j": 1.01 * energy, "validation": 0.94},
                {"weight": 6, "input": 4, "adc": 5, "energy_j": 0.87 * energy, "validation": None},
            ],
        },
        "layers": layers,
        "hardware": {
            "technology": {"node": 22e-9, "supply": 0.8},
            "device": {"family": "reram_wan2022", "g_min": 1e-6, "g_max": 4e-5, "write_noise": {"a": 0.02, "b": 0.001}},
            "wires": {"wordline": 1.5, "bitline": 1.5, "driver": 100.0, "sense": 0.0},
            "adc": {"bits": 8, "share": 8.0},
            "slices": [1, 2, 4],
        },
        "versions": {"imcjax": "0.1.0", "jax": "0.10.1", "flax": "0.12.8", "python": "3.11.7"},
        "seconds": {"float": 12.3, "search": 61.2, "tune": 20.0, "baseline": 33.1},
        "conventions": {
            "energy": "Joule for one inference of one sample on the arrays and their converters.",
            "accuracy": "Fraction of samples whose largest output is the label; one draw of all device errors per chip.",
        },
    }


def history(result, rows=40):
    """A float phase, a search whose energy follows a falling target, a tuning with fixed bits, and the baseline."""
    rng = np.random.default_rng(5)
    phases = [
        ("float", rows // 4),
        ("search", rows // 2),
        ("tune", rows // 8),
        ("baseline", rows - rows // 4 - rows // 2 - rows // 8),
    ]
    final = {entry["path"]: [entry["weight_bits"], entry["input_bits"], entry["adc_bits"]] for entry in result["layers"]}
    found = []
    for phase, count in phases:
        for i in range(count):
            t = i / max(count - 1, 1)
            loss = {"float": 2.3 * np.exp(-4 * t) + 0.05, "search": 0.25 + 0.2 * t, "tune": 0.3 - 0.1 * t}.get(
                phase, 0.5 - 0.2 * t
            )
            row = {"phase": phase, "step": 50 * i, "loss": float(loss * rng.uniform(0.9, 1.1)), "accuracy": None}
            row |= {"energy_j": None, "target_j": None, "bits": None}
            if i % 3 == 0:
                row["accuracy"] = 0.97 - 0.2 * row["loss"] / 2.3
            if phase == "search":
                row["target_j"] = result["budget"]["reference_energy_j"] * 0.25 ** min(1.2 * t, 1)
                row["energy_j"] = row["target_j"] * rng.uniform(0.97, 1.12)
                row["bits"] = {
                    path: [None if b is None else 8 + (b - 8) * min(1.3 * t, 1) for b in bits] for path, bits in final.items()
                }
            if phase == "tune":
                row["energy_j"], row["bits"] = result["energy_j"], final
            found.append(row)
    return found
