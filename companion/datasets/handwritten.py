"""Load handwritten digits on any machine: MNIST where it can be had, else a stand-in.

Explained in the MNIST chapters (`book/mnist/dense` first, section "The data") and in the data page
(`book/reference/data`), section "Without a network".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from companion.datasets.images import mnist
from companion.datasets.observations import Dataset, Observations
from companion.errors import DataUnavailableError, notice

__all__ = ["digits"]

_N_VALIDATION, _N_TEST = 300, 297


def digits(seed: int = 0, mirrors: Iterable[str] | None = None) -> Dataset:
    """Load MNIST where it can be had, or else warn and load a stand-in that needs neither files nor a network.

    `Dataset.name` says which of the two it is, `"MNIST"` or `"embedded digits"`. Use `mnist` where a
    stand-in won't do.

    Parameters
    ----------
    seed
        Seed of the stand-in's split; MNIST's own split is fixed.
    mirrors
        Addresses of folders to download from instead of the public mirrors.

    Returns
    -------
    Dataset
        MNIST as `mnist` describes it, or 1,200 training, 300 validation and 297 test images `(n, 28, 28)`,
        float32 in [0, 1], ink bright.

    Warns
    -----
    CompanionWarning
        If the stand-in was loaded; the message says why, place by place.

    Notes
    -----
    The stand-in is that of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), its test part.
    """
    try:
        return mnist(mirrors=mirrors)
    except DataUnavailableError as error:
        notice(
            "not MNIST: scikit-learn's 1,797 embedded digits stand in for it, resized from 8x8 to 28x28 "
            "and split into 1,200 to train on, 300 to validate and 297 to test. Figures will differ from the "
            f"book's. The reason:\n{error}"
        )
    return _embedded(seed)


def _embedded(seed: int) -> Dataset:
    bunch = load_digits()
    images = _resized(bunch.images)
    labels = bunch.target.astype(np.int32)
    rows = np.arange(len(labels))
    rows, rows_test = train_test_split(rows, test_size=_N_TEST, stratify=labels, random_state=seed)
    rows_train, rows_validation = train_test_split(
        rows, test_size=_N_VALIDATION, stratify=labels[rows], random_state=seed
    )
    return Dataset(
        name="embedded digits",
        train=Observations(images[rows_train], labels[rows_train]),
        validation=Observations(images[rows_validation], labels[rows_validation]),
        test=Observations(images[rows_test], labels[rows_test]),
        class_names=tuple("0123456789"),
        licence="CC BY 4.0 (UCI); ships with scikit-learn",
        source="Alpaydin and Kaynak (1998), UCI, https://doi.org/10.24432/C50P49",
    )


def _resized(images: np.ndarray) -> np.ndarray:
    """Turn levels 0 to 16, `(n, 8, 8)`, into 0 to 1, `(n, 28, 28)`, interpolated linearly."""
    larger: np.ndarray = zoom(images / 16, (1, 3.5, 3.5), order=1, mode="nearest", grid_mode=True)
    return larger.clip(0, 1).astype(np.float32)
