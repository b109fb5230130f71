"""What `imcjax cost` does: estimate a model on hardware, sweep it, place it on an architecture, print and write the report."""

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from imcjax import commands, cost, data, models, report, xla
from imcjax.errors import UserError, check_number, check_record, nearest
from imcjax.files import write_json
from imcjax.hardware import Hardware
from imcjax.pytree import replace


if TYPE_CHECKING:
    from imcjax.cli import Cost


CONVENTIONS = (
    "Energy is that of one inference; control and what stays digital are not counted.",
    "A product with its addition is two operations; 1b-1b counts weight bits x input bits operations for each.",
    "Weights are as initialised from the seed; row voltages are those of the sample.",
)
SAMPLES = 32


def run(options: "Cost") -> None:
    """Estimate, print, and write the report where a folder is given.

    Raises:
      UserError: wrong input.
    """
    xla.choose_flags()
    xla.keep_compiled()
    result = estimate(options)
    console = Console()
    for table in report.cost_tables(result):
        console.print(table)
    for sentence in (*result["extrapolated"], *result["conventions"]):
        console.print(sentence, highlight=False, style="dim")
    if options.out is not None:
        report.write_cost_page(result, options.out / "cost.html")
        write_json(options.out / "cost.json", result)
        console.print(f"Report: {options.out / 'cost.html'}")


def estimate(options: "Cost") -> dict[str, Any]:
    """The result as a plain dict.

    Raises:
      UserError: wrong input.
    """
    check_number("--seed", options.seed, 0, 2**31 - 1, whole=True)
    check_number("--batch", options.batch, 1, 1_000_000, whole=True)
    technology = commands.find_hardware(options.hardware)
    if options.leakage is not None:
        check_number("--leakage", options.leakage, 0.0, 1e9, unit="W/m^2")
        technology = technology.replace(technology=replace(technology.technology, leakage_w_m2=options.leakage))
    pulses = find_pulses(options)
    if options.model not in models.names():
        raise UserError(f"There is no model {options.model!r}{nearest(options.model, models.names())}.")
    converter = find_converter(options.adc, options.adc_rate)
    swept = None if options.sweep is None else cost.sweep.parse(options.sweep)
    design = find_architecture(options)
    shape, classes, sample = _sample(options)
    model = models.build(options.model, shape, classes, options.seed)
    choices = {"converter": converter, "extrapolate": options.extrapolate}
    found = cost.estimate(model, sample, hardware=technology, **choices)
    result = {
        "model": options.model,
        "hardware": technology.name,
        "adc": options.adc,
        "energy_j": found.energy_j,
        "latency_s": found.latency_s,
        "area_m2": found.area_m2,
        "energy": {name: float(value) for name, value in found.total.energy.items()},
        "area": {name: float(value) for name, value in found.total.area.items()},
        "layers": [_layer(path, layer) for path, layer in found.layers.items()],
        "roofline": [_roof(cost.roofline(layer, converter)) for layer in found.layers.values()],
        "elasticities": cost.of_energy(found, converter),
        "extrapolated": list(found.extrapolated),
        "conventions": [*CONVENTIONS, *_left_out(technology, pulses)],
    }
    writing = None if pulses is None else found.writing(pulses)
    if writing is not None:
        result["writing"] = _writing(writing, found)
    if swept is not None:
        name, values = swept
        rows = cost.sweep.sweep(found, name, values, **choices)
        result["sweep"] = {"name": name, "rows": [_row(v, row) for v, row in zip(values, rows, strict=True)]}
        extra = {sentence: None for row in rows for sentence in row.extrapolated}
        result["extrapolated"] += [sentence for sentence in extra if sentence not in result["extrapolated"]]
    if design is not None:
        result["schedule"] = _schedule(found, design, options, writing)
    return result


def find_pulses(options: "Cost") -> cost.programming.Pulses | None:
    """How cells are written; None where nothing is said.

    Raises:
      UserError: a part of what it takes, or a number out of range.
    """
    volts, seconds = options.write_volts, options.write_seconds
    if volts is None and seconds is None:
        if options.write_pulses != 1.0 or options.endurance is not None:
            raise UserError("--write-pulses and --endurance need --write-volts and --write-seconds, which have no default.")
        return None
    if volts is None or seconds is None:
        raise UserError("--write-volts and --write-seconds go together: the amplitude and the length of a programming pulse.")
    pulses = cost.programming.Pulses(volts, seconds, options.write_pulses, endurance=options.endurance)
    check_record(pulses, "pulses")
    return pulses


