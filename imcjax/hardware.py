"""Hardware, the pytree of the whole technology; presets; to and from a TOML file."""

import dataclasses
import math
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tomli_w

from imcjax import devices
from imcjax.converters import ADCS, DACS, Adc, Dac
from imcjax.crossbar import Wires
from imcjax.crossbar.solvers import SOLVERS
from imcjax.errors import UserError, check_record, concrete, nearest
from imcjax.families import one_of
from imcjax.files import write_text
from imcjax.mapping import ENCODINGS, Differential
from imcjax.pytree import record, static
from imcjax.readout import READOUTS, Current
from imcjax.readout import check as check_readout
from imcjax.technology import Technology


PRESET_DIR = Path(__file__).parent / "presets"


@record
class Hardware:
    """The technology shared by all layers: structure is static, every number is a leaf. The defaults are ideal.

    Attributes:
      name: what reports call it (static).
      rows, cols: cells of one array along the inputs and the outputs (static).
      partition: "even": tiles of a matrix are as equal as can be; "full": all but the last ones fill their arrays (static).
      packing: "apart": each group of a convolution has arrays of its own; "diagonal": as many as fit share one (static).
      encoding: how a weight becomes conductances (`imcjax.mapping`).
      dac: wordline drivers.
      device: the memory cell (`imcjax.devices`).
      wires: resistances of the array's wires; None: no wires, currents are exact sums.
      solver: how wires are accounted for (static): "auto" is exact, "pade" the fast approximation, "ideal" leaves out
        all but the access resistance of the cells.
      readout: what a column answers with: current, or what else `imcjax.readout` has.
      adc: column converters.
      accumulation: of input phases (static): "digital", each converted and added; "analog", one conversion of their shared
        charge.
      technology: node, supply, timing: what the costs depend on.
    """

    name: str = static(default="ideal")
    rows: int = static(default=128, low=1, high=4096)
    cols: int = static(default=128, low=1, high=4096)
    partition: str = static(default="even", options=("even", "full"))
    packing: str = static(default="apart", options=("apart", "diagonal"))
    encoding: Any = one_of(ENCODINGS, default=Differential)
    dac: Any = one_of(DACS, default=Dac)
    device: Any = one_of(devices.FAMILIES, default=lambda: devices.Generic(g_min=0.0))
    wires: Wires | None = dataclasses.field(default=None)
    solver: str = static(default="auto")
    readout: Any = one_of(READOUTS, default=Current)
    adc: Any = one_of(ADCS, default=Adc)
    accumulation: str = static(default="digital", options=("digital", "analog"))
    technology: Technology = dataclasses.field(default_factory=Technology)

    @classmethod
    def ideal(cls) -> "Hardware":
        """Continuous weights and inputs, no noise, no wires, no ADC: products equal `x @ w` to rounding."""
        return cls()

    def replace(self, **changes: Any) -> "Hardware":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def check(hardware: Hardware) -> None:
    """Refuse hardware whose concrete numbers are outside their ranges; called at every public boundary.

    Raises:
      UserError: naming the field, its value and what is allowed.
    """
    check_record(hardware, "hardware")
    _check_readout(hardware)
    _check_curve(hardware)
    if hardware.packing == "diagonal" and hardware.encoding.kind == "complementary":
        raise UserError("hardware.packing is 'diagonal', but binary weights have no zero to put beside it; give 'apart'.")
    inputs, outputs = hardware.rows // hardware.encoding.rows_per_input, hardware.cols - hardware.encoding.extra_columns
    if inputs < 1 or outputs < 1:
        raise UserError(f"hardware has {hardware.rows} x {hardware.cols} cells, too few for one weight; give at least 2 x 2.")
    solvers = ["auto", *SOLVERS]
    if hardware.solver not in solvers:
        raise UserError(f"hardware.solver is {hardware.solver!r}{nearest(hardware.solver, solvers)}.")
    g_min, g_max = concrete(hardware.device.g_min), concrete(hardware.device.g_max)
    if g_min is not None and g_max is not None and (g_min >= g_max).any():
        raise UserError(f"hardware.device.g_min is {g_min!s} S and g_max {g_max!s} S; g_min must be below g_max.")
    if hardware.dac.input_bits is not None and hardware.dac.bits > hardware.dac.input_bits:
        raise UserError(
            f"hardware.dac.bits is {hardware.dac.bits}, more than the {hardware.dac.input_bits} bits of the widest input; "
            "give at most as many."
        )


