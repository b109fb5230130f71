"""Reference: any network of resistors or of capacitors, as one dense system of nodal equations in NumPy or as a netlist.

With conductances (S) the equations say that currents add up to nothing at every node; with capacitances (F) that charges do,
for nodes that were at 0 V while all sources were.
"""

import re
import shutil
import subprocess

import numpy as np
import pytest


GROUND = "0"


def matrix(branches, held):
    """The free nodes, their nodal matrix, and that of the held nodes; branches are (node, node, value)."""
    nodes = list(dict.fromkeys(node for branch in branches for node in branch[:2] if node != GROUND))
    free = [node for node in nodes if node not in held]
    index = {node: k for k, node in enumerate(free)} | {node: len(free) + k for k, node in enumerate(held)}
    whole = np.zeros((len(index), len(index)))
    for *ends, value in branches:
        at = [index[node] for node in ends if node != GROUND]
        whole[at, at] += value
        if len(at) == 2:
            whole[at[0], at[1]] -= value
            whole[at[1], at[0]] -= value
    return free, whole[: len(free), : len(free)], whole[: len(free), len(free) :]


def solve(branches, held):
    """Volts of every free node; `held` says those of the others, numbers or arrays of one shape."""
    free, inner, outer = matrix(branches, held)
    volts = np.linalg.solve(inner, -outer @ np.array(list(held.values()), float))
    return dict(zip(free, volts, strict=True))


def array(g, wordline, bitline, driver):
    """The resistors of an array of floating bitlines: sources ("in", i), open ends ("b", rows - 1, j)."""
    rows, cols = g.shape
    branches = [(("in", i), ("w", i, 0), 1 / driver) for i in range(rows)]
    for i in range(rows):
        for j in range(cols):
            branches.append((("w", i, j), ("b", i, j), g[i, j]))
            if j:
                branches.append((("w", i, j - 1), ("w", i, j), 1 / wordline))
            if i:
                branches.append((("b", i - 1, j), ("b", i, j), 1 / bitline))
    return branches


def ladder(bits, links, end, parasitic, name=""):
    """The capacitors of a C-2C ladder: bit plates (name, "bit", s), nodes (name, s), the first of which is the output."""
    branches = [((name, len(bits) - 1), GROUND, end)]
    for s, bit in enumerate(bits):
        branches += [((name, "bit", s), (name, s), bit), ((name, s), GROUND, parasitic)]
        if s:
            branches.append(((name, s - 1), (name, s), links[s]))
    return branches


def ngspice(branches, held, wanted, folder, *, part):
    """The volts of the `wanted` nodes as ngspice finds them; `part` is "R" for siemens or "C" for farad."""
    if shutil.which("ngspice") is None:
        pytest.skip("ngspice is not on the PATH")

    def name(node):
        return node if node == GROUND else "n_" + re.sub(r"\W+", "_", str(node)).strip("_").lower()

    lines = ["* network"]
    for k, (one, other, value) in enumerate(branches):
        if value:
            lines.append(f"{part}{k} {name(one)} {name(other)} {float(1 / value if part == 'R' else value)!r}")
    for k, (node, volts) in enumerate(held.items()):
        source = f"dc {float(volts)!r}" if part == "R" else f"pwl(0 0 1p {float(volts)!r})"
        lines.append(f"V{k} {name(node)} 0 {source}")
    run, last = ("op", "") if part == "R" else ("tran 1p 100p uic", "[length(time)-1]")
    shown = [f"let found{k} = v({name(node)}){last}" for k, node in enumerate(wanted)]
    printed = [f"print found{k}" for k in range(len(wanted))]
    lines += [".options reltol=1e-9 gmin=1e-20", ".control", "set numdgt=15", run, *shown, *printed, ".endc", ".end", ""]
    path = folder / "network.cir"
    path.write_text("\n".join(lines))
    done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, timeout=120, check=False)
    found = dict(re.findall(r"^found(\d+) = (\S+)", done.stdout, re.MULTILINE))
    assert len(found) == len(wanted), done.stdout + done.stderr
    return np.array([float(found[str(k)]) for k in range(len(wanted))])
