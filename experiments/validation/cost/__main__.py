"""The cost model beside published figures: python -m experiments.validation.cost."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from experiments.validation.cost import chips, converters, draw, products, sweep
from experiments.validation.cost.rows import Row
from imcjax.files import write_bytes, write_json


RESULTS = Path(__file__).parent / "results"
PARTS = {"converters": converters.rows, "chips": chips.rows, "sweep": sweep.rows, "products": products.rows}


@dataclass(frozen=True)
class Options:
    """Compare, print the table, draw it; exit code 1 if a row misses its limit."""

    out: Path = RESULTS / "validation.png"
    """The picture, of the same rows as the table without --all; every row goes beside it as .json."""
    all: bool = False
    """Print every row; by default only the worst of many alike."""
    parts: tuple[str, ...] = ()
    """Which of converters, chips, sweep, products; default all."""


def main(options: Options) -> list[Row]:
    """All rows, written and drawn."""
    names = options.parts or tuple(PARTS)
    rows = [row for name in names for row in PARTS[name]()]
    write_bytes(options.out, draw.png(worst(rows)))
    table = [row.__dict__ | {"error": row.error, "kept": row.kept} for row in rows]
    write_json(options.out.with_suffix(".json"), table)
    return rows


def shown(rows: list[Row]) -> Table:
    """The rows as a table."""
    missed = sum(not row.kept for row in rows)
    title = f"{len(rows)} figures, {missed} beyond their limit"
    table = Table("source", "figure", "ours", "theirs", "unit", "error", "limit", "", title=title)
    for row in rows:
        limit = {"error": "-" if row.limit is None else f"{row.limit:.2%}"}.get(row.kind, row.kind)
        error = f"{row.error:+.2%}" if row.kind == "error" else ""
        verdict = ("" if row.limit is None else "ok") if row.kept else "MISSED"
        note = f"{verdict} {row.note}".strip()
        table.add_row(row.source, row.what, f"{row.ours:.4g}", f"{row.theirs:.4g}", row.unit, error, limit, note)
    return table


def worst(rows: list[Row]) -> list[Row]:
    """Of the survey's rows, which are many alike, the largest error of each kind; all others."""
    kinds: dict[str, Row] = {}
    rest = []
    for row in rows:
        if not row.what.startswith("survey") or "closed" in row.what:
            rest.append(row)
            continue
        kind = f"{row.what.split(',')[0]}{row.what.rsplit(',', 1)[1]}"
        if kind not in kinds or abs(row.error) / (row.limit or 1) > abs(kinds[kind].error) / (kinds[kind].limit or 1):
            kinds[kind] = row
    return [*kinds.values(), *rest]


if __name__ == "__main__":
    given = tyro.cli(Options, prog="python -m experiments.validation.cost")
    found = main(given)
    Console(width=150).print(shown(found if given.all else worst(found)))
    sys.exit(0 if all(row.kept for row in found) else 1)
