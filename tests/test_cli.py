"""The command as a user meets it: wrong input, a tiny run from end to end, the same run again, killed and resumed."""

import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import PIL.Image
import pyarrow.parquet
import pytest

from imcjax import UserError, cli, devices, hardware
from imcjax.codesign import menu
from imcjax.data.mnist import FILES
from imcjax.report import si


# Small widths, no wires and few slices: quick to compile, and still every stage of the path has something to do.
TINY = """\
rows = 64
cols = 64
encoding = {weight_bits = 5, cell_bits = 2}
dac = {input_bits = 4, bits = 2}
device = {kind = "generic", g_min = 1e-6, g_max = 40e-6, program_sigma = 0.02, read_sigma = 0.01}
adc = {bits = 6}
"""
ARGUMENTS = ["codesign", "--quick", "--chips", "2", "--energy-budget", "0.4"]


def tree(folder):
    """Everything below a folder: content, kind and time of change."""
    return {
        str(path.relative_to(folder)): (path.is_dir(), path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in sorted(folder.rglob("*"))
    }


# --- wrong input -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory, in which a command that goes wrong may leave nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMCJAX_DATA_DIR", raising=False)
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # the command may set it; it is put back
    return tmp_path


@pytest.fixture
def refused(place, capsys):
    """Run a command that has to be refused: exit code 2, one line, nothing written. Returns the line."""

    def run(*arguments):
        before = tree(place)
        assert cli.main([str(a) for a in arguments]) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("imcjax: ")
        assert shown.err.count("\n") == 1
        assert shown.err.endswith("\n")
        assert "Traceback" not in shown.err
        assert tree(place) == before
        return shown.err

    return run


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--hardware", "rram128"], r"'rram128'.*nearest: .*rram_128"),
        (["--hardware", "missing.toml"], r"'missing.toml' is neither a preset nor a file"),
        (["--model", "lenet"], r"no model 'lenet'.*nearest: lenet5"),
        (["--data", "digts"], r"no data set 'digts'.*nearest: digits"),
        (["--data", "mnist"], r"--data-dir"),
        (["--data", "mnist", "--data-dir", "nowhere"], r"nowhere .*--data-dir"),
        (["--model", "lenet5"], r"lenet5 needs .*16 x 16.*8 x 8 x 1"),
        (["--energy-budget", "0"], r"--energy-budget is 0"),
        (["--energy-budget=-0.25"], r"--energy-budget is -0.25"),
        (["--energy-budget", "1.01"], r"--energy-budget is 1.01.*1\]"),
        (["--energy-budget", "nan"], r"--energy-budget is nan"),
        (["--energy-budget", "inf"], r"--energy-budget is inf"),
        (["--chips", "0"], r"--chips is 0"),
        (["--chips=-1"], r"--chips is -1"),
        (["--seed=-1"], r"--seed is -1"),
        (["--out", "/proc/imcjax/run"], r"/proc/imcjax/run"),
        (["--out", "/dev/null/run"], r"/dev/null"),
        (["--out", "a" * 300], r"a{300}"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_options_are_refused_in_one_line(refused, arguments, says):
    assert re.search(says, refused("codesign", *arguments))


@pytest.mark.parametrize(
    "content, says",
    [
        ("rows = 64\ncolumns = 3\n", r"no field 'columns'.*nearest: .*cols"),
        ("[adc]\nbit = 3\n", r"hardware.adc has no field 'bit'.*nearest: bits"),
        ("rows = 0\n", r"hardware.rows is 0; give whole numbers in \[1, 4096\]"),
        ("[adc]\nbits = 25\n", r"hardware.adc.bits is 25"),
        ("[technology]\nsupply_v = -1.0\n", r"hardware.technology.supply_v is -1 V.*\[0.4, 3.3\] V"),
        ("rows = 'many'\n", r"hardware.rows is 'many'"),
        ("[device]\nkind = 'generik'\n", r"'generik'.*nearest: generic"),
        ("[device]\nkind = 'generic'\ng_min = 1e-3\ng_max = 1e-4\n", r"g_min must be below g_max"),
        ("rows = \n", r"not TOML"),
        ("\0\x01", r"not TOML"),
        (TINY.replace("adc = {bits = 6}", ""), r"has no adc.bits"),
        (TINY.replace("weight_bits = 5, ", ""), r"has no encoding.weight_bits"),
        (TINY.replace("input_bits = 4, ", ""), r"has no dac.input_bits"),
    ],
)
def test_a_bad_hardware_file_is_refused_by_file_and_field(place, refused, content, says):
    (place / "chip.toml").write_text(content)
    line = refused("codesign", "--quick", "--hardware", "chip.toml")
    assert re.search(says, line)
    assert "chip" in line


def test_wires_of_negative_resistance_are_refused_when_the_file_is_read(place):
    (place / "chip.toml").write_text(TINY + "wires = {wordline = -1.0, bitline = 1, driver = 1, sense = 1}\n")
    with pytest.raises(UserError, match=r"wires.wordline is -1 ohm"):
        hardware.load(place / "chip.toml")


def test_missing_and_damaged_data_files_are_refused_by_name(place, refused):
    folder = place / "mnist"
    folder.mkdir()
    for file in FILES[:-1]:
        (folder / file).write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01x"))
    arguments = ("codesign", "--data", "mnist", "--data-dir", folder)
    assert FILES[-1] in refused(*arguments)
    (folder / FILES[-1]).write_bytes(b"")
    assert re.search(rf"{FILES[0]} is not the official file", refused(*arguments))


def test_a_folder_that_is_not_the_runs_own_is_left_alone(place, refused):
    (place / "file").write_text("mine")
    assert "is a file" in refused("codesign", "--out", "file")
    assert "file" in refused("codesign", "--out", "file/run")
    (place / "full").mkdir()
    (place / "full" / "thesis.tex").write_text("mine")
    assert "not empty" in refused("codesign", "--out", "full")
    (place / "other").mkdir()
    (place / "other" / "config.json").write_text('{"chips": 3}')
    assert re.search(r"other settings \(.*chips.*\)", refused("codesign", "--out", "other"))
    (place / "other" / "config.json").write_text("[1]")
    assert "other settings" in refused("codesign", "--out", "other")
    (place / "other" / "config.json").write_text("{")
    assert "config.json is not valid JSON" in refused("codesign", "--out", "other")
    (place / "link").symlink_to(place / "nowhere")
    assert "link" in refused("codesign", "--out", "link")


def test_evaluate_refuses_what_is_no_run(place, refused):
    assert "nowhere" in refused("evaluate", "nowhere")
    (place / "folder").mkdir()
    assert re.search(r"folder is not a finished run: it has no config\.json", refused("evaluate", "folder"))
    for config, result in (("{}", "{}"), ("[]", "{}"), ('{"chips": 2}', '{"accuracy": 1}'), ("{", "{}")):
        (place / "folder" / "config.json").write_text(config)
        (place / "folder" / "result.json").write_text(result)
        assert "folder" in refused("evaluate", "folder")


def test_words_that_are_no_command_end_with_code_2(capsys):
    for arguments in ([], ["codsign"], ["codesign", "--chip", "3", "--nonsense"], ["codesign", "--chips", "few"]):
        with pytest.raises(SystemExit) as left:
            cli.main(arguments)
        assert left.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["0.01", "0.25"])
def test_a_budget_below_the_smallest_design_says_what_that_costs(place, refused, budget):
    """0.01 is seen at once; 0.25 only with the trained weights, and then what was written is taken back."""
    narrow = TINY.replace("weight_bits = 5", "weight_bits = 3").replace("input_bits = 4", "input_bits = 2")
    (place / "narrow.toml").write_text(narrow)
    line = refused("codesign", "--quick", "--hardware", "narrow.toml", "--energy-budget", budget, "--out", "new/run")
    found = re.search(r"smallest legal design costs (about )?(\S+) J; give at least (\S+)\.$", line)
    assert found
    assert 1e-11 < float(found[2]) < 1e-8
    assert 0.25 < float(found[3]) < 0.8


# --- a run -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the hardware file, and the environment of the commands: what one compiles, the next need not."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.toml").write_text(TINY)
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # XLA has something to say of every program in the cache
    return folder, os.environ | cache | quiet | {"COLUMNS": "200"}


def command(workplace, *arguments, out=subprocess.PIPE):
    """Start `python -m imcjax.cli` as a user would."""
    folder, environment = workplace
    words = [sys.executable, "-m", "imcjax.cli", *arguments]
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=out, text=True)


