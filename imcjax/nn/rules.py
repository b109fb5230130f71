"""Which layer goes on which hardware: ordered rules over module paths."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from imcjax.errors import UserError, nearest
from imcjax.hardware import Hardware, check
from imcjax.mapping import ENCODINGS


OP_NAMES = ("dot_general", "einsum", "conv_general_dilated")
"""What layers compute by; qwix has the same names."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """What to do with the layers whose path matches.

    Attributes:
      module_path: regular expression that the whole '/'-joined path must match (`re.fullmatch`).
      hardware: the technology of the layer; needed unless `digital`.
      weight_bits, input_bits, adc_bits: the layer's widths; None: the hardware's widest.
      encoding: in place of the hardware's; None: the hardware's own.
      digital: leave the layer as it is.
      replicas: copies of the layer's arrays, among which the positions of a convolution are dealt.
      op_names: only layers that compute by these: "dot_general" (Linear, LinearGeneral), "einsum", "conv_general_dilated";
        empty: all.
    """

    module_path: str
    hardware: Hardware | None = None
    weight_bits: float | None = None
    input_bits: float | None = None
    adc_bits: float | None = None
    encoding: Any = None
    digital: bool = False
    replicas: int = 1
    op_names: tuple[str, ...] = ()

    def matches(self, path: str, op_name: str) -> bool:
        """Whether this rule is about the layer at `path`, which computes by `op_name`."""
        named = not self.op_names or op_name in self.op_names
        return named and re.fullmatch(self.module_path, path) is not None

    def technology(self) -> Hardware | None:
        """The hardware with the rule's encoding."""
        return (
            self.hardware if self.hardware is None or self.encoding is None else self.hardware.replace(encoding=self.encoding)
        )


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
        _check_types(rule)
        try:
            re.compile(rule.module_path)
        except re.error as error:
            raise UserError(f"Rule.module_path {rule.module_path!r} is not a regular expression: {error}.") from None
        if rule.digital and rule.hardware is not None:
            raise UserError(f"Rule({rule.module_path!r}) has hardware and is digital; leave one of them out.")
        given = [name for name in ("weight_bits", "input_bits", "adc_bits", "encoding") if getattr(rule, name) is not None]
        if rule.digital and given:
            raise UserError(f"Rule({rule.module_path!r}) has {given[0]} and is digital; leave one of them out.")
        unknown = [name for name in rule.op_names if name not in OP_NAMES]
        if unknown:
            raise UserError(f"Rule({rule.module_path!r}) has op_names with {unknown[0]!r}{nearest(str(unknown[0]), OP_NAMES)}.")
        technology = rule.technology()
        if technology is not None:
            _check_encoding(rule)
            check(technology)
        elif not rule.digital:
            raise UserError(f"Rule({rule.module_path!r}) has no hardware; give hardware=... or digital=True.")
    return rules


def _check_types(rule: Rule) -> None:
    if not isinstance(rule.module_path, str):
        raise UserError(f"Rule.module_path is {rule.module_path!r}; give a regular expression over '/'-joined paths, as '.*'.")
    if rule.hardware is not None and not isinstance(rule.hardware, Hardware):
        raise UserError(
            f"Rule({rule.module_path!r}) has hardware {rule.hardware!r}; give an imcjax.Hardware, as "
            "imcjax.hardware.preset(name) and .load(path) return."
        )
    if isinstance(rule.op_names, str):
        raise UserError(f"Rule({rule.module_path!r}) has op_names {rule.op_names!r}; give a tuple: ({rule.op_names!r},).")


def _check_encoding(rule: Rule) -> None:
    if rule.encoding is not None and type(rule.encoding) not in ENCODINGS.classes().values():
        raise UserError(
            f"Rule({rule.module_path!r}) has encoding {rule.encoding!r}; give one of imcjax.mapping: "
            f"{', '.join(cls.__name__ for cls in ENCODINGS.classes().values())}."
        )


def match(rules: Sequence[Rule], op_names: Mapping[str, str]) -> dict[str, Rule]:
    """The first matching rule of each path (path -> what the layer computes by); paths without one are left out.

    Raises:
      UserError: a rule that matches no path, or only paths that an earlier rule has taken.
    """
    chosen: dict[str, Rule] = {}
    for path, op_name in op_names.items():
        for rule in rules:
            if rule.matches(path, op_name):
                chosen[path] = rule
                break
    for rule in rules:
        if not any(rule is taken for taken in chosen.values()):
            hit = [path for path, op_name in op_names.items() if rule.matches(path, op_name)]
            why = f"only layers that earlier rules take ({', '.join(hit)})" if hit else "no layer"
            raise UserError(f"Rule({rule.module_path!r}) matches {why}; the layers are: {', '.join(op_names) or 'none'}.")
    return chosen
