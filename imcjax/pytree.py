"""Records that JAX can look into: static structure beside traced numbers.

Everything that describes hardware is such a record. A field is either *static* (an int, a string or None that decides which
program is compiled) or a *leaf* (a number or array that `jax.grad`, `jax.vmap` and `jax.jit` see).
"""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax


Record = TypeVar("Record")


def static(
    *,
    default: Any = dataclasses.MISSING,
    low: int | None = None,
    high: int | None = None,
    options: tuple[str, ...] | None = None,
    **kwargs: Any,
) -> Any:
    """A field that is part of the structure: it must be hashable, and another value compiles another program.

    A number lies in [low, high], a string is one of `options`.
    """
    metadata = {"static": True, "low": low, "high": high, "unit": "", "options": options}
    return dataclasses.field(default=default, metadata=metadata, **kwargs)


def number(
    *, default: Any = dataclasses.MISSING, low: float | None = None, high: float | None = None, unit: str = "", **kwargs: Any
) -> Any:
    """A leaf with the range and unit that `imcjax.errors.check_record` holds it to; None as default makes it optional."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "unit": unit}, **kwargs)


def _as_leaf(value: Any) -> Any:
    # jax.grad refuses int leaves. A Python float stays one: it is weakly typed, so it follows the precision of the arrays.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static, number))
def record(cls: type[Record]) -> type[Record]:
    """Class decorator: a frozen dataclass registered as a pytree, whose whole numbers become float leaves on creation."""
    cls.__post_init__ = _convert  # type: ignore[attr-defined]
    data = dataclasses.dataclass(frozen=True, eq=False)(cls)
    if "replace" not in cls.__dict__:
        data.replace = replace  # type: ignore[attr-defined]
    jax.tree_util.register_dataclass(data)
    return data


def _convert(self: Any) -> None:
    for field in dataclasses.fields(self):
        if not field.metadata.get("static", False):
            object.__setattr__(self, field.name, _as_leaf(getattr(self, field.name)))


def replace(instance: Record, **changes: Any) -> Record:
    """A copy with some fields changed, as `dataclasses.replace`."""
    return dataclasses.replace(instance, **changes)  # type: ignore[type-var]
