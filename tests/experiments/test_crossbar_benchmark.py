"""The benchmark of the crossbar, on arrays so small that it takes seconds."""

import json
import sys

import pytest

from experiments.benchmarks import timing
from experiments.benchmarks.crossbar import __main__ as benchmark
from experiments.benchmarks.crossbar import first_call, ours, peers, ratios, report
from experiments.benchmarks.crossbar.case import case, error
from experiments.benchmarks.crossbar.jobs import FURTHER, MANY, ONE, WORKS, Missing


@pytest.fixture(autouse=True)
def own_processors(monkeypatch):
    # The other tests of this process keep theirs.
    monkeypatch.setattr(timing, "use_threads", lambda count: count)


@pytest.mark.slow
def test_it_measures_and_writes(tmp_path, monkeypatch):
    # Peers and gradients have tests of their own, and compiling them takes longer than everything here.
    monkeypatch.setattr(peers, "klujax", lambda case: [])
    out = tmp_path / "new" / "result.json"
    options = benchmark.Options(
        out, sizes=(8,), rounds=1, first_call_size=0, arrays=0, gradients_up_to=0, ngspice="no such program"
    )
    result = benchmark.main(options)
    benchmark.save(result, out)
    report.show(result)
    rows = {(row["work"], row["solver"]): row for row in json.loads(out.read_text())["rows"]}
    assert {work for work, _ in rows} == set(WORKS)
    assert all(row["error"] < 1e-6 and row["min_s"] > 0 for row in rows.values())
    assert rows[ONE, "imcjax schur_pcg f64"]["error"] < 1e-12
    skipped = {one["solver"]: one["reason"] for one in result["skipped"]}
    assert "--crosssim" in skipped["CrossSim"]
    assert "no such program" in skipped["ngspice"]
    assert {one["peer"].split()[0] for one in result["ratios"]} >= {"splu"}
    assert "| one input, one array | schur_pcg | splu |" in out.with_suffix(".md").read_text()
    assert out.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.slow
def test_nonlinear_cells_are_timed_beside_linear_ones():
    rows = benchmark._nonlinear(case(8), rounds=1)
    assert [one["work"] for one in rows] == ["1 input", "16 inputs"]
    assert all(one["ratio"] == one["nonlinear_s"] / one["linear_s"] > 1 for one in rows)


def test_figures_from_rows():
    def row(size, work, solver, seconds):
        return {"size": size, "work": work, "solver": solver, "min_s": seconds, "median_s": 2 * seconds}

    rows = [
        row(size, ONE, solver, size**3 * cost)
        for size in (64, 128)
        for solver, cost in (("splu", 1), ("imcjax schur_pcg", 0.01))
    ]
    rows += [row(128, MANY, "imcjax schur_pcg", 6.4), row(128, MANY, "imcjax port_merge", 2.0)]
    rows += [row(128, FURTHER, "imcjax matrix held", 0.064)]
    assert ratios.slope(rows, ONE, "splu") == pytest.approx(3)
    assert ratios.slope(rows, MANY, "imcjax port_merge") is None
    assert [(one["ratio"], one["at_least"]) for one in ratios.speedups(rows)] == [
        (pytest.approx(100), None),
        (pytest.approx(100), 100),
    ]
    assert ratios.break_even(rows, 128) == pytest.approx((2 - 0.064) / 0.099)


def test_a_first_call_prints_its_times(capsys):
    first_call.main("gradient of ideal", 4)
    assert json.loads(capsys.readouterr().out).keys() == {"first_s", "second_s"}


def test_jobs_take_turns():
    order = []
    times = timing.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, at_least=1e-9)
    assert order == ["a", "a", "b", "b"] * 3  # once to warm up, once timed
    assert times["a"]["runs"] == 3
    assert ours.off(1.0, 2.0) == 0.5


CROSSSIM = """
import numpy as np

class NoninterleavedInputSourceArray:
    def __init__(self, params):
        self.ohms = params.xbar.array.parasitics.Rp_row_norm
        self.tolerance = params.simulation.Verr_th_mvm

    def iterative_solve(self, matrix, vector):
        # (outputs, inputs) times (inputs,) or (inputs, batch), as CrossSim has them.
        def one(x):
            u = start = np.tile(x, (len(matrix), 1))
            for _ in range(200):
                cell = matrix * u
                along_output = np.cumsum(np.cumsum(cell, 1)[:, ::-1], 1)[:, ::-1]
                along_input = np.cumsum(np.cumsum(cell[::-1], 0)[::-1], 0)
                u = start - self.ohms * (along_output + along_input)
            return (matrix * u).sum(1)
        return one(vector) if vector.ndim == 1 else np.stack([one(x) for x in vector.T], 1)
"""


def test_crosssim_gets_the_same_circuit(tmp_path):
    (tmp_path / "simulator" / "circuits").mkdir(parents=True)
    (tmp_path / "simulator" / "circuits" / "array.py").write_text(CROSSSIM)
    work = case(6)
    try:
        jobs = peers.crosssim(work, tmp_path)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "simulator"]:
            del sys.modules[name]
    assert [job.work for job in jobs] == [ONE, MANY] * 2
    assert error(jobs[0].run(), work.expected[:1]) < 1e-12
    assert error(jobs[1].run(), work.expected) < 1e-12
    with pytest.raises(Missing, match="not installed"):
        peers.crosssim(work, tmp_path / "nothing")
