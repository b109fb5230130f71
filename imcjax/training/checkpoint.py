"""Checkpoints of a run in stages: an Orbax manager for each stage, below one folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from imcjax.errors import UserError


class Store:
    """The checkpoints of one run, a folder for each stage.

    A state is any pytree of arrays and typed keys. It is kept as its list of leaves and rebuilt in the structure of a template,
    so that optimizer states need no registration; a template of another structure is refused. Orbax makes each save appear
    whole or not at all.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()

    def check_writable(self) -> None:
        """Refuse a folder that cannot be written, before work is done that should be kept in it.

        Raises:
          UserError: it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error.strerror) from error
        if not os.access(self.folder, os.W_OK):
            raise _unwritable(self.folder, "it may not be written")

    def save(self, stage: str, step: int, state: Any, notes: dict[str, Any]) -> None:
        """Keep `state` and JSON-ready `notes` as `step` of `stage`, instead of earlier steps of it.

        Raises:
          UserError: the folder cannot be written.
        """
        leaves = {f"{i:04d}": _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        with self._manager(stage) as manager:
            args = ocp.args.Composite(
                state=ocp.args.StandardSave(leaves),  # type: ignore[call-arg]
                notes=ocp.args.JsonSave(notes),  # type: ignore[call-arg]
                structure=ocp.args.JsonSave(structure(state)),  # type: ignore[call-arg]
            )
            manager.save(step, args=args, force=True)
            manager.wait_until_finished()

    def notes(self, stage: str) -> dict[str, Any] | None:
        """The notes of the latest save of `stage`, or None."""
        if not (self.folder / stage).is_dir():
            return None
        with self._manager(stage) as manager:
            step = manager.latest_step()
            if step is None:
                return None
            args = ocp.args.Composite(notes=ocp.args.JsonRestore())  # type: ignore[call-arg]
            return self._restore(manager, stage, step, args)["notes"]

    def step(self, stage: str) -> int | None:
        """The latest step that was saved of `stage`, or None."""
        if not (self.folder / stage).is_dir():
            return None
        with self._manager(stage) as manager:
            return manager.latest_step()

    def load(self, stage: str, template: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """(step, state, notes) of the latest save of `stage`, or None. The template gives structure, shapes and types.

        Raises:
          UserError: what was saved has another structure than the template, or cannot be read.
        """
        if not (self.folder / stage).is_dir():
            return None
        with self._manager(stage) as manager:
            step = manager.latest_step()
            if step is None:
                return None
            if (self.folder / stage / str(step) / "structure").is_dir():  # earlier versions kept none
                args = ocp.args.Composite(structure=ocp.args.JsonRestore())  # type: ignore[call-arg]
                self._check(stage, self._restore(manager, stage, step, args)["structure"], structure(template))
            known = jax.tree.leaves(template)
            abstract = {f"{i:04d}": _abstract(leaf) for i, leaf in enumerate(known)}
            args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), notes=ocp.args.JsonRestore())  # type: ignore[call-arg]
            found = self._restore(manager, stage, step, args)
        leaves = [_as_in(found["state"][name], leaf) for name, leaf in zip(sorted(found["state"]), known, strict=True)]
        return step, jax.tree.unflatten(jax.tree.structure(template), leaves), found["notes"]

    def _check(self, stage: str, saved: dict[str, str], expected: dict[str, str]) -> None:
        if saved == expected:
            return
        wrong = next(name for name in [*expected, *saved] if saved.get(name) != expected.get(name))
        raise UserError(
            f"The checkpoint in {self.folder / stage} is of another structure: {wrong or 'its only value'} is "
            f"{saved.get(wrong, 'absent')} there and {expected.get(wrong, 'absent')} here; give the model, optimizer and "
            "options that it was saved with, or another folder."
        )

    def _restore(self, manager: ocp.CheckpointManager, stage: str, step: int, args: Any) -> Any:
        try:
            return manager.restore(step, args=args)
        except Exception as error:  # of many types: Orbax has no one for files that are damaged
            raise UserError(
                f"The checkpoint of step {step} in {self.folder / stage} cannot be read ({error}); delete that folder to start "
                "anew, or give another."
            ) from error

    @contextmanager
    def _manager(self, stage: str) -> Iterator[ocp.CheckpointManager]:
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False)
        try:
            manager = ocp.CheckpointManager(self.folder / stage, options=options)
        except OSError as error:
            raise _unwritable(self.folder, error.strerror) from error
        with manager:
            yield manager


def _unwritable(folder: Path, why: str | None) -> UserError:
    return UserError(f"{folder} cannot hold checkpoints ({why}); give a folder that you may write.")


def structure(state: Any) -> dict[str, str]:
    """Type and shape of every leaf, by its path."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        abstract = _abstract(leaf)
        sizes = " x ".join(map(str, abstract.shape)) or "one"
        found[jax.tree_util.keystr(path)] = f"{'keys' if _is_key(leaf) else abstract.dtype} of {sizes}"
    return found


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    if _is_key(leaf):
        found = jax.eval_shape(jax.random.key_data, leaf)
        return jax.ShapeDtypeStruct(found.shape, found.dtype)
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)


def _as_in(value: Any, template: Any) -> Any:
    return jax.random.wrap_key_data(value, impl=jax.random.key_impl(template)) if _is_key(template) else value
