"""Which rows are learned from and which are held out: by chance, by class, by group, or by time.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from companion.errors import DataError, first_line

__all__ = ["Rows", "chosen_rows", "grouped_rows", "held_out_rows", "later_rows", "split_rows"]

_TRIES = 100

Rows = tuple[np.ndarray, np.ndarray]


def chosen_rows(
    n: int,
    *,
    labels: np.ndarray | None = None,
    class_names: tuple[str, ...] = (),
    stratify: bool = False,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
    test_fraction: float,
    seed: int,
    what: str,
) -> Rows:
    """Choose rows to learn from and rows to hold out, in the way that fits what is known of them.

    Parameters
    ----------
    n
        Number of rows.
    labels, class_names
        Labels (rows,) and names of the classes, or neither for measurements.
    stratify
        Whether both parts get the same share of each class, where neither groups nor times are given.
    groups
        Group of each row, (rows,), no group to be split; see `grouped_rows`.
    time
        Time of each row, (rows,), the latest rows to be held out; see `later_rows`.
    test_fraction
        Share of rows to hold out, between 0 and 1.
    seed
        Seed of a choice by chance.
    what
        Name of the rows in errors.

    Raises
    ------
    DataError
        If groups and times are given, one of them has another length, or the rows can't be split so.
    """
    if groups is not None and time is not None:
        raise DataError("groups and time are both given; expected one of them: by group, or the latest rows.")
    for name, own in (("groups", groups), ("time", time)):
        if own is not None and np.shape(own) != (n,):
            raise DataError(f"{name} has shape {np.shape(own)}; expected ({n},), one for each row.")
    if groups is not None:
        return grouped_rows(groups, labels, test_fraction=test_fraction, seed=seed, what=what)
    if time is not None:
        return later_rows(time, test_fraction=test_fraction, what=what)
    if labels is not None and stratify:
        return split_rows(labels, class_names, test_fraction=test_fraction, seed=seed, what=what)
    return held_out_rows(n, test_fraction, seed)


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
            f"({first_line(error)}); expected a share between 0 and 1 that leaves each class on both sides."
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


def grouped_rows(groups: ArrayLike, labels: np.ndarray | None, *, test_fraction: float, seed: int, what: str) -> Rows:
    """Choose whole groups to hold out, so that no group is on both sides.

    A hundred choices are drawn at random. The one is taken whose held-out part is closest to the share that is asked
    for, of the rows and of each class.

    Parameters
    ----------
    groups
        Group of each row, (rows,): numbers or text.
    labels
        Labels (rows,), or None for measurements.
    test_fraction
        Share of rows to hold out, between 0 and 1.
    seed
        Seed of the choice.
    what
        Name of the rows in errors, such as "rows of visits.csv".

    Raises
    ------
    DataError
        If there are fewer than two groups, a group is missing, the share is not between 0 and 1, or no choice leaves
        each class on both sides.
    """
    own = pd.Series(np.asarray(groups))
    if own.isna().any() or (own == "").any():
        gaps = int((own.isna() | (own == "")).sum())
        raise DataError(f"{gaps:,} of the {what} have no group; expected one for each: fill it in, or drop those rows.")
    codes, names = pd.factorize(own)
    if len(names) < 2 or not 0 < test_fraction < 1:
        raise DataError(
            f"the {what} are in {len(names)} group{'s' * (len(names) != 1)} and test_fraction={test_fraction}; "
            "expected two groups or more, and a share between 0 and 1."
        )
    one_hot = np.ones((len(codes), 1)) if labels is None else np.eye(int(labels.max()) + 1)[labels]
    share = min(max(test_fraction, 1 / len(names)), 1 - 1 / len(names))
    best: tuple[float, Rows] | None = None
    for train, test in GroupShuffleSplit(_TRIES, test_size=share, random_state=seed).split(codes, groups=codes):
        held_out = one_hot[test].sum(axis=0) / np.maximum(one_hot.sum(axis=0), 1)
        present = one_hot.any(axis=0)
        both = bool(((held_out > 0) & (held_out < 1))[present].all())
        far = float(np.abs(held_out[present] - test_fraction).mean() + abs(len(test) / len(codes) - test_fraction))
        if both and (best is None or far < best[0]):
            best = far, (train, test)
    if best is None:
        raise DataError(
            f"no choice among {_TRIES} of whole groups has each class both to learn from and to test on: among the "
            f"{len(names)} groups of the {what}, too few have some class. Add groups, or join classes."
        )
    return best[1]


def later_rows(time: ArrayLike, *, test_fraction: float, what: str) -> Rows:
    """Hold out the latest rows; rows of one and the same time stay together.

    Parameters
    ----------
    time
        Time of each row, (rows,): numbers or dates.
    test_fraction
        Share of rows to hold out, between 0 and 1. Where rows of one time are many, a little more is held out.
    what
        Name of the rows in errors.

    Raises
    ------
    DataError
        If a time is missing, or a part would be empty.
    """
    own = np.asarray(time)
    if own.dtype.kind not in "iufM" or own.ndim != 1:
        raise DataError(f"the times of the {what} are {own.dtype} of shape {own.shape}; expected numbers or dates.")
    if pd.isna(own).any():
        raise DataError(f"{pd.isna(own).sum():,} of the {what} have no time; fill it in, or drop those rows.")
    held_out = int(np.ceil(test_fraction * len(own))) if 0 < test_fraction < 1 else 0
    first = np.sort(own)[-held_out] if held_out else None
    late = own >= first if held_out else np.zeros(len(own), dtype=bool)
    if not held_out or late.all():
        raise DataError(
            f"test_fraction={test_fraction} of {len(own):,} {what} in {len(np.unique(own)):,} different times leaves a "
            "part empty; expected a share between 0 and 1, and two times or more."
        )
    return np.flatnonzero(~late), np.flatnonzero(late)


def _swap_in(label: int, lacking: np.ndarray, other: np.ndarray, labels: np.ndarray) -> None:
    """Exchange a row of a class for a row of the class that has most of them on the side that lacks the class."""
    plenty = np.bincount(labels[lacking]).argmax()
    ours, theirs = np.argmax(labels[lacking] == plenty), np.argmax(labels[other] == label)
    lacking[ours], other[theirs] = other[theirs], lacking[ours]
