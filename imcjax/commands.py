"""What the subcommands of `imcjax` do: check the input, run, write the results, print them."""

import contextlib
import math
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from imcjax import __version__, data, devices, hardware, models, report, xla
from imcjax.codesign import BudgetError, Task, check_budget, finished_design, menu, plan_for, score
from imcjax.codesign import codesign as run_codesign
from imcjax.codesign.chips import spread
from imcjax.errors import UserError, check_number, nearest
from imcjax.files import read_json, writable, write_json
from imcjax.training import Stages, Store


if TYPE_CHECKING:
    from imcjax.cli import Codesign, Evaluate


CONFIG, RESULT, CHECKPOINT = "config.json", "result.json", "checkpoint"
SETTINGS = {"imcjax", "data", "model", "hardware", "energy_budget", "chips", "seed", "quick"}
"""What config.json holds."""


def codesign(options: "Codesign") -> None:
    """Run a co-design, or go on with it, or print it again when it is finished.

    Raises:
      UserError: wrong input, before anything is written.
    """
    xla.choose_flags()
    xla.keep_compiled()
    console = Console()
    check_number("--energy-budget", options.energy_budget, 1e-6, 1.0)
    check_number("--chips", options.chips, 1, 100_000, whole=True)
    check_number("--seed", options.seed, 0, 2**31 - 1, whole=True)
    technology = find_hardware(options.hardware)
    menu.bounds([], technology)  # refuses hardware with a continuous stage
    if options.model not in models.names():
        raise UserError(f"There is no model {options.model!r}{nearest(options.model, models.names())}.")
    dataset = data.load(options.data, options.data_dir)
    models.build(options.model, dataset.shape, dataset.classes, options.seed)  # refuses samples it cannot take
    config = {
        "imcjax": __version__,
        "data": options.data,
        "model": options.model,
        "hardware": hardware.to_dict(technology),
        "energy_budget": options.energy_budget,
        "chips": options.chips,
        "seed": options.seed,
        "quick": options.quick,
    }
    out = options.out or Path("runs") / (
        f"{options.data}-{options.model}-{re.sub('[^-.0-9A-Za-z_]+', '-', technology.name)}-s{options.seed}"
        + ("-quick" if options.quick else "")
    )
    claim(out, config)
    if (out / RESULT).exists():
        console.print(f"{out} holds this run, finished; its result:")
        show(read_json(out / RESULT), out, console)
        return
    task = Task(
        data=dataset,
        model=options.model,
        hardware=technology,
        energy_budget=options.energy_budget,
        chips=options.chips,
        seed=options.seed,
        plan=plan_for(options.model, quick=options.quick),
    )
    stages = Stages(Store(out / CHECKPOINT))
    console.print(f"Co-design of {options.model} on {options.data} for {technology.name}, in {out}")
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        if not (out / CONFIG).exists():  # a run that goes on has passed
            check_budget(task)
        write_json(out / CONFIG, config)
        result = run_codesign(task, stages) | {"command": command_line(options)}
    except BudgetError:
        # Found out with the trained weights: take back what this run has written.
        (out / CONFIG).unlink(missing_ok=True)
        shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
        with contextlib.suppress(OSError):  # not there yet, or somebody else's files in it
            for folder in missing:
                folder.rmdir()
        raise
    history = [row for row in stages.history if "loss" in row]  # the steps; what chips reach is in the result
    report.layers_parquet(result, out / "layers.parquet")
    mine = "searched" if result["chosen"] == "uniform" else result["chosen"]
    searching = [
        row for row in history if row["phase"] == "search" or (row["phase"] in ("project", "tune") and mine in row["stage"])
    ]
    report.save_plots(result, searching, out)
    report.write_html(result, searching, out / "report.html")
    write_json(out / "history.json", history)
    write_json(out / RESULT, result)
    show(result, out, console)


def evaluate(options: "Evaluate") -> None:
    """Judge a finished run's design on chips, and print it.

    Raises:
      UserError: not a finished run, or wrong numbers.
    """
    xla.choose_flags()
    xla.keep_compiled()
    console = Console()
    for name in (CONFIG, RESULT, CHECKPOINT):
        if not os.path.exists(options.run / name):
            raise UserError(
                f"{options.run} is not a finished run: it has no {name}; give the --out folder of `imcjax codesign`."
            )
    config, result = read_json(options.run / CONFIG), read_json(options.run / RESULT)
    for name, content, keys in ((CONFIG, config, SETTINGS), (RESULT, result, {"chosen"})):
        if not isinstance(content, dict) or not keys <= content.keys():
            raise UserError(f"{options.run} is not a run of imcjax: its {name} is something else; give the folder of a run.")
    chips = config["chips"] if options.chips is None else options.chips
    check_number("--chips", chips, 1, 100_000, whole=True)
    check_number("--time", options.time, 0.0, unit="s")
    technology = hardware.from_dict(config["hardware"])
    task = Task(
        data=data.load(config["data"], options.data_dir),
        model=config["model"],
        hardware=technology,
        energy_budget=config["energy_budget"],
        chips=chips,
        seed=config["seed"],
        plan=plan_for(config["model"], quick=config["quick"]),
    )
    problem, design = finished_design(task, Stages(Store(options.run / CHECKPOINT), progress=False), result["chosen"])
    table = score(problem, design, chips, time=options.time)
    shown = Table(title=f"{options.run}: {chips} chips, {options.time:g} s after programming")
    for title in ("set", "mean", "std", "1 % quantile"):
        shown.add_column(title)
    for name, column in zip(("validation", "test"), table.T, strict=True):
        values = spread(column)
        shown.add_row(name, f"{values['mean']:.2%}", f"{values['std']:.2%}", f"{values['q01']:.2%}")
    console.print(shown)