def _check_readout(hardware: Hardware) -> None:
    readout, encoding = hardware.readout, hardware.encoding
    check_readout(readout, "hardware.readout")
    if readout.unit == "V" and encoding.cells == 2 and encoding.columns == 1 and not encoding.interleaved:
        raise UserError(
            f"hardware.readout is {readout.kind!r}: columns answer in volts, each in its own scale, and cannot be "
            "subtracted before conversion; give encoding subtract 'digital' or pairs 'interleaved', or another encoding."
        )
    if hardware.accumulation == "analog" and hardware.dac.signs == "twos_complement":
        raise UserError(
            "hardware.accumulation is 'analog' and dac.signs 'twos_complement', whose last phase counts negatively; "
            "give accumulation 'digital' or signs 'sign_magnitude'."
        )
    if readout.kind == "digital":
        _check_digital(hardware)
    between = concrete(getattr(encoding, "common_mode", 0.0))
    if readout.kind == "c2c" and 2**readout.bits <= 4 * encoding.top_digit and between is not None and between.any():
        raise UserError(
            f"hardware.encoding.common_mode puts cells between digits, which ladders of {readout.bits} bits round; set it to "
            "0, or give readout.bits more."
        )
    if readout.kind == "digital" and hardware.adc.bits is not None:
        raise UserError(
            f"hardware.adc.bits is {hardware.adc.bits}, but a digital readout converts nothing; leave adc.bits out."
        )
    for name, of_device in (("g_min", "g_min"), ("g_max", "g_max"), ("g_ref", "g_max")):
        given, device = concrete(getattr(readout, name, None)), concrete(getattr(hardware.device, of_device))
        if given is not None and device is not None and not np.allclose(given, device, rtol=1e-6, atol=0.0):
            raise UserError(f"hardware.readout.{name} is {given!s} S and device.{of_device} {device!s} S; make them equal.")


def _check_digital(hardware: Hardware) -> None:
    """Refuse what logic behind the cells cannot count: levels that are no digits of the cells, inputs that are no digits."""
    levels, digits = concrete(hardware.readout.levels), round(hardware.encoding.top_digit) + 1
    if levels is not None and (np.round(levels) != digits).any():
        raise UserError(f"hardware.readout.levels is {levels!s}, but the cells hold {digits} digits; make them equal.")
    between = concrete(getattr(hardware.encoding, "common_mode", 0.0))
    if between is not None and between.any():
        raise UserError("hardware.encoding.common_mode puts cells between digits, which a digital readout rounds; set it to 0.")
    if hardware.encoding.weight_bits is None:
        raise UserError(
            "hardware.encoding.weight_bits is absent: continuous weights are no digits, which a digital readout counts; set it."
        )
    if hardware.dac.kind == "uniform" or hardware.accumulation == "analog":
        raise UserError(
            "A digital readout counts whole digits, phase by phase; give dac 'sign_magnitude' and accumulation 'digital'."
        )


def _check_curve(hardware: Hardware) -> None:
    """Refuse what knows only cells whose current is proportional to their voltage, and voltages beyond the measured curve."""
    device, dac = hardware.device, hardware.dac
    if not devices.bends(device):
        return
    if hardware.readout.kind != "current":
        raise UserError(f"hardware.readout is {hardware.readout.kind!r}, which knows no device.curve; give curve 'linear'.")
    solving = ["auto", *(name for name, solver in SOLVERS.items() if "nonlinear" in solver.knows)]
    if hardware.wires is not None and hardware.solver not in solving:
        raise UserError(
            f"hardware.solver is {hardware.solver!r}, which knows no device.curve; give one of {', '.join(solving)}, or curve "
            "'linear'."
        )
    volts = concrete(dac.v_read)
    if volts is not None and (volts > device.curve_volts * (1 + 1e-6)).any():
        raise UserError(
            f"hardware.dac.v_read is {volts!s} V, but the curve of device {device.kind} is known up to {device.curve_volts:g} "
            "V; give at most that, or curve 'linear'."
        )


