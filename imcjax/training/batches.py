"""Which samples make which batch: a function of the seed and the step alone, so that a resumed run sees the same ones."""

import numpy as np


def batch_indices(samples: int, batch: int, start: int, stop: int, *, seed: int) -> np.ndarray:
    """(stop - start, batch) indices of the training steps [start, stop): each epoch a fresh permutation, the rest dropped.

    Args:
      samples: size of the training set.
      batch: batch size, at most `samples`.
      start, stop: steps counted from the beginning of the training.
      seed: of the permutations.
    """
    per_epoch = max(1, samples // batch)
    rows, orders = [], {}
    for step in range(start, stop):
        epoch, place = divmod(step, per_epoch)
        if epoch not in orders:
            orders = {epoch: np.random.default_rng([seed, epoch]).permutation(samples)}
        rows.append(orders[epoch][place * batch : (place + 1) * batch])
    return np.stack(rows).astype(np.int32)
