"""NeuroSim's sweep of one layer: six numbers fitted on half of its rows, the others predicted; signs of changes; VGG-8."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.validation.cost.chips import VGG8
from experiments.validation.cost.rows import Row
from imcjax.cost import neurosim
from imcjax.cost.neurosim import CALIBRATED, Layer, Neurosim


SOURCE = "NeuroSim V1.4, run"
# 7 x 7 x 128 -> 3 x 3 -> 128: 25 vectors
LAYER = Layer(vectors=25, kernels=9, n_in=128, n_out=128)
BASELINE = 259.0
DESIGNED = ("node_m", "rows", "parallel_rows", "mux", "cell_bits", "adc_bits", "r_on", "r_off")
# change of the baseline: (of the design, of the layer, nJ, whether it is fitted)
RUNS = {
    "baseline": ({}, {}, 259.0, True),
    "density 0.062": ({}, {"input_ones": 0.062}, 218.0, True),
    "density 0.501": ({}, {"input_ones": 0.501}, 349.4, False),
    "weights all -1": ({}, {"weight_ones": 0.0}, 243.7, False),
    "weights all max": ({}, {"weight_ones": 1.0}, 263.4, False),
    "flash 4 b": ({"adc_bits": 4}, {}, 185.0, False),
    "flash 6 b": ({"adc_bits": 6}, {}, 422.8, True),
    "SAR 5 b": ({"converter": "sar"}, {}, 304.5, False),
    "SAR 6 b": ({"converter": "sar", "adc_bits": 6}, {}, 345.5, True),
    "SAR 7 b": ({"converter": "sar", "adc_bits": 7}, {}, 388.5, False),
    "SAR 8 b": ({"converter": "sar", "adc_bits": 8}, {}, 433.7, True),
    "SAR 5 b, density 0.062": ({"converter": "sar"}, {"input_ones": 0.062}, 215.5, False),
    "SAR 5 b, density 0.501": ({"converter": "sar"}, {"input_ones": 0.501}, 544.8, True),
    "2 b a cell": ({"cell_bits": 2}, {}, 136.6, False),
    "4 b a cell": ({"cell_bits": 4}, {}, 65.7, False),
    "6k/102k, flash": ({"r_on": 6e3, "r_off": 102e3}, {}, 497.0, False),
    "6k/102k, SAR": ({"r_on": 6e3, "r_off": 102e3, "converter": "sar"}, {}, 1791.9, True),
    "mux 4": ({"mux": 4}, {}, 203.6, None),
    "mux 16": ({"mux": 16}, {}, 320.8, False),
    "mux 32": ({"mux": 32}, {}, 467.2, True),
    "32 nm": ({"node_m": 32e-9}, {}, 368.0, True),
    "45 nm": ({"node_m": 45e-9}, {}, 659.0, False),
    "65 nm": ({"node_m": 65e-9}, {}, 1285.0, True),
    "array 64": ({"rows": 64}, {}, 446.6, False),
    "array 256": ({"rows": 256}, {}, 262.6, False),
    "32 parallel rows": ({"parallel_rows": 32}, {}, 726.8, True),
    "16 parallel rows": ({"parallel_rows": 16}, {}, 1454.5, None),
    "SRAM, flash": ({"memory": "sram"}, {}, 285.4, False),
    "SRAM, SAR": ({"memory": "sram", "converter": "sar"}, {}, 440.9, True),
    "FeFET": ({"memory": "fefet"}, {}, 260.6, False),
}
SAID = {"mux 4": "its accumulation is counted as 0 there", "16 parallel rows": "its decision time grows, which is not modelled"}
# ns of the clock and us of the layer, of runs whose latency is modelled: SAR converters, and others at their own clock
SAR_TIMES = {
    "SAR 6 b": (9.92, 15.6), "SAR 7 b": (11.32, 17.9), "SAR 8 b": (12.72, 20.2), "6k/102k, SAR": (8.76, 13.6),
    "SRAM, SAR": (8.58, 13.4),
}  # fmt: skip
OTHER_TIMES = {
    "baseline": (1.663, 2.63), "flash 4 b": (1.522, 2.50), "flash 6 b": (2.017, 3.16), "6k/102k, flash": (2.31, 3.60),
    "SRAM, flash": (1.70, 2.69), "32 nm": (5.27, 8.2), "45 nm": (7.80, 12.1), "65 nm": (11.93, 18.6),
}  # fmt: skip
FLOORPLAN = {"2 b a cell": (1.663, 3.39), "mux 16": (1.68, 3.84), "array 64": (1.79, 4.01)}
AREA = 3.810
NODE_AREAS = {"32 nm": 8.37, "45 nm": 17.98, "65 nm": 38.27}
SAR_AREAS = (4.285, 4.421, 4.585, 4.751)
VGG8_UJ = {"rram": 31.81, "sram": 35.30}


def energies(numbers: np.ndarray) -> dict[str, float]:
    """nJ of every run with the six numbers; runs of one structure are evaluated together."""
    found = {}
    for structure in dict.fromkeys(map(_structure, RUNS)):
        names = [name for name in RUNS if _structure(name) == structure]
        runs = [RUNS[name] for name in names]
        designs = {key: _column(key, Neurosim(), [run[0] for run in runs]) for key in DESIGNED}
        layers = {key: _column(key, LAYER, [run[1] for run in runs]) for key in ("input_ones", "weight_ones")}
        joule = _energy(tuple(numbers), Neurosim(*structure, **designs), dataclasses.replace(LAYER, **layers))
        found |= {name: 1e9 * float(each) for name, each in zip(names, joule, strict=True)}
    return {name: found[name] for name in RUNS}


def _column(key: str, usual: Neurosim | Layer, changes: list[dict]) -> np.ndarray:
    return np.array([change.get(key, getattr(usual, key)) for change in changes], float)


def _structure(name: str) -> tuple[str, str]:
    design = RUNS[name][0]
    return design.get("memory", "rram"), design.get("converter", "flash")


@jax.jit
def _energy(numbers: tuple, design: Neurosim, layer: Layer) -> jax.Array:
    built = dataclasses.replace(design, **dict(zip(CALIBRATED, numbers, strict=True)))
    count = max(np.size(leaf) for leaf in jax.tree.leaves((design, layer)))
    every = jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf, float), (count,)), (built, layer))
    return jax.vmap(lambda one: jnp.asarray(sum(neurosim.energy_j(*one).values())))(every)


def fit(names: list[str]) -> np.ndarray:
    """The six numbers: Gauss-Newton of the logarithms of the energies, from the defaults of `Neurosim`."""
    start = np.array([getattr(Neurosim(), name) for name in CALIBRATED])
    theirs = np.log([RUNS[name][2] for name in names])

    def rest(steps: np.ndarray) -> np.ndarray:
        found = energies(start * np.exp(steps))
        return np.log([found[name] for name in names]) - theirs

    steps, small = np.zeros(len(start)), 1e-2
    for _ in range(8):
        here = rest(steps)
        slopes = np.stack([(rest(steps + small * unit) - here) / small for unit in np.eye(len(start))], 1)
        steps = np.clip(steps - np.linalg.lstsq(slopes, here, rcond=1e-6)[0], -3, 3)
    return start * np.exp(steps)


def rows() -> list[Row]:
    """Every run, the signs, and VGG-8 as a whole."""
    fitted = [name for name, run in RUNS.items() if run[3]]
    numbers = fit(fitted)
    ours = energies(numbers)
    found = []
    for name, mine in ours.items():
        theirs, used = RUNS[name][2:]
        note = SAID.get(name, "fitted" if used else "held out")
        limit = {None: None, True: 0.15, False: 0.10}[used]
        found.append(Row(SOURCE, f"layer, {name}", mine, theirs, limit, "nJ", note))
    for name, mine in ours.items():
        if name == "baseline" or ("," in name and "SRAM" not in name):  # two changes
            continue
        agree = np.sign(mine - ours["baseline"]) == np.sign(RUNS[name][2] - BASELINE)
        found.append(Row(SOURCE, f"sign of the change, {name}", float(agree), 1.0, 0.0, "", "1: agrees"))
    return found + _vgg8(numbers) + _times() + _areas()


def _times() -> list[Row]:
    found = []
    for name, (clock, latency) in SAR_TIMES.items():
        design, layer = dataclasses.replace(Neurosim(), **RUNS[name][0]), LAYER
        ours = float(neurosim.clock_s(design))
        found.append(Row(SOURCE, f"clock, {name}", 1e9 * ours, clock, 0.03, "ns", "its rest from one run, held out"))
        mine = 1e6 * float(neurosim.latency_s(design, layer, ours))
        found.append(Row(SOURCE, f"latency, {name}", mine, latency, 0.05, "us", "not fitted"))
    for name, (clock, latency) in (OTHER_TIMES | FLOORPLAN).items():
        design = dataclasses.replace(Neurosim(), **RUNS[name][0])
        mine = 1e6 * float(neurosim.latency_s(design, LAYER, 1e-9 * clock))
        limit, note = (None, "it copies weights as its floorplan has room") if name in FLOORPLAN else (0.05, "at its own clock")
        found.append(Row(SOURCE, f"latency, {name}", mine, latency, limit, "us", note))
    return found


def _areas() -> list[Row]:
    """Where its areas follow from few numbers: the node, and the bits of the SAR converter, whose area is linear in them."""
    found = [
        Row(SOURCE, f"area, {name}", AREA * (RUNS[name][0]["node_m"] / 22e-9) ** 2, theirs, 0.15, "mm^2", "square of the node")
        for name, theirs in NODE_AREAS.items()
    ]
    step = (SAR_AREAS[3] - SAR_AREAS[0]) / 3
    for bits, theirs in zip((6, 7), SAR_AREAS[1:3], strict=True):
        mine = SAR_AREAS[0] + step * (bits - 5)
        found.append(Row(SOURCE, f"area, SAR {bits} b", mine, theirs, 0.01, "mm^2", "a line through 5 and 8 bits"))
    return found


def _vgg8(numbers: np.ndarray) -> list[Row]:
    layers = []
    for place, (side, k, n_in, n_out) in enumerate(VGG8):
        rows, kernels = min(n_in, 128), k * k
        if rows * kernels <= 128:  # a small layer is unrolled into one array
            rows, kernels = rows * kernels, 1
        vectors, kernels = max(side - k + 1, 1) ** 2, kernels * -(-n_in // 128)
        layers.append((vectors, kernels, rows, n_out, 0.439 if place == 0 else 0.18))
    every = Layer(*np.array(layers, float).T)
    return [
        Row(SOURCE, f"VGG-8, {memory}, 22 nm", 1e6 * float(np.sum(joule)), theirs, 0.15, "uJ", "held out")
        for memory, theirs in VGG8_UJ.items()
        for joule in [_energy(tuple(numbers), Neurosim(memory=memory), every)]
    ]
