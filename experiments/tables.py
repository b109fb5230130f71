"""One table as Markdown and for the terminal, and the cells that several of them have."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table in GitHub's Markdown, with a line's end."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, ["---"] * len(heads), *rows))


def shown(heads: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    """The table for the terminal."""
    table = Table(*heads, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def listed(versions: dict[str, str]) -> str:
    """'jax 0.10.1, flax 0.12.8'."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def times(row: dict[str, Any]) -> list[str]:
    """Least and median time, milliseconds."""
    return [f"{1e3 * row[name]:.3g} ms" for name in ("min_s", "median_s")]


def memory(row: dict[str, Any]) -> str:
    """How far memory rises; nothing where the kernel does not tell."""
    return "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f} MiB"


def left_out(entries: Iterable[dict[str, str]]) -> str:
    """What was left out of which work, and why, a paragraph each."""
    return "".join(f"\n{entry['solver']} was left out of {entry['work']}: {entry['reason']}.\n" for entry in entries)