def presets() -> list[str]:
    """Names of the hardware that comes with imcjax, sorted."""
    return sorted(path.stem for path in PRESET_DIR.glob("*.toml"))


def preset(name: str) -> Hardware:
    """The hardware called `name`.

    Raises:
      UserError: for an unknown name, with the nearest known ones.
    """
    if name not in presets():
        raise UserError(f"There is no hardware preset {name!r}{nearest(name, presets())}.")
    return load(PRESET_DIR / f"{name}.toml")


def load(path: str | Path) -> Hardware:
    """Read hardware from a TOML file as `save` writes it. An absent key takes its default, an absent stage stays absent.

    Raises:
      UserError: no such file, not TOML, an unknown field, a value of the wrong kind or out of range.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"Hardware file {path} cannot be read ({error.strerror or error}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"Hardware file {path} is not TOML: {error}.") from None
    try:
        hardware = from_dict(table | {"name": table.get("name", path.stem)})
        check(hardware)
    except UserError as error:
        raise UserError(f"Hardware file {path}: {error}") from None
    return hardware


def save(hardware: Hardware, path: str | Path) -> None:
    """Write hardware to a TOML file that `load` reads back equal; atomically."""
    write_text(Path(path), tomli_w.dumps(to_dict(hardware)))


def to_dict(instance: Any) -> dict[str, Any]:
    """A record as nested dicts of numbers, lists of numbers and strings, without the fields that are None."""
    table: dict[str, Any] = {"kind": instance.kind} if hasattr(instance, "kind") else {}
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            table[field.name] = to_dict(value)
        elif isinstance(value, str | int):
            table[field.name] = value
        elif np.ndim(value) > 0:
            table[field.name] = np.asarray(value, float).tolist()
        elif value is not None:
            table[field.name] = float(value)
    return table


def from_dict(table: dict[str, Any]) -> Hardware:
    """The hardware that `to_dict` described.

    Raises:
      UserError: an unknown field or a value of the wrong kind.
    """
    return _build(Hardware, table, "hardware")


def _build(cls: Any, table: Any, path: str) -> Any:
    if not isinstance(table, dict):
        raise UserError(f"{path} is {table!r}; give a table of fields.")
    table = dict(table)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = [name for name in table if name not in fields]
    if unknown:
        raise UserError(f"{path} has no field {unknown[0]!r}{nearest(unknown[0], fields)}.")
    missing = [
        name
        for name, field in fields.items()
        if name not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{path} has no {missing[0]}, which has no default; add it.")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _value(hints[name], fields[name], value, f"{path}.{name}") for name, value in table.items()})


def _value(hint: Any, field: dataclasses.Field, value: Any, path: str) -> Any:
    options = [h for h in (typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)) if h is not type(None)]
    if (families := field.metadata.get("families")) is not None:
        if not isinstance(value, dict):
            raise UserError(f"{path} is {value!r}; give a table of fields.")
        table = dict(value)
        kind = table.pop("kind", getattr(field.metadata["usual"], "kind", None))
        return _build(families.find(kind, path), table, path)
    if dataclasses.is_dataclass(options[0]):
        return _build(options[0], value, path)
    if str in options:
        if not isinstance(value, str):
            raise UserError(f"{path} is {value!r}; give a string.")
        return value
    if jax.Array in options and isinstance(value, list):
        return _array(value, path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path} is {value!r}; give a finite number.")
    if field.metadata.get("static"):
        if value != int(value):
            raise UserError(f"{path} is {value!r}; give a whole number.")
        return int(value)
    return float(value)


def _array(value: list, path: str) -> np.ndarray:
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.dtype.kind not in "fi" or not np.isfinite(array).all():
        raise UserError(f"{path} is {value!r:.60}; give a list of finite numbers, or one of rows of the same length.")
    return array.astype(float)
