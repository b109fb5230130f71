import math

import pytest

from imcjax.report.units import bits_text, percent, prefix, si, spread


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234e-9, "J", "1.23 nJ"),
        (0.0, "J", "0 J"),
        (-2.5e-3, "V", "-2.50 mV"),
        (1.0, "s", "1.00 s"),
        (999.4e-12, "J", "999 pJ"),
        (999.6e-12, "J", "1.00 nJ"),
        (123456.0, "Hz", "123 kHz"),
        (1e-21, "J", "0.00100 aJ"),
        (5e15, "J", "5000 TJ"),
        (1.33e-6, "m²", "1.33 mm²"),
        (3.72e-8, "m²", "0.0372 mm²"),
        (4.2e-9, "m²", "4200 µm²"),
        (2.0, "m²", "2.00 m²"),
        (None, "J", "–"),
        (math.nan, "J", "–"),
        (math.inf, "J", "inf J"),
    ],
)
def test_si(value, unit, text):
    assert si(value, unit) == text


def test_prefix_follows_the_largest():
    assert prefix([1e-12, None, 3e-9, math.nan], "J") == (1e-9, "nJ")
    assert prefix([], "J") == (1.0, "J")


def test_percent_and_spread():
    assert percent(0.9612) == "96.1 %"
    assert percent(None) == "–"
    assert spread({"mean": 0.961, "std": 0.004, "n": 20}) == "96.1 ± 0.4 %"
    assert spread({"mean": 0.961, "std": 0.0, "n": 1}) == "96.1 %"
    assert spread(None) == "–"


def test_bits_text():
    assert bits_text({"weight": 5, "input": 4.0, "adc": None}) == "5/4/– bit"
    assert bits_text(None) == ""
