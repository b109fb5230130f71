"""The benchmark of training steps, on a perceptron so small that it takes seconds."""

import json

import numpy as np
import pytest
from flax import nnx

from experiments.benchmarks import timing
from experiments.benchmarks.training import __main__ as benchmark


@pytest.mark.slow
def test_it_measures_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "use_threads", lambda count: count)
    out = tmp_path / "new" / "result.json"
    options = benchmark.Options(out, rounds=1)
    result = benchmark.main(options)
    benchmark.save(result, out)
    rows = json.loads(out.read_text())["rows"]
    assert {row["solver"] for row in rows} >= {"plain Flax", "imcjax, fast", "imcjax, jax.random"}
    assert all(row["min_s"] > 0 and row["times_flax"] > 0 for row in rows)
    assert "| MLP 784-512-256-10, batch 128 | imcjax, fast |" in out.with_suffix(".md").read_text()


def test_both_steps_learn_the_same_task():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 784)).astype(np.float32)
    y = rng.integers(0, 10, 64).astype(np.int32)
    model = benchmark.Perceptron(nnx.Rngs(0))
    plain = benchmark.flax_step(model, x, y)
    first, *_, last = [float(plain()) for _ in range(30)]
    assert last < 0.5 * first
