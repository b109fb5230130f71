"""Published macros and architectures."""

from experiments.validation.cost.rows import Row
from imcjax import cost
from imcjax.cost import neurosim
from imcjax.cost.macros import AnalogSram, C2c22, Jia65, Neurram130, Sinangil7
from imcjax.technology import Technology


ZIGZAG_PJ = {"dac": 10.37, "adc": 717.9, "multiply": 37.16, "bitline": 37.16, "adder_tree": 33.09, "accumulator": 15.68}
SINANGIL_PJ = {0: 3.357, 1: 4.563, 2: 5.033, 4: 5.443, 6: 5.838, 8: 6.285, 10: 6.657, 12: 7.044, 15: 7.795}
SINANGIL_V = {0.65: 5.11, 0.70: 5.88, 0.75: 6.80, 0.80: 7.81, 0.85: 9.03, 0.90: 10.25, 0.95: 11.75, 1.00: 13.13}
# (output, input) bits: fJ an operation of wordlines, neurons and inputs; TOPS of 48 cores
NEURRAM = {
    (3, 1): (8.99, 10.62, 3.45, 2.122), (4, 2): (8.27, 12.39, 3.96, 1.793), (5, 3): (15.46, 20.12, 7.73, 1.165),
    (6, 4): (21.76, 29.11, 11.51, 0.744), (7, 5): (30.93, 44.21, 14.02, 0.525), (8, 6): (37.22, 52.48, 19.24, 0.418),
    (9, 7): (43.69, 61.83, 22.83, 0.344), (10, 8): (50.52, 75.86, 27.51, 0.264),
}  # fmt: skip
# VGG-8 for 32 x 32 images: (side of the layer's input, kernel, inputs, outputs)
VGG8 = [
    (32, 3, 3, 128), (32, 3, 128, 128), (16, 3, 128, 256), (16, 3, 256, 256), (8, 3, 256, 512), (8, 3, 512, 512),
    (1, 1, 8192, 1024), (1, 1, 1024, 10),
]  # fmt: skip


def rows() -> list[Row]:
    """All rows of chips."""
    return [*_zigzag(), *_sinangil(), *_neurram(), *_jia(), *_c2c(), *_isaac(), *_puma(), *_inflation()]


def _zigzag() -> list[Row]:
    macro, tech, source = AnalogSram(dac_bits=2), Technology(), "ZigZag-IMC, run"
    energy, area, clock = macro.energy_j(tech), macro.area_m2(tech), macro.clock_s(tech)
    found = [Row(source, f"energy a cycle, {k}", float(energy[k]) * 1e12, pj, 1e-3, "pJ") for k, pj in ZIGZAG_PJ.items()]
    joule, square, second = (float(sum(parts.values())) for parts in (energy, area, clock))
    tops = 2e-12 * float(macro.macs_per_cycle()) / second
    return [
        *found,
        Row(source, "area of the ADCs", float(area["adc"]) * 1e6, 2.135, 1e-3, "mm^2"),
        Row(source, "area", square * 1e6, 2.298, 1e-3, "mm^2"),
        Row(source, "conversion", float(clock["adc"]) * 1e9, 11.81, 1e-3, "ns"),
        Row(source, "clock", second * 1e9, 14.072, 1e-3, "ns"),
        Row(source, "throughput", tops, 0.582, 1e-3, "TOPS"),
        Row(source, "efficiency", 2e-12 * float(macro.macs_per_cycle()) / joule, 9.62, 1e-3, "TOPS/W"),
        Row(source, "density", tops / (square * 1e6), 0.253, 2e-3, "TOPS/mm^2"),
    ]


def _sinangil() -> list[Row]:
    macro, source = Sinangil7(), "Sinangil, JSSC 2021"
    found = [
        Row(source, f"energy at mean output {m}", float(macro.energy_j(m)) * 1e12, pj, 0.08, "pJ", "2 numbers fitted to 9")
        for m, pj in SINANGIL_PJ.items()
    ]
    found += [
        Row(
            source, f"energy at {v:g} V, mean output 15", float(macro.energy_j(15, v)) * 1e12, pj, 0.10, "pJ", "V^2, not fitted"
        )
        for v, pj in SINANGIL_V.items()
    ]
    published = {15: 262.3, 6: 351.0, 0: 610.5}
    return found + [
        Row(source, f"TOPS/W at mean output {m}", float(macro.tops_per_watt(m)), value, 0.08, "TOPS/W")
        for m, value in published.items()
    ]


