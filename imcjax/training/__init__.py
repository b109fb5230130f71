"""Optax loops in resumable stages, hardware-aware training, checkpoints."""

import importlib
from typing import TYPE_CHECKING, Any

from imcjax.training.batches import batch_indices as batch_indices
from imcjax.training.checkpoint import Store as Store
from imcjax.training.losses import correct as correct
from imcjax.training.losses import cross_entropy as cross_entropy
from imcjax.training.stages import Row as Row
from imcjax.training.stages import Stages as Stages


if TYPE_CHECKING:
    from imcjax.training.hardware_aware import Options as Options
    from imcjax.training.hardware_aware import Trainer as Trainer
    from imcjax.training.hardware_aware import TrainState as TrainState
    from imcjax.training.kinds import by_kind as by_kind
    from imcjax.training.kinds import learned as learned
    from imcjax.training.kinds import relative as relative
    from imcjax.training.loop import Fitted as Fitted
    from imcjax.training.loop import NotFiniteError as NotFiniteError
    from imcjax.training.loop import fit as fit

# imcjax.nn keeps chips by the checkpoints of this package, and these train models of that one: imported on first use.
_LAZY = {name: "hardware_aware" for name in ("Options", "Trainer", "TrainState")}
_LAZY |= {name: "kinds" for name in ("by_kind", "learned", "relative")}
_LAZY |= {name: "loop" for name in ("Fitted", "NotFiniteError", "fit")}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"imcjax.training.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'imcjax.training' has no attribute {name!r}")