def finished(process):
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err[-2000:]
    assert "Traceback" not in err
    return out


@pytest.fixture(scope="module")
def run(workplace):
    """A finished run: its folder and what the command printed. IMCJAX_RUN names one that is there, its output beside it."""
    if "IMCJAX_RUN" in os.environ:
        folder = pathlib.Path(os.environ["IMCJAX_RUN"])
        return folder, folder.with_suffix(".txt").read_text()
    out = finished(command(workplace, *ARGUMENTS, "--hardware", "tiny.toml", "--out", "run"))
    return workplace[0] / "run", out


@pytest.fixture(scope="module")
def result(run):
    return json.loads((run[0] / "result.json").read_text())


@pytest.mark.slow
def test_finished_run_holds_every_figure(run, result):
    config = json.loads((run[0] / "config.json").read_text())
    for spread in (result["accuracy"]["uniform_baseline"], result["accuracy"]["chips"]):
        assert 0.5 < spread["q01"] <= spread["mean"] <= 1  # a network, not a guess
        assert spread["std"] >= 0
    assert result["accuracy"]["chips"]["n"] == config["chips"]
    assert 0.8 < result["accuracy"]["float"] <= 1
    assert result["validation"]["chips"]["mean"] >= result["validation"]["uniform_baseline"]["mean"]
    assert result["latency_s"] > 0
    assert result["area_m2"] > 0
    assert result["seed"] == 0
    assert {"imcjax", "jax", "flax", "python"} <= result["versions"].keys()
    assert hardware.to_dict(hardware.from_dict(result["hardware"])) == result["hardware"]


