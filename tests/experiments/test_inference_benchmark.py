"""The benchmark of inference: what it compares computes the same product, and it writes what it measures."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.inference import __main__ as benchmark
from imcjax import pipeline
from imcjax.settings import Settings


@pytest.mark.slow
def test_it_measures_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.timing, "use_threads", lambda count: count)
    monkeypatch.setattr(benchmark, "IMAGES", 2)
    result = benchmark.main(benchmark.Options(tmp_path / "new" / "out.json", rounds=1))
    benchmark.save(result, tmp_path / "new" / "out.json")
    rows = json.loads((tmp_path / "new" / "out.json").read_text())["rows"]
    assert [row["solver"] for row in rows if row["times_plain"] == 1.0] == ["plain Flax", "32 plain products"]
    assert "| ResNet-20, 2 images | imcjax, one chip |" in (tmp_path / "new" / "out.md").read_text()


def test_slices_and_phases_give_the_product(monkeypatch):
    monkeypatch.setattr(benchmark, "SIZE", 32)
    monkeypatch.setattr(benchmark, "BATCH", 8)
    jobs = benchmark.sliced()
    assert list(jobs) == ["32 plain products", "imcjax, one chip"]
    assert jobs["32 plain products"]().shape == (8 * 8, 4 * 32)
    # With perfect cells and no ADC it is the product of the codes.
    ideal = benchmark.SLICED.replace(device=benchmark.devices.Generic(), adc=benchmark.converters.Adc(bits=None))
    rng = np.random.default_rng(2)
    x, w = jnp.asarray(rng.uniform(size=(8, 32)), jnp.float32), jnp.asarray(rng.normal(size=(32, 32)), jnp.float32)
    y = pipeline.mvm(x, w, ideal, Settings(input_signed=False))
    codes = np.round(np.asarray(x) / x.max() * 255) * float(x.max()) / 255
    steps = np.abs(w).max() / 127
    np.testing.assert_allclose(y, codes @ (np.round(np.asarray(w) / steps) * steps), rtol=1e-3, atol=1e-3)
    found = np.asarray(jax.block_until_ready(jobs["imcjax, one chip"]()))
    assert np.corrcoef(found.ravel(), np.asarray(x @ w).ravel())[0, 1] > 0.9
