"""ADCs: the regression plug-in's own numbers, ISAAC's table, NeuroSim's SAR, and slopes of every model."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.validation.cost.rows import Row
from imcjax.cost import adc
from imcjax.cost.adc import Column
from imcjax.technology import Technology


BITS = (4, 5, 6, 7, 8, 10, 12)
# accelergy-adc-plug-in, run: pJ and um^2 at 1 GS/s for these bits
PLUG_IN = {
    65: ((3.50, 3.55, 4.04, 4.97, 6.49, 52.8, 505), (14948, 15008, 15598, 16603, 17983, 33668, 66128)),
    32: ((0.924, 0.936, 1.07, 1.31, 1.71, 13.9, 133), (4964, 4984, 5180, 5513, 5972, 11180, 21959)),
    22: ((0.457, 0.463, 0.527, 0.649, 0.847, 6.89, 65.9), (2771, 2782, 2892, 3078, 3334, 6242, 12259)),
    7: ((0.053, 0.0538, 0.0612, 0.0753, 0.0984, 0.801, 7.65), (467, 469, 487, 518, 561, 1051, 2064)),
}
ISAAC = {4: (0.79, 361.04), 5: (0.99, 476.91), 6: (1.20, 626.91), 7: (1.42, 845.18), 9: (1.969078, 1827.91)}
# NeuroSim V1.4 run here, 22 nm, RRAM 100 kohm / 1.7 Mohm, 128 rows, SAR: (bits, input density) -> fJ of ADC and array
NEUROSIM_SAR = {
    (5, 0.180): 106.0, (6, 0.180): 124.7, (7, 0.180): 144.4, (8, 0.180): 165.2, (5, 0.062): 64.01, (5, 0.501): 219.3,
}  # fmt: skip


def rows() -> list[Row]:
    """All rows of ADCs."""
    return [*_plug_in(), *_slopes(), *_isaac(), *_sar()]


def _rounding(shown: float) -> float:
    """Half of the last digit of a number with three significant ones, relative."""
    return 0.5 * 10 ** (np.floor(np.log10(shown)) - 2) / shown


def _plug_in() -> list[Row]:
    model, found = adc.Survey(rate_hz=1e9), []
    for hard in (True, False):
        for node, (picojoule, square_um) in PLUG_IN.items():
            tech = Technology(node_m=node * 1e-9)
            for b, pj, um2 in zip(BITS, picojoule, square_um, strict=True):
                # the table has three digits (areas: whole um^2), which alone is up to 0.5 %
                limit = 1e-3 + _rounding(pj) if hard else 0.04
                ours = float(model.energy_j(b, tech, hard=hard)) * 1e12
                name = f"survey {'hard' if hard else 'soft'}, {b} b, {node} nm"
                found.append(Row("accelergy-adc-plug-in", name + ", energy", ours, pj, limit, "pJ"))
                area = float(model.area_m2(b, tech, hard=hard)) * 1e12
                found.append(Row("accelergy-adc-plug-in", name + ", area", area, um2, 2e-3 if hard else 0.04, "um^2"))
    exact = float(model.energy_j(8, Technology(node_m=32e-9), hard=True)) * 1e12
    found.append(Row("accelergy-adc-plug-in", "survey hard, 8 b, 32 nm, closed form", exact, 1.7137, 1e-3, "pJ"))
    return found


def _slopes() -> list[Row]:
    found = []
    b = jnp.linspace(1, 14, 131)
    column = Column(128, 1e-4, 0.55)
    models: list[Any] = [
        adc.Survey(rate_hz=1e7), adc.Survey(rate_hz=1e9), adc.Survey(rate_hz=1e10), adc.Zigzag28(), adc.NeurosimSar(),
        adc.NeurosimFlash(), adc.Isaac(), adc.Walden(1e-14), adc.Schreier(165.0),
    ]  # fmt: skip
    for model in models:
        least = np.inf
        for node, volts in ((7e-9, 0.7), (28e-9, 0.9), (65e-9, 1.1)):
            tech = Technology(node_m=node, supply_v=volts)
            slope = jax.vmap(jax.grad(lambda x, m=model, t=tech: jnp.log(m.energy_j(x, t, column))))(b)
            least = min(least, float(slope.min()))
        rate = f" at {model.rate_hz:g} Hz" if model.kind == "survey" else ""
        found.append(
            Row("definition", f"least dlnE/db of {model.kind}{rate}, 1 to 14 b", least, 1e-6, 0.0, "", kind="at least")
        )
    return found


def _isaac() -> list[Row]:
    found, tech = [], Technology(node_m=32e-9)
    for b, (pj, um2) in ISAAC.items():
        energy, area = float(adc.Isaac().energy_j(b, tech)) * 1e12, float(adc.Isaac().area_m2(b, tech)) * 1e12
        found.append(Row("hwcomponents, ISAAC's ADC", f"{b} b, 32 nm, energy", energy, pj, 5e-3, "pJ"))
        found.append(Row("hwcomponents, ISAAC's ADC", f"{b} b, 32 nm, area", area, um2, 5e-3, "um^2"))
    return found


def _sar() -> list[Row]:
    found, tech = [], Technology(node_m=22e-9, supply_v=0.85)
    # one constant, fitted at 5 bits and density 0.18: what the driven wordlines take
    line_j = 16.62e-15 / 0.18
    for (b, ones), theirs in NEUROSIM_SAR.items():
        column = Column(128, ones * 128 * (0.5 / 125e3 + 0.5 / 1.725e6), 0.55)
        ours = float(adc.NeurosimSar().energy_j(b, tech, column)) + line_j * ones
        held = "" if (b, ones) == (5, 0.18) else "not fitted"
        found.append(
            Row("NeuroSim V1.4, run", f"SAR and array, {b} b, density {ones:g}", ours * 1e15, theirs, 0.01, "fJ", held)
        )
    return found
