"""The command `imcjax`: codesign, evaluate, cost, presets. `python -m imcjax.cli` is the same."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from imcjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Codesign:
    """Fit a quantized network and a chip to each other under an energy budget; resumes where it was stopped."""

    data: str = "digits"
    """Data set: digits (comes with scikit-learn), mnist or fashion-mnist."""
    data_dir: Path | None = None
    """Folder that holds the data set's own files."""
    model: str = "mlp"
    """Network: mlp, or lenet5 for images from 16 x 16 pixels on."""
    hardware: str = "rram_128"
    """A preset (`imcjax presets` lists them) or a TOML file."""
    energy_budget: float = 0.15
    """Energy per inference, as a fraction of the uniform design with the widest legal bits."""
    chips: int = 20
    """Simulated chips on which the design is judged."""
    seed: int = 0
    """Seed of everything random."""
    out: Path | None = None
    """Folder of the run; default runs/<data>-<model>-<hardware>-s<seed>."""
    quick: bool = False
    """A few steps only: checks that everything runs, without good results."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Judge a finished run's design on chips again: more of them, others, or aged ones. Writes nothing."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    chips: int | None = None
    """How many chips; default as in the run, whose own chips come first."""
    time: float = 0.0
    """Seconds since the chips were programmed."""
    data_dir: Path | None = None
    """Folder that holds the data set's own files."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Estimate energy, latency and area of a network on hardware, by layer and component."""

    model: str = "mlp"
    """Network: mlp, lenet5 (images from 16x16 pixels on) and more of imcjax.models."""
    hardware: str = "rram_128"
    """A preset (`imcjax presets` lists them) or a TOML file."""
    data: str = "digits"
    """Data set on which row voltages are measured: digits, mnist or fashion-mnist."""
    data_dir: Path | None = None
    """Folder that holds the data set's own files."""
    shape: str | None = None
    """Random inputs of this shape, as 28x28x1, instead of a data set."""
    adc: str = "zigzag28"
    """Cost model of the ADC: zigzag28, survey, isaac, neurosim_sar or neurosim_flash."""
    adc_rate: float = 1e9
    """Conversions a second of one ADC, for the models that ask."""
    sweep: str | None = None
    """A number of the hardware over a range: adc_bits=4:10, supply_v=0.7,0.8,0.9."""
    architecture: str | None = None
    """Place the network on isaac, puma or a TOML file of the same form."""
    dram: float | None = None
    """Bandwidth of a DRAM behind the one chip, bit/s, for what does not fit on it; by default more chips are taken instead."""
    replicate: bool = False
    """Copy the weights of slow layers until the architecture is full."""
    layer_by_layer: bool = False
    """Run one layer after another instead of a pipeline of inferences."""
    batch: int = 1
    """Inferences in a row."""
    leakage: float | None = None
    """What the silicon leaks, W/m^2 (NeuroSim's published runs have 11 to 18); by default what the hardware says."""
    write_volts: float | None = None
    """Amplitude of a programming pulse, V; with --write-seconds it adds what writing the weights takes, once."""
    write_seconds: float | None = None
    """Length of a programming pulse, s."""
    write_pulses: float = 1.0
    """Pulses a cell, on the mean, those of write-verify included."""
    endurance: float | None = None
    """Pulses that a cell stands."""
    seed: int = 0
    """Seed of the weights."""
    extrapolate: bool = False
    """Go on beyond the ranges of the models; the report says where."""
    out: Path | None = None
    """Folder for cost.html and cost.json."""


@dataclasses.dataclass(frozen=True)
class Presets:
    """List the hardware that comes with imcjax."""

    devices: bool = False
    """List the memory devices instead."""


Command = (
    Annotated[Codesign, tyro.conf.subcommand("codesign")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Cost, tyro.conf.subcommand("cost")]
    | Annotated[Presets, tyro.conf.subcommand("presets")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 for wrong input, 130 when stopped by Ctrl-C."""
    command = tyro.cli(Command, prog="imcjax", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))  # type: ignore[arg-type]
    from imcjax import commands  # the slow imports come after the arguments are understood

    try:
        if isinstance(command, Codesign):
            commands.codesign(command)
        elif isinstance(command, Evaluate):
            commands.evaluate(command)
        elif isinstance(command, Cost):
            from imcjax import cost_command

            cost_command.run(command)
        elif command.devices:
            commands.device_presets()
        else:
            commands.presets()
    except UserError as error:
        print(f"imcjax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("imcjax: stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
