"""Records of one kind that a hardware file can choose between: the memory cells, the ADC circuits, the encodings."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from imcjax.errors import UserError, nearest


Class = TypeVar("Class", bound=type)


class Families:
    """The records that can stand in one place, by the name that a hardware file gives as `kind`."""

    def __init__(self, place: str):
        self.place = place
        self._known: dict[str, type] = {}

    def family(self, name: str) -> Callable[[Class], Class]:
        """Class decorator: makes the record known as `kind = name`."""

        def register(cls: Class) -> Class:
            cls.kind = name  # type: ignore[attr-defined]
            self._known[name] = cls
            return cls

        return register

    def find(self, kind: Any, path: str) -> type:
        """The record called `kind`; `path` says where it was asked for.

        Raises:
          UserError: for an unknown name, with the nearest known ones.
        """
        if not isinstance(kind, str) or kind not in self._known:
            word = kind if isinstance(kind, str) else ""  # where none is given, none is near
            raise UserError(f"{path}.kind is {kind!r}{nearest(word, self._known)}.")
        return self._known[kind]

    def classes(self) -> dict[str, type]:
        """All records by name."""
        return dict(self._known)


def one_of(families: Families, *, default: Callable[[], Any] | None = None) -> Any:
    """A field that holds a record of `families`; `default` makes one, or None: absent.

    Where `default` is one of the families itself, a table in a hardware file need not name its kind.
    """
    metadata = {"families": families, "usual": default}
    if default is None:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(default_factory=default, metadata=metadata)
