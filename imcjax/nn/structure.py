"""A model's graph as what a compiled program is known by: models that differ in numbers alone share it."""

from typing import Any


class Structure:
    """Equal to those of equal graphs; where a graph holds what cannot be hashed, to itself alone.

    Attributes:
      graph: an nnx GraphDef, or the structure of any tree.
    """

    def __init__(self, graph: Any):
        self.graph = graph
        try:
            self._hash, self._hashed = hash(graph), True
        except TypeError:
            self._hash, self._hashed = id(graph), False

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        return self is other or (self._hashed and other._hashed and self._hash == other._hash and self.graph == other.graph)
