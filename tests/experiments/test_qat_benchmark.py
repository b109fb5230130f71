"""The benchmark of training steps."""

import json

import numpy as np
import pytest

from experiments.benchmarks.qat import __main__ as benchmark
from experiments.benchmarks.qat import ours


def _missing(*_):
    raise ImportError("not here")


def test_it_measures_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.timing, "use_threads", lambda count: count)
    monkeypatch.setattr(benchmark.peers, "brevitas", _missing)
    for module in (benchmark.ours, benchmark.peers):
        name = "jobs" if module is benchmark.ours else "pytorch"
        monkeypatch.setattr(module, name, lambda *_: {"float": lambda: np.ones(3), "quantized": lambda: np.ones(3)})
    options = benchmark.Options(json=tmp_path / "out.json", batch=2, rounds=1)
    benchmark.save(benchmark.main(options), options.json)
    found = json.loads(options.json.read_text())
    assert [row["kind"] for row in found["rows"]] == ["float", "quantized"] * 2
    assert found["rows"][0]["of_own_float"] == 1.0
    assert found["left_out"] == [{"name": "Brevitas", "reason": "not here"}]
    assert "Left out: Brevitas (not here)" in (tmp_path / "out.md").read_text()


@pytest.mark.slow
def test_the_steps_train():
    rng = np.random.default_rng(0)
    for job in ours.jobs(rng.uniform(0, 1, (2, 28, 28, 1)).astype(np.float32), np.array([3, 7])).values():
        losses = [float(job()) for _ in range(5)]
        assert losses == sorted(losses, reverse=True)
