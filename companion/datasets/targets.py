"""What a target is: classes to tell apart, or measurements to predict.

The rules are told in the book's data page (`book/reference/data`), section "Measurements".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from companion.checks import choice
from companion.datasets.column_kinds import Entries, almost_numbers
from companion.datasets.csv_files import CsvFile
from companion.datasets.encoding import NumberColumn
from companion.errors import DataError, notice

__all__ = ["Task", "target_columns", "task_of", "tell_of_disguises"]

_MOST_CLASSES_OF_NUMBERS = 20
_CLEARLY_CLASSES = 5
_TOO_FEW_ROWS = 20
_THE_SAME = 0.99999


class Task(StrEnum):
    """What is learned about a target."""

    AUTO = "auto"
    """Classes or measurements, whichever the target's entries look like."""
    CLASSES = "classes"
    """Class that a row belongs to, one of a few."""
    MEASUREMENTS = "measurements"
    """Size of a quantity."""


def task_of(task: str, targets: Mapping[str, Entries], file: CsvFile) -> Task:
    """Decide whether targets are classes or measurements.

    Numbers are measurements where there are more than twenty different ones, where some have fractions and more than
    five are different, or where most rows have one of their own. Words are classes. Several targets are measurements.

    Parameters
    ----------
    task
        A name of `Task`.
    targets
        Entries of each target, by its name.
    file
        File that they are from.

    Returns
    -------
    Task
        Classes or measurements.

    Raises
    ------
    ModelError
        If there is no such task.
    DataError
        If there are several targets that aren't all measurements.

    Warns
    -----
    CompanionWarning
        If numbers were taken for one or the other, and it isn't plain which they are.
    """
    wanted = choice(Task, "task", task)
    if wanted is Task.AUTO and len(targets) == 1:
        [(name, own)] = targets.items()
        return _looks_like(name, own, file)
    if len(targets) > 1 and wanted is Task.CLASSES:
        raise DataError(f"targets {list(targets)} with task='classes'; expected one column with the classes.")
    return Task.MEASUREMENTS if wanted is Task.AUTO else wanted


def _looks_like(name: str, own: Entries, file: CsvFile) -> Task:
    if not own.notations:
        return Task.CLASSES
    values = next(iter(own.notations.values()))
    numbers = np.array([values.read(word) for word in own.words], dtype=float)
    different, rows = len(np.unique(numbers)), len(own.values) - own.gaps
    fractions = bool((numbers != np.floor(numbers)).any())
    most = _CLEARLY_CLASSES if fractions else _MOST_CLASSES_OF_NUMBERS
    if different > most or 2 * different > max(rows, 4):
        notice(
            f"the numbers of {name!r} in {file.name} are taken for measurements ({different:,} different ones in "
            f"{rows:,} rows). If they stand for classes, say task='classes' (companion new: --task classes)."
        )
        return Task.MEASUREMENTS
    if different > _CLEARLY_CLASSES:
        notice(
            f"the numbers of {name!r} in {file.name} are taken for {different} classes. If they are measurements, say "
            "task='measurements' (companion new: --task measurements)."
        )
    return Task.CLASSES


def target_columns(targets: Mapping[str, Entries], votes: set[str], file: CsvFile) -> tuple[NumberColumn, ...]:
    """Find how the numbers of measured targets are written.

    Parameters
    ----------
    targets
        Entries of each target, by its name.
    votes
        Decimal signs that other columns of the file have.
    file
        File that they are from.

    Raises
    ------
    DataError
        If a target holds other entries than numbers and gaps, or the same number in every row.

    Warns
    -----
    CompanionWarning
        If numbers are written in another way than Python's.
    """
    return tuple(_target_column(name, own, votes, file) for name, own in targets.items())


def _target_column(name: str, own: Entries, votes: set[str], file: CsvFile) -> NumberColumn:
    if not own.notations:
        why = (
            almost_numbers(own) or f"it holds words such as {own.words.iloc[0]!r}" if len(own.words) else "it is empty"
        )
        raise DataError(
            f"column {name!r} of {file.name} isn't a measurement: {why}. Expected numbers, or gaps. For classes, say "
            "task='classes' (companion new: --task classes)."
        )
    notation, guessed = own.notation(votes, file.separator)
    if guessed:
        notice(
            f"{name!r} of {file.name} can be read in two ways: {own.example(notation)} here. If that is wrong, write "
            "numbers without separated thousands and with a decimal point."
        )
    elif not own.plain:
        notice(f"the numbers of {name!r} in {file.name} are read in another notation: {own.example(notation)}.")
    return NumberColumn(name, notation, own.gap_words)


def tell_of_disguises(features: Mapping[str, np.ndarray], y: np.ndarray, task: Task, file: CsvFile) -> None:
    """Warn of columns that tell the target all by themselves: they may be the target under another name.

    Parameters
    ----------
    features
        Name of each column to the features that it became, (points, features).
    y
        Labels (points,), or measurements (points, targets).
    task
        Which of the two.
    file
        File that they are from.

    Warns
    -----
    CompanionWarning
        If a column has one value for each class and each class has another one, or if a measurement is a straight line
        of it.
    """
    if len(y) < _TOO_FEW_ROWS:
        return
    told = _tells_measurement if task is Task.MEASUREMENTS else _tells_class
    if names := [name for name, x in features.items() if told(x, y)]:
        notice(
            f"in {file.name}, {', '.join(map(repr, names))} {'tells' if len(names) == 1 else 'each tell'} the target "
            "of every row. A column that is only known once the target is should be left out: leave_out=[...] "
            "(companion new: --leave-out)."
        )


def _tells_class(x: np.ndarray, y: np.ndarray) -> bool:
    values, which = np.unique(x, axis=0, return_inverse=True)
    classes = np.unique(y)
    return len(values) == len(classes) == len(np.unique(np.column_stack([which.ravel(), y]), axis=0))


def _tells_measurement(x: np.ndarray, y: np.ndarray) -> bool:
    if x.shape[1] != 1 or np.ptp(x) == 0:
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return any(abs(np.corrcoef(x[:, 0], one)[0, 1]) > _THE_SAME for one in y.T)
