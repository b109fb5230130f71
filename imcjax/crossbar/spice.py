"""The circuit as a SPICE netlist, for a second opinion from any circuit simulator, and its answer read back."""

import re

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from imcjax.crossbar.bias import Bias
from imcjax.crossbar.checks import check_circuit
from imcjax.crossbar.wires import Wires
from imcjax.errors import UserError, concrete


def to_spice(
    g: Float[ArrayLike, "rows cols"],
    v: Float[ArrayLike, " rows"] | Bias,
    wires: Wires,
    *,
    topology: str = "input_source",
) -> str:
    """A netlist of one array with one input that ngspice runs as it is: `ngspice -b array.cir`.

    It prints the current of each bitline as `i(vsense<j>)`, A, which `read_spice` reads. Wires of 0 ohm become joined nodes;
    cells of 0 S are left out. Nodes: `in<i>` is the source of wordline i (`gate_input`: of source line j), `w<i>_<j>`
    (`s<i>_<j>`) and `b<i>_<j>` are the two ends of cell (i, j) with its access resistance, `out<j>` is the source at the sense
    end of bitline j, at both ends where it is sensed at both. With topology `interleaved` the pair of row i has the wordlines
    2i and 2i + 1, and meets the bitlines at their nodes i.

    Args:
      g: (rows, cols) cell conductances, S; with topology `interleaved` (2, rows, cols).
      v: (rows,) input voltages, V; or a `Bias` of such.
      wires: resistances, ohm.
      topology: as for `currents`.

    Returns:
      The text of the netlist.

    Raises:
      UserError: as for `currents`, and for batches or traced values.
    """
    _, bias = check_circuit(g, v, wires, topology)
    given = [g, *(v if isinstance(v, Bias) else [v]), *jax.tree.leaves(wires)]
    if any(value is not None and concrete(value) is None for value in given):
        raise UserError("to_spice writes numbers and was given traced values; call it outside jit, grad and vmap.")
    g_ = np.asarray(g, float)
    # As given, in float64: the checked copies may have been rounded.
    v_ = np.asarray(v.wordline_v if isinstance(v, Bias) else v, float)
    shapes = [g_.shape[-2:] if topology != "interleaved" else g_.shape[-3:]] + [np.shape(x)[-1:] for x in bias if x is not None]
    if [g_.shape, *(np.shape(x) for x in bias if x is not None)] != shapes:
        raise UserError(f"to_spice writes one array with one input; g has shape {g_.shape} and v {v_.shape}: index them first.")
    meets = 1
    if topology == "interleaved":
        g_, v_, meets = g_.swapaxes(0, 1).reshape(-1, g_.shape[2]), np.stack([v_, -v_], 1).ravel(), 2
    rows, cols = g_.shape
    held = np.zeros(cols) if bias.bitline_v is None else np.asarray(v.bitline_v, float)  # type: ignore[union-attr]
    floating_w, floating_b = (
        np.zeros(size, bool) if x is None else np.asarray(x) for x, size in ((bias[2], rows), (bias[3], cols))
    )

    lines = [f"* imcjax crossbar array, {rows} x {cols}, {topology}"]
    fed, collected = {}, {}
    if topology != "gate_input":
        on = np.full(rows, True)
        sources = v_
        for i in range(rows):
            end = None if floating_w[i] else wires.driver
            nodes, resistors = _line(f"w{i}_{{}}", range(cols), f"in{i}", wires.wordline, end, wires.driver_far)
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
        end = None if floating_b[j] else wires.sense
        down = reversed(range(rows // meets))
        nodes, resistors = _line(f"b{{}}_{j}", down, f"out{j}", wires.bitline, end, wires.sense_far)
        collected |= {(i, j): nodes[i // meets] for i in range(rows)}
        lines += resistors
    for i, j in np.argwhere((g_ > 0) & on[:, None]).tolist():
        lines.append(f"Rcell{i}_{j} {fed[i, j]} {collected[i, j]} {_number(1 / g_[i, j] + float(wires.access))}")
    lines += [f"Vin{k} in{k} 0 {_number(volts)}" for k, volts in enumerate(sources) if k >= rows or not floating_w[k]]
    lines += [f"Vsense{j} out{j} 0 {_number(held[j])}" for j in range(cols)]
    if floating_w.any() or floating_b.any():
        lines.append(".options rshunt=1e18")  # what floats without any cell would make the equations singular
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
    """The node of each position and the resistors between them, from the terminal outwards and, over `far`, back to it.

    `end` is None for a line that floats.
    """
    nodes, resistors = {}, []
    before, ohms = terminal, end
    for position in positions:
        here = name.format(position) if ohms is None or ohms > 0 else before
        if ohms is not None and ohms > 0:
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
