"""The command `imcjax`: codesign, evaluate, presets. `python -m imcjax.cli` is the same."""

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
    """Network: mlp or lenet5."""
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
class Presets:
    """List the hardware that comes with imcjax."""

    devices: bool = False
    """List the memory devices instead."""


Command = (
    Annotated[Codesign, tyro.conf.subcommand("codesign")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
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
