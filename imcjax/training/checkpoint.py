"""Checkpoints of a run in stages: an Orbax manager for each stage, below one folder."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


class Store:
    """The checkpoints of one run, a folder for each stage.

    A state is any pytree of arrays without keys. It is kept as its list of leaves and rebuilt in the structure of a template,
    so that optimizer states need no registration. Orbax makes each save appear whole or not at all.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()

    def save(self, stage: str, step: int, state: Any, notes: dict[str, Any]) -> None:
        """Keep `state` and JSON-ready `notes` as `step` of `stage`, instead of earlier steps of it."""
        leaves = {f"{i:04d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        with self._manager(stage) as manager:
            args = ocp.args.Composite(state=ocp.args.StandardSave(leaves), notes=ocp.args.JsonSave(notes))  # type: ignore[call-arg]
            manager.save(step, args=args, force=True)
            manager.wait_until_finished()

    def load(self, stage: str, template: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """(step, state, notes) of the latest save of `stage`, or None. The template gives structure, shapes and types."""
        if not (self.folder / stage).is_dir():
            return None
        with self._manager(stage) as manager:
            step = manager.latest_step()
            if step is None:
                return None
            structure = jax.tree.structure(template)
            abstract = {
                f"{i:04d}": jax.ShapeDtypeStruct(np.shape(leaf), np.asarray(leaf).dtype)
                for i, leaf in enumerate(jax.tree.leaves(template))
            }
            args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), notes=ocp.args.JsonRestore())  # type: ignore[call-arg]
            found = manager.restore(step, args=args)
        leaves = [found["state"][name] for name in sorted(found["state"])]
        return step, jax.tree.unflatten(structure, leaves), found["notes"]

    def _manager(self, stage: str) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False)
        return ocp.CheckpointManager(self.folder / stage, options=options)
