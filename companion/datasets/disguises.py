"""Columns that are the target in disguise: the same under another name, or known only once the target is.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from companion.datasets.csv_files import CsvFile
from companion.datasets.encoding import Encoding
from companion.datasets.targets import Task
from companion.errors import notice

__all__ = ["tell_of_disguises"]

_TOO_FEW_ROWS = 20
_THE_SAME = 0.99999


def tell_of_disguises(encoding: Encoding, table: pd.DataFrame, y: np.ndarray, task: Task, file: CsvFile) -> None:
    """Warn of columns that tell the target all by themselves.

    Parameters
    ----------
    encoding
        Way in which the columns become features.
    table
        Entries of the rows that have a target.
    y
        Labels (points,), or measurements (points, targets).
    task
        Kind of the target: classes or measurements.
    file
        File that they are from.

    Warns
    -----
    CompanionWarning
        If a column tells classes apart: it has one value for each, a number lies in another range for each, or one
        class of two has nothing there. Or if a measurement rises or falls with a column throughout, as with its
        logarithm, or lies on a straight line.
    """
    if len(y) < _TOO_FEW_ROWS:
        return
    told = _tells_measurement if task is Task.MEASUREMENTS else _tells_class
    names = [column.name for column in encoding.columns if told(column.encode(table[column.name]), y)]
    if names:
        notice(
            f"in {file.name}, {', '.join(map(repr, names))} {'tells' if len(names) == 1 else 'each tell'} the target "
            "of every row. A column that is only known once the target is should be left out: leave_out=[...] "
            "(companion new: --leave-out)."
        )


def _tells_class(x: np.ndarray, y: np.ndarray) -> bool:
    return _one_value_each(x, y) or any(_one_value_each(own[:, None], y) or _ranges(own, y) for own in x.T)


def _one_value_each(x: np.ndarray, y: np.ndarray) -> bool:
    """Say whether each class has a value of its own."""
    values, which = np.unique(x, axis=0, return_inverse=True)
    classes = np.unique(y)
    return len(values) == len(classes) == len(np.unique(np.column_stack([which.ravel(), y]), axis=0))


def _ranges(x: np.ndarray, y: np.ndarray) -> bool:
    """Say whether a number lies in another range for each class."""
    order = np.argsort(x, kind="stable")
    values, labels = x[order], y[order]
    changes = np.flatnonzero(np.diff(labels))
    return len(changes) == len(np.unique(y)) - 1 and bool((values[changes] < values[changes + 1]).all())


def _tells_measurement(x: np.ndarray, y: np.ndarray) -> bool:
    return any(_goes_along(own, one) for own in x.T for one in y.T)


def _goes_along(x: np.ndarray, y: np.ndarray) -> bool:
    """Say whether one is a straight line of the other, or rises or falls with it throughout."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        straight = abs(np.corrcoef(x, y)[0, 1]) > _THE_SAME
    return bool(straight or abs(stats.spearmanr(x, y).statistic) > _THE_SAME)