def presets() -> None:
    """Print the hardware presets."""
    table = Table(title="Hardware presets (files of the same form are read by --hardware FILE)")
    for title in ("name", "array", "cell", "bits a cell", "widest w/x/ADC", "DAC bits", "columns an ADC", "wire, ohm"):
        table.add_column(title, no_wrap=title in ("name", "cell"))
    for name in hardware.presets():
        h = hardware.preset(name)
        table.add_row(
            name,
            f"{h.rows} x {h.cols}",
            h.device.kind,
            str(h.encoding.cell_bits),
            f"{h.encoding.weight_bits}/{h.dac.input_bits}/{h.adc.bits}",
            str(h.dac.bits),
            f"{h.adc.share:g}",
            "none" if h.wires is None else f"{h.wires.wordline:g}",
        )
    Console().print(table)


def device_presets() -> None:
    """Print the device presets."""
    table = Table(
        title='Device presets (imcjax.devices.preset(name); the kind is what a hardware file names: device = {kind = "..."})'
    )
    for title in ("name", "kind", "conductance", "models", "time", "source"):
        table.add_column(title, no_wrap=title in ("name", "kind"))
    for name in devices.presets():
        device = devices.preset(name)
        covers = getattr(device, "covers", None)
        table.add_row(
            name,
            device.kind,
            f"{report.si(float(device.g_min), 'S')} to {report.si(float(device.g_max), 'S')}",
            ", ".join(getattr(device, "effects", ())) or "-",
            "any" if covers is None or math.isinf(covers[1]) else f"to {_duration(covers[1])}",
            getattr(device, "source", "-"),
        )
    Console().print(table)


def _duration(seconds: float) -> str:
    """Seconds in the largest unit of which there is one at least."""
    for unit, size in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def find_hardware(name: str) -> hardware.Hardware:
    """A preset by name, or a file by path.

    Raises:
      UserError: neither, or a bad file.
    """
    if name in hardware.presets():
        return hardware.preset(name)
    if Path(name).is_file():
        return hardware.load(name)
    raise UserError(f"--hardware {name!r} is neither a preset nor a file{nearest(name, hardware.presets())}.")


def claim(out: Path, config: dict[str, Any]) -> None:
    """Make sure that `out` is free for a new run, or holds this very run.

    Raises:
      UserError: it holds something else, or cannot be written.
    """
    # os.path, since Path.exists raises on what may not be looked at and on names that are too long.
    if os.path.exists(out) and not os.path.isdir(out):
        raise UserError(f"--out {out} is a file; give a folder.")
    try:
        free = not os.path.isdir(out) or not any(out.iterdir())
    except OSError as error:
        raise UserError(f"--out {out} cannot be read ({error.strerror}); give another folder.") from None
    if free:
        writable(out)
        return
    if not (out / CONFIG).is_file():
        raise UserError(f"--out {out} is not empty and holds no run of imcjax; give another folder.")
    found = read_json(out / CONFIG)
    if found != config:
        keys = found.keys() | config.keys() if isinstance(found, dict) else {"everything"}
        other = sorted(key for key in keys if not isinstance(found, dict) or found.get(key) != config.get(key))
        raise UserError(f"--out {out} holds a run of other settings ({', '.join(other)} differ); give another folder.")
    if not (out / RESULT).exists():  # a finished run is only read
        writable(out)


def show(result: dict[str, Any], out: Path, console: Console) -> None:
    """Print a result's tables."""
    console.print(report.layer_table(result))
    console.print(report.summary_table(result))
    console.print(report.headline(result))
    console.print(f"Report: {out / 'report.html'}")


def command_line(options: "Codesign") -> str:
    """The command that repeats a run, without folders of this machine."""
    parts = [
        "imcjax codesign",
        f"--data {options.data}",
        f"--model {options.model}",
        f"--hardware {Path(options.hardware).name}",
    ]
    parts += [f"--energy-budget {options.energy_budget:g}", f"--chips {options.chips}", f"--seed {options.seed}"]
    return " ".join(parts + (["--quick"] if options.quick else []))
