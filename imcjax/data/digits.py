"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn carries: no file, no download, seconds to train on."""

from pathlib import Path

import numpy as np

from imcjax.data.base import Dataset, Split, choose


def load(data_dir: Path | None = None) -> Dataset:
    """The digits, 1,077 for training and 360 each for validation and test; `data_dir` is not needed.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (the
    test part of it, as scikit-learn ships it), with pixels that count 0 to 16.
    """
    from sklearn.datasets import load_digits  # slow to import, and only this data set needs it

    bunch = load_digits()
    x = (bunch.images[..., None] / 16).astype(np.float32)  # type: ignore[attr-defined]
    y = bunch.target.astype(np.int32)  # type: ignore[attr-defined]
    test, rest = choose(y, 360)
    validation, train = (rest[part] for part in choose(y[rest], 360))
    splits = (Split(x[part], y[part]) for part in (train, validation, test))
    return Dataset("digits", *splits, classes=10, shape=(8, 8, 1))
