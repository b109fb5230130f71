"""The study of coarse partial sums, of a few images: its table and picture, and a run that goes on where it was."""

import json

import numpy as np
import pytest

from experiments.partial_sums import __main__ as experiment
from experiments.partial_sums import report, study
from imcjax import UserError
from imcjax.data import Dataset, Split


TINY = study.Schedule(
    samples=64, test=40, batch=16, calibration=16, float_steps=2, start_steps=1, tune_steps=3, search_steps=2, levels=(3,)
)


def images(seed, count):
    rng = np.random.default_rng(seed)
    return Split(rng.uniform(0, 1, (count, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, count).astype(np.int32))


@pytest.mark.slow
def test_a_run_and_the_same_again(tmp_path, monkeypatch):
    data = Dataset("noise", images(0, 64), images(1, 10), images(2, 40), classes=10, shape=(28, 28, 1))
    monkeypatch.setattr(experiment.data, "load", lambda *_: data)
    monkeypatch.setattr(study, "QUICK", TINY)
    options = experiment.Options(out=tmp_path / "run", quick=True)
    rows = experiment.main(options)
    learned = rows[-1]
    assert learned["method"] == "learned bits"
    assert learned["energy_j"] <= learned["budget_j"] * 1.000001
    assert all(1 <= b <= 6 and b == round(b) for bits in learned["bits"].values() for b in bits)
    assert [len(bits) for bits in learned["bits"].values()] == [2, 4, 16, 2]
    (tmp_path / "run" / "seed0" / "learned_bits-column.json").unlink()  # killed just before its end
    again = experiment.main(options)
    assert {k: v for k, v in again[-1].items() if k != "seconds"} == {k: v for k, v in learned.items() if k != "seconds"}
    assert (tmp_path / "run" / "accuracy.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "run" / "config.json").write_text(json.dumps({"schedule": {}}))
    with pytest.raises(UserError, match="another schedule"):
        experiment.main(options)


def test_the_table_has_means_and_spreads():
    facts = {"levels": 3, "ranges": "layer", "energy_j": 2e-9, "seconds": 1.0}
    rows = [{"method": "trained", "seed": s, "test": t, **facts} for s, t in ((0, 0.9), (1, 0.92))]
    rows.append({"method": "lossless, trained on", "seed": 0, "test": 0.97, "seconds": 1.0})
    text = report.summary(rows)
    assert "| 3 | 1.58 | 2 | - | - | 91.00 ± 1.41 | - |" in text
    assert "lossless, trained on: 97.00" in text
    assert report.draw(rows).axes[0].get_xlabel() == "levels of the ADC"
