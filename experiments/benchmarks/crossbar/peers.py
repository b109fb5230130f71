"""The other simulators' part. Each function makes jobs, or raises `Missing` with the reason. All compute in float64."""

import importlib
import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
import types
import unittest.mock
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments.benchmarks.crossbar.case import OHM, WIRES, Case, factorise, nodal_inputs, nodal_matrix, sensed
from experiments.benchmarks.crossbar.jobs import FURTHER, MANY, ONE, Job, Missing
from imcjax import crossbar


def splu(case: Case) -> list[Job]:
    """SciPy: nodal equations built, factorised and solved; with the factors held, in the faster of two ways."""
    size = len(case.g)

    def scratch(v):
        return sensed(factorise(nodal_matrix(case.g))(nodal_inputs(v)), size)

    factors: list[Callable] = []

    def again(one_by_one):
        if not factors:
            factors.append(factorise(nodal_matrix(case.g)))
        known, solve = nodal_inputs(case.v), factors[0]
        return sensed(np.stack([solve(one) for one in known.T], 1) if one_by_one else solve(known), size)

    return [
        Job("splu", ONE, partial(scratch, case.v[:1])),
        Job("splu", MANY, partial(scratch, case.v)),
        Job("splu factors held, together", FURTHER, partial(again, False)),
        Job("splu factors held, one by one", FURTHER, partial(again, True)),
    ]


def badcrossbar(case: Case) -> list[Job]:
    """badcrossbar, asked for output currents only."""
    for name in ("cairo", "sigfig", "pathvalidate"):
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            # Only its plotting and saving use them.
            sys.modules[name] = unittest.mock.MagicMock()
    level = logging.getLogger().level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = _module("badcrossbar")
        logging.getLogger("badcrossbar").setLevel(logging.WARNING)
        logging.getLogger().setLevel(level)
    ohms = 1 / case.g

    def solve(v):
        found = module.compute(v.T, ohms, OHM, node_voltages=False, all_currents=False)
        return found.currents.output

    return [Job("badcrossbar", ONE, partial(solve, case.v[:1])), Job("badcrossbar", MANY, partial(solve, case.v))]


def klujax(case: Case) -> list[Job]:
    """klujax: KLU inside JAX, compiled; the nodal equations are built by the same code as for SciPy."""
    x64 = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    module = _module("klujax")
    jax.config.update("jax_enable_x64", x64)
    size = len(case.g)

    def coordinates():
        matrix = nodal_matrix(case.g).tocoo()
        return matrix.row.astype(np.int32), matrix.col.astype(np.int32), matrix.data

    def scratch(v):
        with jax.enable_x64(True):
            return sensed(np.asarray(module.solve(*coordinates(), nodal_inputs(v))), size)

    factors: list = []

    def again():
        with jax.enable_x64(True):
            if not factors:
                row, col, data = coordinates()
                symbolic = module.analyze(row, col, 2 * size * size)
                factors.extend([symbolic, module.factor(row, col, data, symbolic)])
            return sensed(np.asarray(module.solve_with_numeric(factors[1], nodal_inputs(case.v), factors[0])), size)

    return [
        Job("klujax", ONE, partial(scratch, case.v[:1])),
        Job("klujax", MANY, partial(scratch, case.v)),
        Job("klujax factors held", FURTHER, again),
    ]


def crosssim(case: Case, checkout: Path | None) -> list[Job]:
    """CrossSim's array, at 1e-6 and at its own tolerance; it searches its relaxation factor before the clock starts."""
    if checkout is None:
        raise Missing("no checkout; give --crosssim PATH")
    sys.path.insert(0, str(checkout))
    try:
        found = vars(_module("simulator.circuits.array"))
    finally:
        sys.path.remove(str(checkout))
    names = ("NoninterleavedInputSourceArray", "NonInterleaved_InputSource_Array")
    kind = next((found[name] for name in names if name in found), None)
    if kind is None:
        raise Missing(f"{checkout} has neither {' nor '.join(names)}")
    # It reckons in units of the largest conductance and voltage, with outputs first.
    largest, volts = case.g.max(), case.v.max()
    g, x = np.ascontiguousarray(case.g.T) / largest, case.v.T / volts
    wires = {"Rp_row_norm": OHM * largest, "Rp_col_norm": OHM * largest, "Rp_row_terminal_norm": 0, "Rp_col_terminal_norm": 0}
    jobs = []
    for name, tolerance in (("CrossSim", 1e-6), ("CrossSim at its default 1e-3", 1e-3)):
        # What its array reads of its parameters.
        values = {
            "xbar": {"array": {"parasitics": wires}, "device": {"nonlinear_IV": {"enable": False}}},
            "core": {"style": None, "balanced": {"interleaved_posneg": False}},
            "simulation": {
                "fast_matmul": True,
                "Niters_max_parasitics": 1000,
                "Verr_th_mvm": tolerance,
                "Verr_matmul_criterion": "max_max",
                "relaxation_gamma": 0.9,
                "hide_convergence_msg": True,
            },
        }
        solver = kind(_attributes(values))

        def solve(x, solver=solver):
            return solver.iterative_solve(g, x).T * largest * volts

        jobs += [Job(name, ONE, partial(solve, x[:, 0])), Job(name, MANY, partial(solve, x))]
    return jobs


def ngspice(case: Case, program: str) -> list[Job]:
    """The netlist of `to_spice`, run as a process; the times include starting, parsing and printing."""
    if shutil.which(program) is None:
        raise Missing(f"{program} is not on the PATH")
    netlist = crossbar.to_spice(case.g, case.v[0], WIRES)

    def solve():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "array.cir"
            path.write_text(netlist)
            done = subprocess.run([program, "-b", str(path)], capture_output=True, text=True, check=False)
        return crossbar.read_spice(done.stdout, len(case.g))

    return [Job("ngspice", ONE, solve)]


def _attributes(values):
    if not isinstance(values, dict):
        return values
    return types.SimpleNamespace(**{name: _attributes(value) for name, value in values.items()})


def _module(name):
    try:
        return importlib.import_module(name)
    except ImportError as reason:
        raise Missing(f"not installed ({reason})") from None
