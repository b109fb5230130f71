import io

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from imcjax.report import headline, layer_table, layers_parquet, summary_table

from . import fake


def text_of(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_layer_table_fits_a_terminal():
    text = text_of(layer_table(fake.result()))
    for words in ("fc1", "784×256", "4/5/6", "4.63 nJ", "0.0372 mm²", "whole chip", "6.62 nJ"):
        assert words in text


def test_layer_names_are_not_markup():
    result = fake.result()
    result["layers"][0]["path"] = "[red]fc[/]"
    assert "[red]fc[/]" in text_of(layer_table(result))
    assert "[bold]" in text_of(summary_table(result | {"model": "[bold]"}))


def test_summary_table():
    text = text_of(summary_table(fake.result()))
    for words in ("mlp on digits, seed 0", "96.1 ± 0.4 %", "6.88 nJ, met", "1.33 mm²"):
        assert words in text


def test_headline():
    result = fake.result()
    words = headline(result)
    assert words.startswith("On 20 simulated chips the co-designed network reaches 96.1 ± 0.4 % on the test set at 6.62 nJ")
    assert "24 % of the reference design's 27.5 nJ, within the budget of 6.88 nJ." in words
    assert "(5/5/6 bit, 6.69 nJ) it reaches 93.5 ± 0.5 %: the search gains 2.5 points." in words
    result["accuracy"]["chips"]["mean"] = 0.9
    result["budget"]["satisfied"] = False
    words = headline(result)
    assert "loses 3.5 points" in words
    assert "OVER the budget" in words


def test_numbers_that_are_missing():
    result = fake.result()
    result["layers"][0] |= {"adc_bits": None, "energy_j": None, "utilisation": None}
    result |= {"latency_s": None, "budget": None}
    assert "4/5/–" in text_of(layer_table(result))
    assert "Latency" not in text_of(summary_table(result))


def test_parquet_reads_back(tmp_path):
    result = fake.result()
    result["layers"][0] |= {"adc_bits": None, "weight_bits": 4.0}
    result["layers"][1]["energy"]["noise"] = 1e-12
    path = tmp_path / "out" / "layers.parquet"
    layers_parquet(result, path)
    table = pq.read_table(path)
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == ["fc1", "fc2", "fc3"]
    assert rows[0]["adc_bits"] is None
    assert rows[0]["weight_bits"] == 4
    assert [row["energy_noise"] for row in rows] == [None, 1e-12, None]
    assert rows[2]["energy_adc"] == pytest.approx(result["layers"][2]["energy"]["adc"])
    assert rows[2]["area_array"] == result["layers"][2]["area"]["array"]
    assert table.schema.field("energy_adc").metadata == {b"unit": b"J"}
    assert [entry.name for entry in path.parent.iterdir()] == ["layers.parquet"]


def test_parquet_without_layers(tmp_path):
    layers_parquet(fake.result() | {"layers": []}, tmp_path / "layers.parquet")
    table = pq.read_table(tmp_path / "layers.parquet")
    assert table.num_rows == 0
    assert str(table.schema.field("n_in").type) == "int64"
