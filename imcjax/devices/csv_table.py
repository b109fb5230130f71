"""A table of measurements as people keep it: a CSV file whose column names say the units."""

import csv
from pathlib import Path

import numpy as np

from imcjax.errors import UserError


SIEMENS = {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "nS": 1e-9}
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
UNITS = {"target": SIEMENS, "mean": SIEMENS, "sigma": SIEMENS, "time": SECONDS}


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """target (n,), mean (t, n), sigma (t, n), siemens, and times (t,), seconds.

    Raises:
      UserError: see `imcjax.devices.Table.from_csv`.
    """
    points = rows(path)
    times, targets = sorted({time for _, time, _, _ in points}), sorted({target for target, _, _, _ in points})
    found: dict[tuple[float, float], tuple[float, float]] = {}
    last: dict[float, float] = {}
    for target, time, mean, sigma in points:
        if (time, target) in found:
            raise UserError(f"{path} has target {target:g} S at {time:g} s twice; keep one row of the two.")
        if target < last.get(time, 0.0):
            raise UserError(
                f"{path} has target {target:g} S after {last[time]:g} S at {time:g} s; sort each time's rows by target."
            )
        last[time] = target
        found[time, target] = mean, sigma
    if len(targets) < 2:
        raise UserError(f"{path} has {len(targets)} target; give at least two, to interpolate between.")
    for time in times:
        for target in targets:
            if (time, target) not in found:
                raise UserError(
                    f"{path} has no row for target {target:g} S at {time:g} s; "
                    "measure it, or leave that target or that time out everywhere."
                )
    grid = np.array([[found[time, target] for target in targets] for time in times])
    return np.array(targets), grid[..., 0], grid[..., 1], np.array(times)


def rows(path: Path) -> list[tuple[float, float, float, float]]:
    """(target, time, mean, sigma) of each row, siemens and seconds; time 0 where there is no such column.

    Raises:
      UserError: no such file, columns without or with other units, what is no number.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in line)]
    except OSError as error:
        raise UserError(f"Table {path} cannot be read ({error.strerror or error}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"Table {path} is not CSV text ({error}); save it as comma-separated values in UTF-8.") from None
    if len(lines) < 2:
        raise UserError(f"Table {path} is empty; give a header such as target_uS,mean_uS,sigma_uS,time_s and rows below it.")
    columns = _columns(path, [name.strip() for name in lines[0][1]])
    points = []
    for number, line in lines[1:]:
        if len(line) != len(columns):
            raise UserError(f"{path}, line {number} has {len(line)} values; give one for each of the {len(columns)} columns.")
        values = {"time": 0.0}
        for (quantity, scale), text in zip(columns, line, strict=True):
            values[quantity] = scale * _number(text, f"{path}, line {number}, {quantity}")
        points.append((values["target"], values["time"], values["mean"], values["sigma"]))
    return points


def _columns(path: Path, names: list[str]) -> list[tuple[str, float]]:
    """What each column is, and the size of its unit in SI."""
    columns = []
    for name in names:
        quantity, _, unit = name.partition("_")
        if quantity not in UNITS:
            raise UserError(f"{path} has a column {name!r}; give {', '.join(UNITS)}, each with its unit, as in target_uS.")
        if unit not in UNITS[quantity]:
            known = ", ".join(f"{quantity}_{one}" for one in UNITS[quantity])
            raise UserError(f"{path} has a column {name!r}, which names no unit that is known; call it one of {known}.")
        columns.append((quantity, UNITS[quantity][unit]))
    given = [quantity for quantity, _ in columns]
    for quantity in UNITS:
        if given.count(quantity) > 1:
            raise UserError(f"{path} has {given.count(quantity)} columns of {quantity}; keep one.")
        if quantity not in given and quantity != "time":
            raise UserError(f"{path} has no column of {quantity}; add it, as {quantity}_uS.")
    return columns


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{where} is {text.strip()!r}; give a number.") from None
    if not np.isfinite(value) or value < 0:
        raise UserError(f"{where} is {text.strip()}; give a finite number that is not negative.")
    return value
