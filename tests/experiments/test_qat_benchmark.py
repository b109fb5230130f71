"""The benchmark of training steps, on two images."""

import json

import numpy as np

from experiments.benchmarks.qat import __main__ as benchmark
from experiments.benchmarks.qat import ours


def _missing(*_):
    raise ImportError("not here")


def test_it_measures_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.timing, "use_threads", lambda count: count)
    monkeypatch.setattr(benchmark.peers, "pytorch", _missing)
    monkeypatch.setattr(benchmark.peers, "brevitas", _missing)
    losses = {}
    real = ours.jobs

    def jobs(x, labels):
        made = real(x, labels)
        losses.update({kind: [float(job()) for _ in range(3)] for kind, job in made.items()})
        return made

    monkeypatch.setattr(benchmark.ours, "jobs", jobs)
    options = benchmark.Options(json=tmp_path / "out.json", batch=2, rounds=1)
    benchmark.save(benchmark.main(options), options.json)
    found = json.loads(options.json.read_text())
    assert [(row["name"][:6], row["kind"]) for row in found["rows"]] == [("imcjax", "float"), ("imcjax", "quantized")]
    assert found["rows"][0]["of_own_float"] == 1.0
    assert {one["reason"] for one in found["left_out"]} == {"not here"}
    assert "steps a second" in (tmp_path / "out.md").read_text()
    for kind in ("float", "quantized"):
        assert losses[kind][2] < losses[kind][0]  # it trains
    assert np.isfinite(losses["quantized"]).all()