@pytest.mark.slow
def test_finished_run_is_of_the_hardware_that_was_asked_for(workplace, run, result):
    if run[0].parent != workplace[0]:
        pytest.skip("a run of other hardware")
    encoding = result["hardware"]["encoding"]
    assert (encoding["kind"], encoding["weight_bits"], encoding["cell_bits"]) == ("differential", 5, 2)
    assert result["hardware"]["name"] == "tiny"


@pytest.mark.slow
def test_finished_run_meets_the_budget_and_its_layers_add_up(run, result):
    layers, budget = result["layers"], result["budget"]
    fraction = json.loads((run[0] / "config.json").read_text())["energy_budget"]
    assert budget["satisfied"] is True
    assert 0 < result["energy_j"] <= budget["energy_j"]
    assert 0 < result["uniform_baseline"]["energy_j"] <= budget["energy_j"]
    assert budget["energy_j"] == pytest.approx(fraction * budget["reference_energy_j"], rel=1e-6)
    assert [layer["path"] for layer in layers] == ["hidden1", "hidden2", "output"]
    for name in ("energy_j", "latency_s", "area_m2"):
        assert sum(layer[name] for layer in layers) == pytest.approx(result[name], rel=1e-5)
    for layer in layers:
        assert sum(layer["energy"].values()) == pytest.approx(layer["energy_j"], rel=1e-5)
        assert sum(layer["area"].values()) == pytest.approx(layer["area_m2"], rel=1e-5)


@pytest.mark.slow
def test_finished_run_has_legal_bits(result):
    chip = hardware.from_dict(result["hardware"])
    low, high = menu.bounds([False] * 3, chip)
    uniform = [result["uniform_baseline"]["bits"][name] for name in ("weight", "input", "adc")]
    designs = [[layer[f"{name}_bits"] for name in ("weight", "input", "adc")] for layer in result["layers"]]
    for bits in [*designs, uniform]:
        assert all(type(b) is int for b in bits)
        assert (low[0] <= bits).all()
        assert (bits <= high[0]).all()
    assert any((bits != high[0]).any() for bits in designs)


