"""Errors that a user reads: what was given, what is allowed, what to do."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.core
import numpy as np


class UserError(ValueError):
    """Wrong input. The message is one clear sentence; the command line prints it and leaves with exit code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """' (nearest: a, b)' for the known names most like `word`, else ' (known: ...)': the tail of an error message."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.4)
    return f" (nearest: {', '.join(close)})" if close else f" (known: {', '.join(names)})"


def concrete(value: Any) -> np.ndarray | None:
    """`value` as a NumPy array, or None where it is a tracer (or None) and cannot be looked at before the program runs."""
    if value is None or isinstance(value, jax.core.Tracer):
        return None
    return np.asarray(value)


def check_number(
    name: str, value: Any, low: float | None = None, high: float | None = None, *, unit: str = "", whole: bool = False
) -> None:
    """Refuse a concrete number or array that is not finite or outside [low, high]; tracers and None pass.

    Raises:
      UserError: naming `name`, the offending value, the allowed range and its unit.
    """
    array = concrete(value)
    if array is None:
        return
    unit = f" {unit}" if unit else ""
    low_text = "-inf" if low is None else f"{low:g}"
    high_text = "inf" if high is None else f"{high:g}"
    allowed = f"{'whole' if whole else 'finite'} numbers in [{low_text}, {high_text}]{unit}"
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name} is {value!r}, which is not a number; give {allowed}.")
    bad = ~np.isfinite(array)
    if low is not None:
        bad |= array < low
    if high is not None:
        bad |= array > high
    if whole:
        bad |= array != np.round(array)
    if bad.any():
        raise UserError(f"{name} is {array[bad].ravel()[0]:g}{unit}; give {allowed}.")


def check_record(instance: Any, path: str) -> None:
    """Hold every concrete number of a record (`imcjax.pytree.record`), nested ones included, to its declared range.

    A record whose numbers must fit each other has a method `check(path)`, which is called after that.

    Raises:
      UserError: naming the field by its dotted path below `path`.
    """
    for field in dataclasses.fields(instance):
        value, name = getattr(instance, field.name), f"{path}.{field.name}"
        options = field.metadata.get("options")
        if dataclasses.is_dataclass(value):
            check_record(value, name)
        elif value is None and field.default is None:
            continue
        elif options is not None:
            if value not in options:
                raise UserError(f"{name} is {value!r}{nearest(str(value), options)}.")
        elif value is None and "low" in field.metadata:
            raise UserError(f"{name} is None, but this number cannot be absent; leave it out for {field.default!r}.")
        elif "low" in field.metadata and not isinstance(value, str | bool):
            limits, whole = field.metadata, field.metadata.get("static", False)
            check_number(name, value, limits["low"], limits["high"], unit=limits["unit"], whole=whole)
    if hasattr(instance, "check"):
        instance.check(path)
