"""Arrays in cores, cores in tiles, tiles on a chip: what there is of each, and what it draws.

A flat macro is an architecture of one tile with one core.
"""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from imcjax.errors import UserError, check_number, nearest
from imcjax.pytree import number, record, static


FOLDER = Path(__file__).parent / "presets"


@record
class Part:
    """All instances of a component in one core, tile or chip.

    Attributes:
      power_w: watt at full use.
      area_m2: square metre.
    """

    power_w: Any = number(default=0.0, low=0.0, unit="W")
    area_m2: Any = number(default=0.0, low=0.0, unit="m^2")


@record
class Architecture:
    """The hierarchy; counts are static, powers and areas are leaves.

    Attributes:
      name, source: static.
      interconnect: between tiles, "mesh", "h_tree" or "bus" (static).
      arrays_per_core, cores_per_tile, tiles: static.
      rows, cols: of an array (static).
      cell_bits, weight_bits, input_bits: of the peak (static).
      cycles: of one product at these widths (static).
      cycle_s: second.
      node_m: process, metre.
      peak_tops: published peak; None: from the numbers above.
      buffer_bits: that the buffer of a tile holds of activations; None: as much as it takes.
      dram_bits_s: bandwidth of the DRAM behind one chip, bit a second, which takes what does not fit on it; None: there is
        none, and more chips are taken instead.
      core, tile, chip: their parts; those of a core are in every core, those of a tile in every tile.
    """

    name: str = static(default="macro")
    source: str = static(default="")
    interconnect: str = static(default="mesh", options=("mesh", "h_tree", "bus"))
    arrays_per_core: int = static(default=1, low=1, high=1_000_000)
    cores_per_tile: int = static(default=1, low=1, high=1_000_000)
    tiles: int = static(default=1, low=1, high=1_000_000)
    rows: int = static(default=128, low=1, high=65536)
    cols: int = static(default=128, low=1, high=65536)
    cell_bits: int = static(default=1, low=1, high=8)
    weight_bits: int = static(default=8, low=1, high=16)
    input_bits: int = static(default=8, low=1, high=16)
    cycles: int = static(default=8, low=1, high=1_000_000)
    cycle_s: Any = number(default=100e-9, low=1e-12, high=1.0, unit="s")
    node_m: Any = number(default=28e-9, low=1e-9, high=250e-9, unit="m")
    peak_tops: Any = number(default=None, low=0.0)
    buffer_bits: Any = number(default=None, low=0.0, unit="bit")
    dram_bits_s: Any = number(default=None, low=1.0, unit="bit/s")
    core: dict[str, Part] = dataclasses.field(default_factory=dict)
    tile: dict[str, Part] = dataclasses.field(default_factory=dict)
    chip: dict[str, Part] = dataclasses.field(default_factory=dict)

    @property
    def arrays(self) -> int:
        """On the whole chip."""
        return self.arrays_per_core * self.cores_per_tile * self.tiles

    def total(self, what: str, level: str = "chip") -> Any:
        """Watt ("power_w") or square metre ("area_m2") of one core, one tile or the chip, everything inside included."""
        own = sum((getattr(part, what) for part in getattr(self, level).values()), 0.0)
        inside = {"core": (0, "core"), "tile": (self.cores_per_tile, "core"), "chip": (self.tiles, "tile")}
        count, below = inside[level]
        return own + (count * self.total(what, below) if count else 0.0)

    def tops(self) -> Any:
        """Operations a second at full use / 1e12; a product is two."""
        if self.peak_tops is not None:
            return self.peak_tops
        outputs = self.cols // -(-self.weight_bits // self.cell_bits)
        return 2e-12 * self.arrays * self.rows * outputs / (self.cycles * self.cycle_s)

    def breakdown(self, what: str) -> dict[str, Any]:
        """Watt or square metre of the whole chip by part."""
        found = {f"core.{name}": getattr(part, what) * self.cores_per_tile * self.tiles for name, part in self.core.items()}
        found |= {f"tile.{name}": getattr(part, what) * self.tiles for name, part in self.tile.items()}
        return found | {f"chip.{name}": getattr(part, what) for name, part in self.chip.items()}


def architectures() -> list[str]:
    """Names of those that come with imcjax."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def architecture(name: str | Path) -> Architecture:
    """The architecture called `name`, or in the TOML file of that path.

    Raises:
      UserError: neither, not TOML, an unknown field, or a number out of range.
    """
    path = FOLDER / f"{name}.toml" if str(name) in architectures() else Path(name)
    if not path.is_file():
        raise UserError(f"{str(name)!r} is neither an architecture nor a file{nearest(str(name), architectures())}.")
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The architecture {path} is not TOML: {error}.") from None
    fields = {field.name: field for field in dataclasses.fields(Architecture)}
    for key in table:
        if key not in fields:
            raise UserError(f"The architecture {path} has no field {key!r}{nearest(key, fields)}.")
    for level in ("core", "tile", "chip"):
        if not isinstance(table.get(level, {}), dict):
            raise UserError(f"{path}: {level} is {table[level]!r}; give a table of parts.")
        table[level] = {name: _part(f"{path}: {level}.{name}", part) for name, part in table.get(level, {}).items()}
    built = Architecture(**table)
    for field in fields.values():
        value, metadata = getattr(built, field.name), field.metadata
        if metadata.get("low") is not None and value is not None:
            check_number(f"{path}: {field.name}", value, metadata["low"], metadata["high"], whole=metadata.get("static", False))
    if built.interconnect not in fields["interconnect"].metadata["options"]:
        raise UserError(f"{path}: interconnect is {built.interconnect!r}; give mesh, h_tree or bus.")
    return built


def _part(path: str, table: Any) -> Part:
    if not isinstance(table, dict) or not set(table) <= {"power_w", "area_m2"}:
        raise UserError(f"{path} is {table!r}; give power_w and area_m2.")
    for name, value in table.items():
        check_number(f"{path}.{name}", value, 0.0)
    return Part(**table)
