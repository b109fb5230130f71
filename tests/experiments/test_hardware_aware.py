"""The studies of hardware-aware training: what is kept is not found again, tables and pictures from rows."""

import numpy as np
import pytest

from experiments.hardware_aware import __main__ as command
from experiments.hardware_aware import cases, drift, ir_drop


def test_what_is_kept_is_not_found_again(tmp_path):
    path = tmp_path / "new" / "case.json"
    assert cases.kept(path, lambda: {"a": [0.5]}) == {"a": [0.5]}
    assert cases.kept(path, lambda: pytest.fail("found twice")) == {"a": [0.5]}


def test_a_summary_is_mean_spread_and_a_chip_in_a_hundred():
    values = np.random.default_rng(0).uniform(0.8, 0.9, 500)
    found = cases.summary(list(values))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["std"] == pytest.approx(values.std(ddof=1))
    assert (values < found["quantile_1"]).mean() == pytest.approx(0.01, abs=0.002)
    assert cases.summary([0.5]) == {"mean": 0.5, "std": 0.0, "quantile_1": 0.5}


def test_tables_and_pictures(tmp_path):
    drifts = [{"network": "float", "read": "digital", "mean": 0.99, "std": 0.0, "loss": 0.0}]
    names = [f"W{bits}A{bits}, {how}" for bits in drift.LENET5.widths for how in ("not trained for it", "hardware-aware")]
    drifts += [
        {"network": name, "read": read, "mean": 0.98, "std": 0.001, "loss": 0.01, "chips": 3}
        for name in names
        for read in drift.READS
    ]
    drops = [{"rows": 0, "way": "float", "mean": 0.98, "std": 0.0, "quantile_1": 0.98}]
    drops += [
        {"rows": size, "way": way, **cases.summary([0.9, 0.95]), "accuracies": [0.9, 0.95]}
        for size in ir_drop.ROWS
        for way in ir_drop.WAYS
    ]
    for name, study, rows in (("drift", drift, drifts), ("ir_drop", ir_drop, drops)):
        command._write(tmp_path / name, study, rows)
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert "| W8A8, hardware-aware | a day, compensated | 98.00 ± 0.10 % | 1.00 |" in (tmp_path / "drift.md").read_text()
    assert "| 128 | exact gradients | 92.50 ± 3.54 % | 90.05 % |" in (tmp_path / "ir_drop.md").read_text()
