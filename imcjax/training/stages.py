"""Long work in chunks of fixed length with a checkpoint at each end: killed and started again, it ends the same."""

import time
from collections.abc import Callable
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from imcjax.errors import UserError
from imcjax.training.checkpoint import Store


Row = dict[str, Any]
"""One line of a run's history."""


class Stages:
    """Runs named stages one after another, each from its last checkpoint.

    Attributes:
      history: rows of all stages run or restored so far.
      seconds: wall time of each stage, restored parts included.
    """

    def __init__(self, store: Store, *, progress: bool = True):
        self.store = store
        self.progress = progress
        self.history: list[Row] = []
        self.seconds: dict[str, float] = {}

    def run(
        self,
        name: str,
        steps: int,
        chunk: int,
        start: Callable[[], Any],
        advance: Callable[[Any, int, int], tuple[Any, list[Row]]],
        *,
        metric: Callable[[Row], str] = lambda row: "",
    ) -> Any:
        """Take a state through `steps` steps.

        Args:
          name: of the stage; its checkpoints' folder.
          steps: how many steps in all.
          chunk: steps between checkpoints.
          start: the state at step 0, also the template of restored ones.
          advance: (state, first step, last step + 1) -> (state, history rows).
          metric: what the progress bar says of the latest row.

        Returns:
          The state after the last step.

        Raises:
          UserError: the loss became NaN; the last good checkpoint stays.
        """
        state, done, rows, spent = start(), 0, [], 0.0
        found = self.store.load(name, state)
        if found is not None:
            done, state, notes = found
            rows, spent = notes["rows"], notes["seconds"]
        with self._bar() as bar:
            task = bar.add_task(name, total=steps, completed=done, note=metric(rows[-1]) if rows else "")
            while done < steps:
                began = time.perf_counter()
                stop = min(done + chunk, steps)
                state, new = advance(state, done, stop)
                for row in new:
                    if row.get("loss") is not None and not row["loss"] < float("inf"):
                        raise UserError(
                            f"The loss became {row['loss']} in stage {name!r}, step {row.get('step')}; the checkpoint of step "
                            f"{done} is kept. Start again with another --seed or a larger --energy-budget."
                        )
                rows, done, spent = rows + new, stop, spent + time.perf_counter() - began
                self.store.save(name, done, state, {"rows": rows, "seconds": spent})
                bar.update(task, completed=done, note=metric(rows[-1]) if rows else "")
        self.history += rows
        self.seconds[name] = spent
        return state

    def _bar(self) -> Progress:
        columns = [TextColumn("{task.description:<20}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn()]
        return Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), disable=not self.progress)
