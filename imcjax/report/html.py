"""A result as one page that needs nothing else: no script, no font, no picture from anywhere."""

import base64
import os
import shlex
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from imcjax.files import write_bytes
from imcjax.report import style
from imcjax.report.plots import CAPTIONS, figures
from imcjax.report.summary import comparison, key_figures, sentences
from imcjax.report.tables import LEGEND, layer_rows
from imcjax.report.units import MISSING, percent, si


_MOST_CANDIDATES = 20  # rows; a search may try hundreds
_MOST_ENTRIES = 24  # of a list in the hardware's description


def write_html(result: dict[str, Any], history: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write the page about one co-design run to `path`, in one step.

    Args:
      result: what the run's result.json holds.
      history: the rows of its search history; may be empty.
      path: of the HTML file.
    """
    write_bytes(path, page(result, history).encode("utf-8"))


def page(result: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    """The page itself. Whatever comes from `result` is escaped: a layer may be called anything."""
    what = f"{result.get('model', 'network')} on {result.get('data', 'data')}, seed {result.get('seed', MISSING)}"
    sections = [
        ("Figures", _figures(result, history)),
        ("Layers", _table(*layer_rows(result), look="numbers total") + _note(LEGEND)),
        ("Comparison", _comparison(result)),
        ("Hardware", _tree(result.get("hardware") or {})),
        ("Conventions", _tree(result.get("conventions") or {})),
        ("Versions", _tree(result.get("versions") or {})),
        ("Time", _seconds(result.get("seconds") or {})),
        ("Run it again", _command(result.get("command"))),
    ]
    body = "\n".join(f"<section>\n<h2>{title}</h2>\n{content}\n</section>" for title, content in sections if content)
    first, *others = sentences(result)
    header = f"<p>{escape(' '.join(others))}</p>\n"
    return document(f"imcjax: {what}", f"Co-design of {what}", first, header, f"{_key_figures(result)}\n{body}")


def document(title: str, what: str, headline: str, header: str, body: str) -> str:
    """A page with its style in it; `title`, `what` and `headline` are text, the rest is HTML."""
    css = resources.files("imcjax.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{css}</style>
</head>
<body>
<header>
<p class="what">{escape(what)}</p>
<h1>{escape(headline)}</h1>
{header}</header>
{body}
</body>
</html>
"""


def _key_figures(result: dict[str, Any]) -> str:
    cells = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in key_figures(result))
    return '<dl class="figures">\n' + "\n".join(cells) + "\n</dl>"


def _figures(result: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    parts = []
    for name, figure in figures(result, history).items():
        data = base64.b64encode(style.png(figure)).decode("ascii")
        caption = escape(CAPTIONS[name])
        picture = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        parts.append(f"<figure>\n{picture}\n<figcaption>{caption}</figcaption>\n</figure>")
    return "\n".join(parts)


def _table(heads: list[str], rows: list[list[str]], look: str = "numbers", chosen: int | None = None) -> str:
    """A table of texts; the row of index `chosen` stands out."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = []
    for place, row in enumerate(rows):
        mark = ' class="chosen"' if place == chosen else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table class="{look}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
    )


def _comparison(result: dict[str, Any]) -> str:
    uniform = result.get("uniform_baseline") or {}
    note = _note("Accuracy: mean ± standard deviation over chips, and the 1 % quantile of the chips.")
    parts = [_table(*comparison(result)), note]
    candidates = sorted(uniform.get("candidates") or [], key=lambda c: -(_mean(c.get("validation")) or 0.0))
    if candidates:
        kinds = ("weight", "input", "adc")
        bits = uniform.get("bits") or {}
        chosen = [place for place, c in enumerate(candidates) if bits and all(c.get(k) == bits.get(k) for k in kinds)][:1]
        shown = sorted({*range(min(len(candidates), _MOST_CANDIDATES)), *chosen})  # the chosen one, whatever its rank
        rows = [
            [str(place + 1), *(_leaf(c.get(k)) for k in kinds), si(c.get("energy_j"), "J"), percent(_mean(c.get("validation")))]
            for place, c in ((place, candidates[place]) for place in shown)
        ]
        count = f", {len(shown)} of {len(candidates)}" if len(shown) < len(candidates) else ""
        parts += [
            _note(f"The uniform baseline is the marked one of its candidates; by validation accuracy{count}:"),
            _table(
                ["rank", "weight bits", "input bits", "ADC bits", "energy", "validation"],
                rows,
                chosen=shown.index(chosen[0]) if chosen else None,
            ),
        ]
    return "\n".join(parts)


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _mean(validation: Any) -> float | None:
    """The accuracy of a candidate, given as a number or as a summary over chips."""
    return validation.get("mean") if isinstance(validation, dict) else validation


def _tree(value: Any) -> str:
    """Nested dicts as nested tables, lists in one line where their entries are simple."""
    if isinstance(value, dict):
        rows = "\n".join(
            f'<tr><th scope="row">{escape(str(key))}</th><td>{_tree(entry)}</td></tr>' for key, entry in value.items()
        )
        return f'<table class="tree">\n{rows}\n</table>' if value else ""
    if isinstance(value, list | tuple):
        if any(isinstance(entry, dict) for entry in value):
            return _tree({str(place): entry for place, entry in enumerate(value)})
        rest = f", … ({len(value)} entries)" if len(value) > _MOST_ENTRIES else ""
        return escape(", ".join(_leaf(entry) for entry in value[:_MOST_ENTRIES]) + rest)
    return escape(_leaf(value))


def _leaf(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seconds(seconds: dict[str, Any]) -> str:
    return _tree({phase: f"{time:.1f} s" for phase, time in seconds.items() if time is not None})


def _command(command: Any) -> str:
    if not command:
        return ""
    text = command if isinstance(command, str) else shlex.join(map(str, command))
    return f"<pre><code>{escape(text)}</code></pre>"
