"""Reader of NVSim-style cell files: lines of `-Name (unit): value`, as NVSim, DESTINY and CiMLoop describe memory cells.

Dong, Xu, Xie, Jouppi, "NVSim", IEEE TCAD 31 (2012). Units are those in brackets, converted to SI.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from imcjax.devices import Generic
from imcjax.errors import UserError


_LINE = re.compile(r"^\s*-\s*([A-Za-z]\w*)\s*(?:\(([^)]*)\))?\s*:\s*(.*?)\s*$")
_UNITS = {
    "ohm": 1.0, "kohm": 1e3, "v": 1.0, "mv": 1e-3, "a": 1.0, "ma": 1e-3, "ua": 1e-6, "na": 1e-9, "s": 1.0, "ms": 1e-3,
    "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "j": 1.0, "nj": 1e-9, "pj": 1e-12, "fj": 1e-15, "w": 1.0, "mw": 1e-3, "uw": 1e-6,
    "nw": 1e-9,
    "f": 1.0, "ff": 1e-15, "pf": 1e-12, "af": 1e-18, "f^2": 1.0, "nm": 1e-9, "": 1.0,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CellFile:
    """What a cell file says, in SI units.

    Attributes:
      kind: the memory, as the file calls it (memristor, SRAM, PCRAM, ...).
      numbers: by the file's own names.
      words: entries that are no numbers.
    """

    kind: str
    numbers: dict[str, float]
    words: dict[str, str]

    def need(self, name: str) -> float:
        """A number.

        Raises:
          UserError: the file does not have it.
        """
        if name not in self.numbers:
            raise UserError(f"The cell file has no {name}; it has {', '.join(sorted(self.numbers)) or 'no numbers'}.")
        return self.numbers[name]

    def device(self) -> Generic:
        """The memory cell between its off and its on resistance.

        Raises:
          UserError: a file without them, or with an off resistance that is not the larger one.
        """
        on, off = self.need("ResistanceOn"), self.need("ResistanceOff")
        if not 0 < on < off:
            raise UserError(f"The cell file has ResistanceOn {on:g} and ResistanceOff {off:g} ohm; on must be the smaller.")
        return Generic(g_min=1 / off, g_max=1 / on)

    @property
    def area_f2(self) -> float:
        """Squares of the node a cell takes."""
        return self.need("CellArea")


def load_cell(path: str | Path) -> CellFile:
    """Read a cell file.

    Raises:
      UserError: no such file, a line or unit that is not understood, or no memory named.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The cell file {path} cannot be read ({error}).") from None
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for place, line in enumerate(text.splitlines(), start=1):
        line = re.sub(r"//.*|#.*", "", line)
        if not line.strip():
            continue
        found = _LINE.match(line)
        if found is None:
            raise UserError(f"Line {place} of the cell file {path} is {line.strip()!r}; give -Name (unit): value.")
        name, unit, value = found.group(1), (found.group(2) or "").strip().lower(), found.group(3)
        try:
            number = float(value)
        except ValueError:
            words[name] = value
            continue
        if unit not in _UNITS or not np.isfinite(number):
            raise UserError(f"Line {place} of the cell file {path} has {value!r} in {unit!r}; give a number in SI units.")
        numbers[name] = number * _UNITS[unit]
    kind = words.get("MemCellType")
    if kind is None:
        raise UserError(f"The cell file {path} has no MemCellType; give -MemCellType: memristor, say.")
    return CellFile(kind, numbers, words)
