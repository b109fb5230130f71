"""Optax loops in resumable stages, checkpoints."""

from imcjax.training.batches import batch_indices as batch_indices
from imcjax.training.checkpoint import Store as Store
from imcjax.training.losses import correct as correct
from imcjax.training.losses import cross_entropy as cross_entropy
from imcjax.training.stages import Row as Row
from imcjax.training.stages import Stages as Stages
