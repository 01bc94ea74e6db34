"""Which rows are learned from and which are held out: the same share of each class, and each class on both sides.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

from companion.errors import DataError, first_line

__all__ = ["held_out_rows", "split_rows"]


def split_rows(
    labels: np.ndarray, class_names: tuple[str, ...], *, test_fraction: float, seed: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows to learn from and rows to test on, so that both have the same share of each class.

    Parameters
    ----------
    labels
        Labels `(points,)`, whole numbers from 0.
    class_names
        One name per class.
    test_fraction
        Share of rows to hold out, between 0 and 1.
    seed
        Seed of the choice.
    what
        Name of the rows and of their data set in errors, such as "rows of flowers.csv".

    Returns
    -------
    tuple of np.ndarray
        Rows to learn from and rows to test on. Each class that has rows is in both, however rare it is.

    Raises
    ------
    DataError
        If a class has a single row, or the share leaves fewer rows on one side than there are classes.
    """
    present, counts = np.unique(labels, return_counts=True)
    single = [class_names[label] for label in present[counts == 1]]
    if single:
        raise DataError(
            f"among the {what} there are classes with a single row: {', '.join(single[:5])}. Each class is needed both "
            "to learn from and to test on: add rows, or join classes."
        )
    rows = np.arange(len(labels))
    try:
        train, test = train_test_split(rows, test_size=test_fraction, stratify=labels, random_state=seed)
    except ValueError as error:
        raise DataError(
            f"test_fraction={test_fraction} of {len(labels)} {what} in {len(present)} classes can't be held out "
            f"({first_line(error).rstrip('.')}); expected a share between 0 and 1 that leaves each class on both sides."
        ) from None
    for label in present:  # scikit-learn rounds the share of a class of a few rows to nothing
        for lacking, other in ((test, train), (train, test)):
            if not (labels[lacking] == label).any():
                _swap_in(label, lacking, other, labels)
    return train, test


def held_out_rows(rows: int, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows to learn from and rows to hold out, whatever they hold.

    Parameters
    ----------
    rows
        Number of rows.
    test_fraction
        Share of rows to hold out, between 0 and 1.
    seed
        Seed of the choice.

    Returns
    -------
    tuple of np.ndarray
        Numbers of the rows to learn from, and of those that are held out.

    Raises
    ------
    DataError
        If the share leaves a part empty.
    """
    held_out = int(np.ceil(test_fraction * rows)) if 0 < test_fraction < 1 else 0
    if not 0 < held_out < rows:
        raise DataError(f"test_fraction={test_fraction} of {rows} rows leaves a part empty: choose between 0 and 1.")
    train, test = train_test_split(np.arange(rows), test_size=test_fraction, random_state=seed)
    return train, test


def _swap_in(label: int, lacking: np.ndarray, other: np.ndarray, labels: np.ndarray) -> None:
    """Exchange a row of a class for a row of the class that has most of them on the side that lacks the class."""
    plenty = np.bincount(labels[lacking]).argmax()
    ours, theirs = np.argmax(labels[lacking] == plenty), np.argmax(labels[other] == label)
    lacking[ours], other[theirs] = other[theirs], lacking[ours]
