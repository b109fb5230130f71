"""Numbers as a person reads them: 1.23 nJ, 0.45 mm², 96.1 %."""

import math
from collections.abc import Iterable


MISSING = "–"
_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def prefix(values: Iterable[float | None], unit: str) -> tuple[float, str]:
    """(divisor, unit with its SI prefix) that bring the largest of `values` to a short number, as the axis of a plot needs.

    A prefix before a square counts twice, as everywhere: 1 mm² is 1e-6 m². As that makes the steps a million wide, squares run
    from 0.01 to 9999 of a unit, anything else from 1 to 999.
    """
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    if largest == 0:
        return 1.0, unit
    power, least = (2, 0.01) if unit.endswith("²") else (1, 1.0)
    # 0.999999 nJ is written as 1.00 nJ, and so must not be taken for 1000 pJ.
    largest = float(f"{largest:.3g}")
    exponents = {power * e: p for e, p in _PREFIXES.items() if power == 1 or e <= 0}
    chosen = max((e for e in exponents if largest >= least * 10.0**e * (1 - 1e-9)), default=min(exponents))
    return 10.0**chosen, exponents[chosen] + unit


def si(value: float | None, unit: str) -> str:
    """`value` with three significant digits and an SI prefix: si(1.234e-9, "J") is '1.23 nJ'.

    Args:
      value: in `unit` without a prefix; None and NaN become a dash.
      unit: as written, "m²" for an area.
    """
    if value is None or math.isnan(value):
        return MISSING
    divisor, prefixed = prefix([value], unit)
    return f"{significant(value / divisor)} {prefixed}"


def significant(value: float) -> str:
    """`value` with three significant digits and without an exponent as long as that stays short."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    magnitude = math.floor(math.log10(abs(float(f"{value:.3g}"))))
    return f"{value:.3g}" if not -4 <= magnitude <= 6 else f"{value:.{max(2 - magnitude, 0)}f}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction in percent: percent(0.961) is '96.1 %'; None and NaN become a dash."""
    return MISSING if fraction is None or math.isnan(fraction) else f"{100 * fraction:.{digits}f} %"


def spread(summary: dict | None) -> str:
    """Mean and standard deviation over chips, in percent: '96.1 ± 0.4 %'; of a single chip '96.1 %'."""
    if not summary or summary.get("mean") is None:
        return MISSING
    if summary.get("std") is None or summary.get("n", 2) < 2:
        return percent(summary["mean"])
    return f"{100 * summary['mean']:.1f} ± {100 * summary['std']:.1f} %"


def bits_text(bits: dict | None) -> str:
    """Bits of weight, input and ADC as '5/4/6 bit'."""
    if not bits:
        return ""
    return "/".join(MISSING if bits.get(kind) is None else f"{bits[kind]:g}" for kind in ("weight", "input", "adc")) + " bit"
