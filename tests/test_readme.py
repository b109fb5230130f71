"""What the README shows runs as it is."""

import re
from pathlib import Path

import jax
import pytest
from flax import nnx

import imcjax
from imcjax.nn.hooks import operators


README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(examples) == 5
    scope: dict = {}
    exec(compile(examples[0], "README.md", "exec"), scope)
    assert float(scope["g"].wires.wordline) != 0
    assert float(scope["g"].device.g_max) != 0
    shown = capsys.readouterr().out
    assert "layers/0" in shown
    assert "digital" in shown


def test_the_crossbar_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[1]
    exec(compile("import jax\nimport jax.numpy as jnp\n" + example, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "Wires(" in shown
    assert "nan" not in shown


def test_the_example_of_encodings_and_readouts_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[2]
    hardware = imcjax.hardware.preset("rram_128")
    x, w = (jax.random.uniform(jax.random.key(seed), shape) for seed, shape in enumerate(((4, 200), (200, 10))))
    scope = {"imcjax": imcjax, "jax": jax, "hardware": hardware, "x": x, "w": w}
    exec(compile(example, "README.md", "exec"), scope)
    shown = capsys.readouterr().out
    assert shown.count("[[") == 2
    assert "nan" not in shown


@pytest.mark.slow  # a minute and a half of processor time, mostly compiling
def test_the_example_of_a_model_from_elsewhere_runs() -> None:
    pytest.importorskip("mamba2_jax", reason="mamba2-jax is not installed; it is in the extra peers")
    example = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[3]
    scope: dict = {}
    exec(compile(example, "README.md", "exec"), scope)
    assert set(operators(scope["fitted"].model)) == {
        "layers/0/input_proj",
        "layers/0/mamba2/layers/0/mixer/in_proj",
        "layers/0/mamba2/layers/0/mixer/out_proj",
        "layers/0/output_proj",
    }
    assert scope["accuracy"].shape == (100, 1)
    assert scope["accuracy"].mean() > 0.3  # by chance: 0.1
    assert 0 < scope["accuracy"].std() < 0.1  # chips differ, and none is broken


def test_the_example_of_quantization_in_software_runs() -> None:
    example = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[4]
    scope: dict = {}
    exec(compile(example, "README.md", "exec"), scope)
    small, loss = scope["small"], scope["loss"]
    widths = [float(bits) for bits in jax.tree.leaves(nnx.pure(nnx.state(small, imcjax.nn.Bits)))]
    assert sorted(widths) == [3, 3, 7, 7]
    assert float(loss(small)) < float(loss(scope["float_model"]))  # ten steps of training outweigh the quantization


def test_its_commands_are_the_ones_that_ci_runs() -> None:
    ci = (Path(__file__).parent.parent / ".ci" / "run").read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest" in README
    for part in ("python3 -m venv .venv", ".venv/bin/pip install -e '.[test]'", ".venv/bin/pytest"):
        assert part in ci
