"""The table of references: every row within its limit, the exit of a missed one, the files that it writes."""

import json

import numpy as np
import pytest

from experiments.validation.cost import __main__ as validation
from experiments.validation.cost import chips, draw, sweep
from experiments.validation.cost.rows import Row


def missed(rows: list[Row]) -> list[str]:
    return [f"{row.source}: {row.what} {row.ours:.4g} against {row.theirs:.4g}" for row in rows if not row.kept]


def test_published_chips_are_within_their_limits():
    rows = chips.rows()
    assert not missed(rows)
    assert len(rows) > 50


@pytest.mark.slow
def test_every_figure_is_within_its_limit(tmp_path):
    out = tmp_path / "validation.png"
    rows = validation.main(validation.Options(out=out))
    assert not missed(rows)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert len(json.loads(out.with_suffix(".json").read_text())) == len(rows) > 150
    assert sum(row.limit is None for row in rows) <= 2  # shown, not judged
    assert len(sweep.CALIBRATED) <= 6
    assert sum(run[3] is False for run in sweep.RUNS.values()) >= 14  # held out of the fit


def test_a_row_beyond_its_limit_is_missed():
    row = Row("s", "w", 1.2, 1.0, 0.1)
    assert not row.kept
    assert abs(row.error - 0.2) < 1e-12
    assert Row("s", "w", 1.05, 1.0, 0.1).kept
    assert not Row("s", "w", np.nan, 1.0, 0.1).kept
    assert not Row("s", "w", 2.0, 1.0, 0.0, kind="at most").kept
    assert Row("s", "w", 2.0, 1.0, 0.0, kind="at least").kept
    assert "MISSED" in str(validation.shown([row]).columns[7]._cells)
    assert draw.png([row, Row("t", "v", 1.0, 1.0, None)]).startswith(b"\x89PNG")
