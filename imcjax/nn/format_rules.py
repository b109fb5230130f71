"""Which layer gets which number formats: ordered rules over module paths."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from imcjax.errors import UserError
from imcjax.nn.rules import match
from imcjax.quantize import Format


@dataclasses.dataclass(frozen=True, eq=False)
class FormatRule:
    """The formats of the layers whose path matches.

    Attributes:
      module_path: regular expression that the whole '/'-joined path must match (`re.fullmatch`).
      weights, inputs: the formats; None: left as they are.
      learn_inputs: whether the numbers of the input format are trained. Those of an image are given by the camera, and a first
        layer without them needs no gradient to its inputs, which of a convolution is a large part of a step.
    """

    module_path: str
    weights: Format | None = None
    inputs: Format | None = None
    learn_inputs: bool = True

    def matches(self, path: str, op_name: str = "") -> bool:
        """Whether this rule is about the layer at `path`, whatever it computes by."""
        del op_name
        return re.fullmatch(self.module_path, path) is not None


def choose(
    rules: Sequence[FormatRule], weights: Format | None, inputs: Format | None, paths: Sequence[str]
) -> dict[str, FormatRule]:
    """The rule of each path: the first that matches, else one of the default formats.

    Raises:
      UserError: something else than rules and formats, a bad regular expression, a rule that is left over.
    """
    for rule in rules:
        if not isinstance(rule, FormatRule):
            raise UserError(f"rules holds {rule!r}; give a list of imcjax.nn.FormatRule.")
        try:
            re.compile(rule.module_path)
        except re.error as error:
            raise UserError(f"FormatRule.module_path {rule.module_path!r} is not a regular expression: {error}.") from None
    default = FormatRule(".*", weights, inputs)
    for rule in (*rules, default):
        _check_format(rule.weights, "weights")
        _check_format(rule.inputs, "inputs")
        if rule.inputs is not None and (rule.inputs.axis not in (None, -1) or rule.inputs.rows is not None):
            raise UserError(
                f"inputs has axis {rule.inputs.axis} and rows {rule.inputs.rows}; give axis -1 for each channel, or None."
            )
    chosen: dict[str, Any] = match(rules, dict.fromkeys(paths, "")) if rules else {}  # type: ignore[arg-type]
    return {path: chosen.get(path, default) for path in paths}


def _check_format(fmt: Any, name: str) -> None:
    if fmt is not None and not isinstance(fmt, Format):
        raise UserError(f"{name} is {fmt!r}; give a number format of imcjax.quantize, such as Lsq(bits=4), or None.")
