"""Which layer goes on which hardware: ordered rules over module paths."""

import dataclasses
import re
from collections.abc import Sequence

from imcjax.errors import UserError
from imcjax.hardware import Hardware, check


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """What to do with the layers whose path matches.

    Attributes:
      module_path: regular expression that the whole '/'-joined path must match (`re.fullmatch`).
      hardware: the technology of the layer; needed unless `digital`.
      weight_bits, input_bits, adc_bits: the layer's widths; None: the hardware's widest.
      digital: leave the layer as it is.
      replicas: copies of the layer's arrays, among which the positions of a convolution are dealt.
    """

    module_path: str
    hardware: Hardware | None = None
    weight_bits: float | None = None
    input_bits: float | None = None
    adc_bits: float | None = None
    digital: bool = False
    replicas: int = 1

    def matches(self, path: str) -> bool:
        """Whether this rule is about the layer at `path`."""
        return re.fullmatch(self.module_path, path) is not None


def as_rules(rules: "Hardware | Rule | Sequence[Rule]") -> list[Rule]:
    """A list of rules; a bare Hardware is a rule for every layer.

    Raises:
      UserError: something else than rules, a bad regular expression, or a rule without hardware.
    """
    if isinstance(rules, Hardware):
        rules = [Rule(".*", rules)]
    if not isinstance(rules, Rule | Sequence):
        raise UserError(f"rules is a {type(rules).__name__}; give a Hardware or a list of imcjax.Rule.")
    rules = [rules] if isinstance(rules, Rule) else list(rules)
    for rule in rules:
        if not isinstance(rule, Rule):
            raise UserError(f"rules holds {rule!r}; give a Hardware or a list of imcjax.Rule.")
        try:
            re.compile(rule.module_path)
        except re.error as error:
            raise UserError(f"Rule.module_path {rule.module_path!r} is not a regular expression: {error}.") from None
        if rule.digital and rule.hardware is not None:
            raise UserError(f"Rule({rule.module_path!r}) has hardware and is digital; leave one of them out.")
        if rule.hardware is not None:
            check(rule.hardware)
        elif not rule.digital:
            raise UserError(f"Rule({rule.module_path!r}) has no hardware; give hardware=... or digital=True.")
    return rules


def match(rules: Sequence[Rule], paths: Sequence[str]) -> dict[str, Rule]:
    """The first matching rule of each path; paths without one are left out.

    Raises:
      UserError: a rule that matches no path, or only paths that an earlier rule has taken.
    """
    chosen: dict[str, Rule] = {}
    for path in paths:
        for rule in rules:
            if rule.matches(path):
                chosen[path] = rule
                break
    for rule in rules:
        if not any(rule is taken for taken in chosen.values()):
            hit = [path for path in paths if rule.matches(path)]
            why = f"only layers that earlier rules take ({', '.join(hit)})" if hit else "no layer"
            raise UserError(f"Rule({rule.module_path!r}) matches {why}; the layers are: {', '.join(paths) or 'none'}.")
    return chosen
