"""The Monte-Carlo benchmark, on two chips."""

import json

import jax
import numpy as np
import pytest

from experiments.benchmarks.montecarlo import __main__ as benchmark


@pytest.mark.slow
def test_it_measures_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "LAYERS", ((6, 5), (5, 2)))
    monkeypatch.setattr(benchmark.timing, "use_threads", lambda count: count)
    monkeypatch.setattr(benchmark, "aihwkit", _missing)
    monkeypatch.setattr(benchmark, "BATCH", 2)
    options = benchmark.Options(json=tmp_path / "out.json", chips=2, inputs=3, rounds=1, networks=(2,))
    result = benchmark.main(options)
    benchmark.save(result, options.json)
    assert json.loads(options.json.read_text())["chips"] == 2
    assert {row["solver"] for row in result["rows"]} == {f"imcjax, {name}" for name in benchmark.KEYS}
    assert len(result["rows"]) == 3 * len(benchmark.KEYS)
    assert result["left_out"][0]["reason"] == "not here"
    written = (tmp_path / "out.md").read_text()
    assert "ns a cell" in written
    assert "| 2 | " in written


def _missing(*_, **__):
    raise ImportError("not here")


def test_every_chip_is_another_one_and_ages(monkeypatch):
    monkeypatch.setattr(benchmark, "LAYERS", ((6, 5),))
    first = benchmark.ours(jax.random.key, 3, 0)()[0]
    assert first.shape == (3, 1, 1, 6, 1, 5)
    assert np.std(np.asarray(first), 0).min() > 0
