"""One piece of work done by one solver."""

from collections.abc import Callable
from typing import Any, NamedTuple


ONE, MANY, FURTHER = "one input, one array", "64 inputs, one array", "64 further inputs on a solved array"
WORKS = (ONE, MANY, FURTHER)


class Job(NamedTuple):
    """`run()` returns the currents, (inputs, cols) or (cols,), once it was run; it can be run again."""

    solver: str
    work: str
    run: Callable[[], Any]


class Missing(Exception):
    """A solver that cannot take part, and why."""
