"""The circuit as a SPICE netlist, for a second opinion from any circuit simulator, and its answer read back."""

import re

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from imcjax.crossbar.checks import check_circuit
from imcjax.crossbar.wires import Wires
from imcjax.errors import UserError, concrete


def to_spice(
    g: Float[ArrayLike, "rows cols"], v: Float[ArrayLike, " rows"], wires: Wires, *, topology: str = "input_source"
) -> str:
    """A netlist of one array with one input that ngspice runs as it is: `ngspice -b array.cir`.

    It prints the current of each bitline as `i(vsense<j>)`, A, which `read_spice` reads. Wires of 0 ohm become joined nodes;
    cells of 0 S are left out. Nodes: `in<i>` is the source of wordline i (`gate_input`: of source line j), `w<i>_<j>`
    (`s<i>_<j>`) and `b<i>_<j>` are the two ends of cell (i, j), `out<j>` is the virtual ground of bitline j, at both ends
    where it is sensed at both.

    Args:
      g: (rows, cols) cell conductances, S.
      v: (rows,) input voltages, V.
      wires: resistances, ohm.
      topology: as for `currents`.

    Returns:
      The text of the netlist.

    Raises:
      UserError: as for `currents`, and for batches or traced values.
    """
    check_circuit(g, v, wires, topology)
    g_, v_ = concrete(g), concrete(v)
    if g_ is None or v_ is None or any(concrete(value) is None for value in jax.tree.leaves(wires)):
        raise UserError("to_spice writes numbers and was given traced values; call it outside jit, grad and vmap.")
    if g_.ndim != 2 or v_.ndim != 1:
        raise UserError(f"to_spice writes one array with one input; g has shape {g_.shape} and v {v_.shape}: index them first.")
    g_, v_ = g_.astype(float), v_.astype(float)
    rows, cols = g_.shape

    lines = [f"* imcjax crossbar array, {rows} x {cols}, {topology}"]
    fed, collected = {}, {}
    if topology == "input_source":
        on = np.full(rows, True)
        sources = v_
        for i in range(rows):
            nodes, resistors = _line(f"w{i}_{{}}", range(cols), f"in{i}", wires.wordline, wires.driver, wires.driver_far)
            fed |= {(i, j): node for j, node in nodes.items()}
            lines += resistors
    else:
        on = v_ != 0
        sources = np.full(cols, v_[np.argmax(abs(v_))])
        for j in range(cols):
            nodes, resistors = _line(f"s{{}}_{j}", range(rows), f"in{j}", wires.wordline, wires.driver)
            fed |= {(i, j): node for i, node in nodes.items()}
            lines += resistors
    for j in range(cols):
        nodes, resistors = _line(f"b{{}}_{j}", reversed(range(rows)), f"out{j}", wires.bitline, wires.sense, wires.sense_far)
        collected |= {(i, j): node for i, node in nodes.items()}
        lines += resistors
    for i, j in np.argwhere((g_ > 0) & on[:, None]).tolist():
        lines.append(f"Rcell{i}_{j} {fed[i, j]} {collected[i, j]} {_number(1 / g_[i, j])}")
    lines += [f"Vin{k} in{k} 0 {_number(volts)}" for k, volts in enumerate(sources)]
    lines += [f"Vsense{j} out{j} 0 0" for j in range(cols)]
    lines += [".options reltol=1e-9 abstol=1e-20 vntol=1e-15 gmin=1e-20", ".control", "set numdgt=15", "op"]
    lines += [f"print i(vsense{j})" for j in range(cols)]
    return "\n".join([*lines, "quit 0", ".endc", ".end", ""])


def read_spice(text: str, cols: int | None = None) -> Float[np.ndarray, " cols"]:
    """The currents in what ngspice printed when it ran a netlist of `to_spice`:

        done = subprocess.run(["ngspice", "-b", "array.cir"], capture_output=True, text=True)
        found = read_spice(done.stdout)

    Args:
      text: all of the standard output.
      cols: how many currents to expect; None takes what is there.

    Returns:
      (cols,) currents out of the bitlines, A, in float64.

    Raises:
      UserError: when a current is missing or is not a finite number: the run failed.
    """
    found = {int(column): float(value) for column, value in re.findall(rf"i\(vsense(\d+)\) = ({_PRINTED})", text)}
    count = len(found) if cols is None else cols
    values = np.array([found.get(column, np.nan) for column in range(count)])
    if not found or len(found) != count or not np.isfinite(values).all():
        said = " / ".join(line.strip() for line in text.splitlines()[-3:] if line.strip())
        raise UserError(
            f"The text has {len(found)} currents i(vsense<j>){'' if cols is None else f' of {cols}'} that can be used, so "
            f"the run of ngspice failed; its output ends with {said!r}. Give the whole standard output of `ngspice -b`."
        )
    return values


_PRINTED = r"[-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf)"


def _line(name, positions, terminal, segment, end, far=None):
    """The node of each position and the resistors between them, from the terminal outwards and, over `far`, back to it."""
    nodes, resistors = {}, []
    before, ohms = terminal, end
    for position in positions:
        here = name.format(position) if ohms > 0 else before
        if ohms > 0:
            resistors.append((f"R{here}", before, here, ohms))
        nodes[position] = before = here
        ohms = segment
    joined = {}
    if far is not None and far > 0:
        resistors.append((f"R{terminal}far", before, terminal, far))
    elif far is not None:
        joined = {before: terminal}
    nodes = {position: joined.get(node, node) for position, node in nodes.items()}
    between = [(part, joined.get(a, a), joined.get(b, b), ohms) for part, a, b, ohms in resistors]
    return nodes, [f"{part} {a} {b} {_number(ohms)}" for part, a, b, ohms in between if a != b]


def _number(value):
    return format(float(value), ".17g")