def find_architecture(options: "Cost") -> cost.Architecture | None:
    """The architecture, with the DRAM of the options; None where none is asked for.

    Raises:
      UserError: no such architecture, options that need one, or a bandwidth that makes no sense.
    """
    if options.architecture is None:
        ways = {
            "--dram": options.dram is not None,
            "--replicate": options.replicate,
            "--layer-by-layer": options.layer_by_layer,
            "--batch": options.batch != 1,
        }
        for name in (name for name, given in ways.items() if given):
            raise UserError(f"{name} says how a network runs on an architecture; give --architecture too.")
        return None
    design = cost.architecture(options.architecture)
    if options.dram is None:
        return design
    check_number("--dram", options.dram, 1.0, 1e18, unit="bit/s")
    return replace(design, dram_bits_s=options.dram)


def _left_out(hardware: Hardware, pulses: Any) -> list[str]:
    found = []
    if hardware.technology.leakage_w_m2 is None:
        found.append("Leakage is not counted: give --leakage, or technology.leakage_w_m2 in the hardware's file.")
    if pulses is None:
        found.append("Writing the weights is not counted: give --write-volts and --write-seconds.")
    return found


def _writing(writing: cost.programming.Writing, found: cost.Estimate) -> dict[str, Any]:
    return {
        "energy_j": writing.energy_j,
        "time_s": writing.time_s,
        "rewrites": writing.rewrites,
        "inferences": writing.inferences(found.energy_j),
        "layers": [{"path": path, "energy_j": writing.energy[path], "time_s": writing.time[path]} for path in writing.energy],
    }


def find_converter(name: str, rate_hz: float) -> Any:
    """The ADC model called `name`.

    Raises:
      UserError: for an unknown name, or one that cannot be had without numbers of its own.
    """
    model = cost.adc.ADC_COSTS.find(name, "--adc")
    fields = {field.name: field for field in dataclasses.fields(model)}
    lacking = [field.name for field in fields.values() if field.default is dataclasses.MISSING]
    if lacking:
        raise UserError(f"--adc {name} needs {lacking[0]}, which has no default; use it from Python: imcjax.cost.adc.")
    return model(rate_hz=rate_hz) if "rate_hz" in fields else model()


def _sample(options: "Cost") -> tuple[tuple[int, ...], int, np.ndarray]:
    if options.shape is None:
        dataset = data.load(options.data, options.data_dir)
        return dataset.shape, dataset.classes, dataset.train.x[:SAMPLES]
    if not re.fullmatch(r"\d+(x\d+)*", options.shape) or 0 in (sides := [int(side) for side in options.shape.split("x")]):
        raise UserError(f"--shape is {options.shape!r}; give sizes as 28x28x1.")
    shape = tuple(sides)
    return shape, 10, np.random.default_rng(options.seed).random((SAMPLES, *shape), np.float32)


def _layer(path: str, layer: cost.LayerEstimate) -> dict[str, Any]:
    work, bits = layer.work, layer.bits
    return {
        "path": path,
        "size": f"{work.n_in}×{work.n_out}" + (f"×{work.groups}" if work.groups > 1 else ""),
        "positions": work.positions,
        "bits": str(bits),
        "arrays": layer.stage.arrays,
        "energy_j": float(layer.cost.energy_j),
        "latency_s": float(layer.cost.latency_s),
        "area_m2": float(layer.cost.area_m2),
        "energy": {name: float(value) for name, value in layer.cost.energy.items()},
        "area": {name: float(value) for name, value in layer.cost.area.items()},
    }


def _roof(roof: cost.Roof) -> dict[str, Any]:
    return dataclasses.asdict(roof) | {"bound": roof.bound}


def _row(value: float, found: cost.Estimate) -> dict[str, float]:
    return {"value": value, "energy_j": found.energy_j, "latency_s": found.latency_s, "area_m2": found.area_m2}


def _schedule(
    found: cost.Estimate, design: cost.Architecture, options: "Cost", writing: cost.programming.Writing | None
) -> dict[str, Any]:
    stages = found.stages
    copies = cost.balanced(stages, design.arrays) if options.replicate else None
    technology = next(iter(found.layers.values())).measured.hardware.technology
    made = cost.schedule(
        stages,
        design,
        copies=copies,
        pipelined=not options.layer_by_layer,
        batch=options.batch,
        technology=technology,
        writing=writing,
    )
    return {
        "architecture": design.name,
        "figures": {name: float(value) for name, value in made.figures().items()},
        "stages": [report.si(float(second), "s") for second in made.stage_s],
        "tiles": sum(int(n) for n in made.tiles),
        "chips": int(made.chips),
        "copies": ", ".join(str(int(n)) for n in made.copies),
        "utilisation": float(made.utilisation),
        "energy_j": float(made.energy_j),
        "transport_j": float(made.transport_j),
        "leakage_j": float(made.leakage_j),
        "dram_j": float(made.dram_j),
        "dram_bits": float(made.dram_bits),
        "rewrite_j": float(made.rewrite_j),
        "area_m2": float(made.area_m2),
    }