def _neurram() -> list[Row]:
    macro, found, source = Neurram130(), [], "Wan, Nature 2022"
    for (y, x), (wordline, neuron, inputs, _) in NEURRAM.items():
        ours = float(sum(macro.energy_j(x).values())) * 1e15
        theirs = wordline + neuron + inputs
        found.append(Row(source, f"energy, output {y} b, input {x} b", ours, theirs, 0.15, "fJ/op", "3 numbers fitted"))
    for (y, x), (*_, tops) in NEURRAM.items():
        found.append(Row(source, f"speed, output {y} b, input {x} b", float(macro.tops(y, x)), tops, 0.25, "TOPS", "2 fitted"))
    return found


def _jia() -> list[Row]:
    macro, source = Jia65(), "Jia, JSSC 2020"
    high = macro.energy_j(1.2)
    found = [
        Row(source, f"TOPS/W at {v} V, 1b-1b", float(macro.tops_per_watt(v)), t, 0.1, "TOPS/W")
        for v, t in ((0.85, 400), (1.2, 192))
    ]
    pairs = (("adc", 3.56), ("array", 20.4), ("datapath", 14.7))
    return found + [
        Row(source, f"{k} a column at 1.2 V", float(high[k]) * 1e12, pj, 0.15, "pJ", "V^2 from 0.85 V") for k, pj in pairs
    ]


def _c2c() -> list[Row]:
    macro, source = C2c22(), "Wang, JSSC 2023"
    published = {0.7: 32.0, 0.8: 22.6, 0.9: 18.4, 1.0: 16.4, 1.1: 15.5}
    return [
        Row(source, f"TOPS/W at {v} V", 1e-12 / float(sum(macro.energy_j(v).values())), t, 0.01, "TOPS/W", "its own table")
        for v, t in published.items()
    ]


def _isaac() -> list[Row]:
    chip, source = cost.architecture("isaac"), "Shafiee, ISCA 2016"
    mw, mm2 = 1e3, 1e6
    tops = chip.tops()
    return [
        Row(source, "power of 12 cores", 12 * chip.total("power_w", "core") * mw, 289, 0.01, "mW"),
        Row(source, "area of 12 cores", 12 * chip.total("area_m2", "core") * mm2, 0.157, 0.01, "mm^2"),
        Row(source, "power of the tile", chip.total("power_w", "tile") * mw, 330, 0.01, "mW"),
        Row(source, "area of the tile", chip.total("area_m2", "tile") * mm2, 0.372, 0.01, "mm^2"),
        Row(source, "power of the chip", chip.total("power_w"), 65.8, 0.01, "W"),
        Row(source, "area of the chip", chip.total("area_m2") * mm2, 85.4, 0.01, "mm^2"),
        Row(source, "peak per area", 1e3 * tops / (chip.total("area_m2") * mm2), 479, 0.02, "GOPS/mm^2"),
    ]


def _puma() -> list[Row]:
    chip, source = cost.architecture("puma"), "Ankit, ASPLOS 2019"
    watt, mm2 = chip.total("power_w"), chip.total("area_m2") * 1e6
    return [
        Row(source, "peak per power", 1e3 * chip.tops() / watt, 837, 0.01, "GOPS/W"),
        Row(source, "peak per area", 1e3 * chip.tops() / mm2, 577, 0.01, "GOPS/mm^2"),
    ]


def _inflation() -> list[Row]:
    counted = sum(neurosim.counted_macs(side, k, n, m) for side, k, n, m in VGG8)
    simulated = sum(neurosim.simulated_macs(side, k, 1, n, m) for side, k, n, m in VGG8)
    return [Row("NeuroSim V1.4, run", "operations counted / simulated, VGG-8", counted / simulated, 1.384, 1e-3)]