@pytest.mark.slow
def test_finished_run_has_files_that_can_be_read(run, result):
    folder, _ = run
    table = pyarrow.parquet.read_table(folder / "layers.parquet").to_pylist()
    for row, layer in zip(table, result["layers"], strict=True):
        for name in ("path", "weight_bits", "input_bits", "adc_bits"):
            assert row[name] == layer[name]
        assert row["energy_j"] == pytest.approx(layer["energy_j"])
    plots = sorted(folder.glob("*.png"))
    assert len(plots) >= 4
    for plot in plots:
        with PIL.Image.open(plot) as image:
            assert min(image.size) > 200
            image.load()
    page = (folder / "report.html").read_text()
    assert page.count("data:image/") + page.count("<svg") >= 4
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#|["'])[^\s>]+""", page)
    assert result["hardware"]["name"] in page
    for layer in result["layers"]:
        assert layer["path"] in page
    history = json.loads((folder / "history.json").read_text())
    assert {"float", "search", "tune", "baseline"} <= {row["phase"] for row in history}
    assert (folder / "checkpoint" / "search").is_dir()


@pytest.mark.slow
def test_finished_run_printed_the_table_by_layer_and_the_metrics_on_the_way(run, result):
    _, out = run
    for words in ("float", "search", "tune", "loss", "validation", "hidden1", "hidden2", "output", "report.html"):
        assert words in out
    for layer in result["layers"]:
        assert f"{layer['weight_bits']}/{layer['input_bits']}/{layer['adc_bits']}" in out


@pytest.mark.slow
def test_the_same_command_again_prints_the_result_and_changes_nothing(workplace, run):
    folder, first = run
    before = tree(folder)
    out = finished(command(workplace, *ARGUMENTS, "--hardware", "tiny.toml", "--out", "run"))
    assert tree(folder) == before
    for line in first.splitlines()[-8:]:
        assert line in out


@pytest.mark.slow
def test_other_settings_do_not_touch_a_finished_run(workplace, run):
    folder, _ = run
    before = tree(folder)
    process = command(workplace, *ARGUMENTS, "--hardware", "tiny.toml", "--out", "run", "--seed", "1")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert re.search(r"^imcjax: .*run holds a run of other settings \(seed differ\).*\n$", err)
    assert tree(folder) == before


@pytest.mark.slow
def test_evaluate_finds_the_runs_own_chips_again_and_writes_nothing(workplace, run, result):
    folder, _ = run
    before = tree(folder)
    out = finished(command(workplace, "evaluate", "run"))
    assert tree(folder) == before
    for row, found in (("validation", result["validation"]["chips"]), ("test", result["accuracy"]["chips"])):
        line = next(line for line in out.splitlines() if row in line)
        assert re.findall(r"[\d.]+%", line) == [f"{found[name]:.2%}" for name in ("mean", "std", "q01")]


@pytest.mark.slow
def test_killed_in_the_search_and_started_again_the_result_is_the_same(workplace, result):
    arguments = (*ARGUMENTS, "--hardware", "tiny.toml", "--out", "killed")
    out = workplace[0] / "killed"
    process = command(workplace, *arguments, out=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while not any(path.name.isdigit() for path in (out / "checkpoint" / "search").glob("*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "result.json").exists()
    finished(command(workplace, *arguments))
    again = json.loads((out / "result.json").read_text())
    assert again.keys() == result.keys()
    for name in result.keys() - {"seconds", "command"}:
        assert again[name] == result[name], name


def test_device_presets_are_listed_with_range_and_source(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    assert cli.main(["presets", "--devices"]) == 0
    out = capsys.readouterr().out
    for name in devices.presets():
        (line,) = [line for line in out.splitlines() if line.split()[1:2] == [name]]
        device = devices.preset(name)
        assert f" {device.kind} " in line
        assert si(float(device.g_max), "S") in line
        assert getattr(device, "source", "-").split()[0] in line
    assert "rram_128" not in out


def test_presets_are_listed(workplace):
    out = finished(command(workplace, "presets"))
    for name in hardware.presets():
        assert name in out
