"""`imcjax cost` from end to end on a small network, and what it refuses."""

import json

import numpy as np
import pytest
from flax import nnx

from imcjax import cli, models, xla


ARGUMENTS = ["cost", "--model", "mlp", "--shape", "6x6x1"]


class Tiny(nnx.Module):
    """A network of one layer."""

    def __init__(self, shape, classes):
        self.head = nnx.Linear(int(np.prod(shape)), classes, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.head(x.reshape(len(x), -1))


@pytest.mark.slow
def test_it_prints_sweeps_schedules_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, shape, classes, seed: Tiny(shape, classes))
    monkeypatch.setattr(xla, "keep_compiled", lambda: None)
    more = ["--sweep", "adc_bits=4:6", "--architecture", "isaac", "--replicate", "--adc", "survey", "--out", str(tmp_path)]
    more += ["--leakage", "15", "--write-volts", "2", "--write-seconds", "1e-7", "--endurance", "1e6", "--dram", "1e11"]
    assert cli.main([*ARGUMENTS, *more]) == 0
    shown = capsys.readouterr().out
    for part in (
        "By layer",
        "By component",
        "Elasticity",
        "Roofs",
        "On isaac",
        "Sweep of adc_bits",
        "TOPS/W (1b-1b)",
        "leakage",
        "Writing the",
    ):
        assert part in shown, part
    result = json.loads((tmp_path / "cost.json").read_text())
    assert [row["value"] for row in result["sweep"]["rows"]] == [4, 5, 6]
    assert sum(layer["energy_j"] for layer in result["layers"]) == pytest.approx(result["energy_j"], rel=1e-5)
    page = (tmp_path / "cost.html").read_text()
    assert page.count("<img") == 5
    assert "Elasticity of the energy" in page
    assert result["energy"]["leakage"] > 0
    assert result["schedule"]["leakage_j"] > 0
    assert result["writing"]["rewrites"] == pytest.approx(1e6)
    assert "Writing the weights, once" in page
    assert not any("not counted: give" in sentence for sentence in result["conventions"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sweep", "adc=4:6"], "'adc' cannot be swept"),
        (["--adc", "sar"], "--adc.kind is 'sar'"),
        (["--adc", "walden"], "needs fom_j"),
        (["--hardware", "rram"], "neither a preset nor a file"),
        (["--model", "lenet"], "There is no model 'lenet'"),
        (["--architecture", "pum"], "neither an architecture nor a file"),
        (["--shape", "6x0"], "give sizes as 28x28x1"),
        (["--architecture", "isaac", "--batch", "0"], "--batch is 0"),
        (["--leakage", "-1"], "--leakage is -1"),
        (["--write-volts", "2"], "--write-volts and --write-seconds go together"),
        (["--endurance", "1e6"], "need --write-volts and --write-seconds"),
        (["--write-volts", "2", "--write-seconds", "-1"], "pulses.width_s is -1"),
        (["--dram", "1e11"], "--dram says how a network runs on an architecture; give --architecture too"),
        (["--replicate"], "--replicate says how a network runs"),
        (["--batch", "4"], "--batch says how a network runs"),
        (["--architecture", "isaac", "--dram", "0"], "--dram is 0"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(more, message, capsys):
    assert cli.main([*ARGUMENTS, *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
