"""The page and the tables of a cost estimate, of a made-up one."""

import sys

import pytest

from imcjax.report import cost_page, cost_tables
from imcjax.report.cost_plots import roofline_plot, sensitivity_plot, sweep_plot


LAYER = {
    "path": "fc<1>", "size": "4×2", "bits": "8/8/6", "energy_j": 2e-9, "latency_s": 1e-6, "area_m2": 3e-9,
    "energy": {"adc": 1.5e-9, "array": 0.5e-9}, "area": {"adc": 3e-9},
}  # fmt: skip
ROOF = {"path": "fc<1>", "intensity": 3.0, "reached": 1e9, "compute": 5e9, "memory": 4e9, "adc": 2e9, "bound": "adc"}
SWEPT = [{"value": b, "energy_j": b * 1e-9, "latency_s": 1e-6, "area_m2": 1e-9} for b in (4, 5)]
RESULT = {
    "model": "net", "hardware": "chip", "energy_j": 2e-9, "latency_s": 1e-6, "area_m2": 3e-9,
    "energy": LAYER["energy"], "area": LAYER["area"], "layers": [LAYER], "roofline": [ROOF],
    "elasticities": {"bits.adc": 2.5, "supply_v": -0.5}, "extrapolated": ["fc: beyond <its> range"], "conventions": ["two"],
    "sweep": {"name": "adc_bits", "rows": SWEPT},
}  # fmt: skip


def test_the_page_has_every_table_and_escapes_names(monkeypatch):
    monkeypatch.setattr(sys.modules["imcjax.report.cost_page"], "figures", lambda result: {})
    page = cost_page(RESULT)
    for part in (
        "By layer",
        "By component",
        "Elasticity",
        "Roofs",
        "Sweep of adc_bits",
        "fc&lt;1&gt;",
        "beyond &lt;its&gt; range",
    ):
        assert part in page, part
    assert "75.0 %" in page
    assert "2.00 nJ" in page
    titles = [table.title for table in cost_tables(RESULT)]
    assert titles == ["By layer", "By component", "Elasticity of the energy", "Roofs", "Sweep of adc_bits"]


@pytest.mark.slow
def test_the_figures_are_drawn():
    assert roofline_plot([ROOF]).axes
    assert sensitivity_plot(RESULT["elasticities"]).axes
    assert sweep_plot("adc_bits", SWEPT).axes
