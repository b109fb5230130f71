"""A result in words: the headline, and the few figures that matter."""

from typing import Any

from imcjax.report.units import MISSING, bits_text, percent, si, spread


def headline(result: dict[str, Any]) -> str:
    """What the run found, in plain words."""
    return " ".join(sentences(result))


def sentences(result: dict[str, Any]) -> list[str]:
    """The sentences of the headline: the co-designed network first, then what it is to be measured against."""
    accuracy, uniform = result["accuracy"], result.get("uniform_baseline") or {}
    chips, baseline = accuracy.get("chips") or {}, accuracy.get("uniform_baseline") or {}
    where = "On one simulated chip" if chips.get("n") == 1 else f"On {chips.get('n', MISSING)} simulated chips"
    reached, energy = spread(chips), si(result.get("energy_j"), "J")
    words = f"{where} the co-designed network reaches {reached} on the test set at {energy} per inference"
    found = [words + _of_the_budget(result) + "."]
    if baseline.get("mean") is not None:
        bits, energy = bits_text(uniform.get("bits")), si(uniform.get("energy_j"), "J")
        words = f"With the same bits in every layer ({bits}, {energy}) it reaches {spread(baseline)}"
        found.append(words + (f": the search {_gain(chips, baseline)}." if chips.get("mean") is not None else "."))
    if accuracy.get("float") is not None:
        found.append(f"In floating point, without any hardware, it reaches {percent(accuracy['float'])}.")
    return found


def key_figures(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value with its unit) of what a reader looks for first."""
    accuracy, budget = result["accuracy"], result.get("budget") or {}
    chips = accuracy.get("chips") or {}
    figures = [
        ("Test accuracy, co-designed", spread(chips)),
        (f"1 % quantile of {chips.get('n', 'the')} chips", percent(chips.get("q01"))),
        ("Test accuracy, uniform baseline", spread(accuracy.get("uniform_baseline"))),
        ("Test accuracy, float", percent(accuracy.get("float"))),
        ("Energy per inference", si(result.get("energy_j"), "J")),
        ("Energy budget", si(budget.get("energy_j"), "J") + kept(budget)),
        ("Latency per inference", si(result.get("latency_s"), "s")),
        ("Area", si(result.get("area_m2"), "m²")),
    ]
    return [(name, value) for name, value in figures if value != MISSING]


def comparison(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) that set the co-designed network beside the uniform baseline and the float network, on both sets."""
    heads = ["network", "bits", "energy", "test", "1 % quantile", "validation", "1 % quantile", "chips"]
    test, validation = result["accuracy"], result.get("validation") or {}
    uniform = result.get("uniform_baseline") or {}
    rows = []
    for name, key, bits, energy in (
        ("co-designed", "chips", "by layer", result.get("energy_j")),
        ("uniform baseline", "uniform_baseline", bits_text(uniform.get("bits")), uniform.get("energy_j")),
    ):
        sets = [test.get(key) or {}, validation.get(key) or {}]
        if not any(sets):
            continue
        accuracies = [text for summary in sets for text in (spread(summary), percent(summary.get("q01")))]
        rows.append([name, bits, si(energy, "J"), *accuracies, str((sets[0] or sets[1]).get("n", MISSING))])
    floats = [percent(test.get("float")), "", percent(validation.get("float")), ""]
    return heads, [*rows, ["float, no hardware", "", "", *floats, ""]]


def kept(budget: dict[str, Any]) -> str:
    """', met' or ', exceeded'; nothing where it is not known."""
    return {True: ", met", False: ", exceeded"}.get(budget.get("satisfied"), "")  # type: ignore[arg-type]


def _of_the_budget(result: dict[str, Any]) -> str:
    budget, energy = result.get("budget") or {}, result.get("energy_j")
    reference, limit = budget.get("reference_energy_j"), budget.get("energy_j")
    words = ""
    if reference and energy is not None:
        words += f", {percent(energy / reference, 0)} of the reference design's {si(reference, 'J')}"
    if limit is not None and budget.get("satisfied") is not None:
        words += f", {'within' if budget['satisfied'] else 'OVER'} the budget of {si(limit, 'J')}"
    return words


def _gain(chips: dict[str, Any], baseline: dict[str, Any]) -> str:
    points = round(100 * (chips["mean"] - baseline["mean"]), 1)
    return f"{'gains' if points > 0 else 'loses'} {abs(points):.1f} points" if points else "changes nothing"
