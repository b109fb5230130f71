import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from imcjax.report import accuracy_plot, bits_plot, energy_plot, save_plots, search_plot
from imcjax.report.layer_plots import components
from imcjax.report.search_plot import _runs, _timeline
from imcjax.report.style import png

from . import fake


@pytest.mark.parametrize("shapes", [fake.SHAPES, fake.LENET], ids=["mlp", "lenet5"])
def test_save_plots_writes_four_pictures(tmp_path, shapes):
    result = fake.result(shapes)
    paths = save_plots(result, fake.history(result), tmp_path / "plots")
    assert sorted(paths) == ["accuracy", "bits", "energy", "search"]
    assert sorted(tmp_path.glob("plots/*")) == sorted(paths.values())
    for path in paths.values():
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        picture = imread(path)
        assert picture.shape[1] == 1152
        assert picture.std() > 0.05  # something is drawn


def test_same_result_same_bytes():
    result = fake.result()
    assert png(bits_plot(result)) == png(bits_plot(result))


def test_look_is_independent_of_the_user_and_leaves_his_settings():
    result = fake.result()
    plain = png(accuracy_plot(result))
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 20, "savefig.transparent": True}):
        before = dict(matplotlib.rcParams)
        assert png(accuracy_plot(result)) == plain
        assert dict(matplotlib.rcParams) == before


def test_no_pyplot():
    code = "import sys, imcjax.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_chip_and_equal_chips():
    for chips in (1, 5):
        result = fake.result(chips=chips, std=0.0)
        result["accuracy"]["chips"]["values"] = [0.95] * chips
        result["accuracy"]["chips"] |= {"mean": 0.95, "std": 0.0, "q01": 0.95}
        result["accuracy"]["uniform_baseline"] = dict(result["accuracy"]["chips"])
        result["accuracy"]["float"] = 0.95
        low, high = accuracy_plot(result).axes[0].get_xlim()
        assert low < 95 < high


def test_without_a_baseline():
    result = fake.result()
    result["accuracy"]["uniform_baseline"] = result["uniform_baseline"] = None
    result["accuracy"]["float"] = None
    accuracy_plot(result)
    bits_plot(result)


def test_one_layer_and_none():
    result = fake.result({"fc1": (64, 10)})
    bits_plot(result)
    energy_plot(result)
    search_plot(result, fake.history(result, 8))
    for draw in (bits_plot, energy_plot):
        assert "no layers" in draw(result | {"layers": []}).axes[0].texts[0].get_text()


def test_missing_bits_and_names_that_look_like_formulas():
    result = fake.result()
    result["layers"][0] |= {"path": r"block$\frac{$_0", "adc_bits": None}
    texts = [text.get_text() for text in bits_plot(result).axes[0].texts]
    assert texts == ["4", "5", "8", "5", "4", "7", "none", "5", "8"]
    png(energy_plot(result))
    png(search_plot(result, fake.history(result)))


def test_energy_bars_add_up():
    result = fake.result()
    result["layers"][0]["energy"]["noise_generator"] = 1e-9
    result["layers"][0]["energy_j"] += 1e-9
    axes = energy_plot(result).axes[0]
    assert "nJ" in axes.get_xlabel()
    for row, layer in enumerate(result["layers"]):
        bar = sum(part.get_width() for part in axes.patches if round(part.get_y() + part.get_height() / 2) == row)
        assert bar == pytest.approx(1e9 * layer["energy_j"])


def test_components_leave_out_what_is_zero():
    layers = [{"energy_j": 2.0, "energy": {"x": 2.0, "adc": 0.0, "dac": 1.0}}, {"energy_j": 3.0, "energy": {}}]
    assert components(layers, "energy") == {"dac": [1.0, 0.0], "x": [2.0, 0.0], "other": [0.0, 3.0]}


def test_many_kinds_of_components_and_no_energy_at_all():
    result = fake.result()
    result["layers"][0]["energy"] = {f"part_{i}": 1e-12 for i in range(14)}
    energy_plot(result)
    for layer in result["layers"]:
        layer |= {"energy_j": 0.0, "energy": {"adc": 0.0}}
    energy_plot(result)


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_short_histories(rows):
    result = fake.result()
    png(search_plot(result | {"budget": None}, fake.history(result)[12 : 12 + rows]))


def test_history_without_numbers():
    rows = [{"phase": "float", "step": i, "loss": None} for i in range(3)]
    png(search_plot(fake.result(), rows))


def test_timeline_goes_on_where_a_phase_counts_anew():
    steps = [("float", 0), ("float", 10), ("search", 0), ("search", 5), ("search", 0), ("tune", 7)]
    x, parts = _timeline([{"phase": phase, "step": step} for phase, step in steps])
    np.testing.assert_array_equal(x, [0, 10, 10, 15, 15, 22])
    assert [(part.start, part.stop) for part in parts] == [(0, 2), (2, 4), (4, 5), (5, 6)]


def test_runs():
    assert _runs(np.array([np.nan, 8, 8, 7, np.nan, np.nan, 7])) == [(1, 3), (3, 4), (6, 7)]
