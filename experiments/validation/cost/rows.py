"""A row of the table: a figure of a reference, ours, and how far they may be apart."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      source: where the reference figure is from.
      what: it is of.
      ours, theirs: the figures, in `unit`.
      limit: largest relative error; None: shown, not judged (`note` says why).
      unit, note: for the reader.
      kind: "error" compares relative to theirs; "at least" and "at most" compare ours with theirs.
    """

    source: str
    what: str
    ours: float
    theirs: float
    limit: float | None
    unit: str = ""
    note: str = ""
    kind: str = "error"

    @property
    def error(self) -> float:
        """Relative to the reference."""
        return self.ours / self.theirs - 1 if self.theirs else self.ours - self.theirs

    @property
    def kept(self) -> bool:
        """Whether the row is within its limit; NaN is not."""
        if self.limit is None:
            return True
        if self.kind == "at least":
            return self.ours >= self.theirs
        if self.kind == "at most":
            return self.ours <= self.theirs
        return abs(self.error) <= self.limit
