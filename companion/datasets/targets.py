"""What a target is: classes to tell apart, or measurements to predict.

The rules are told in the book's data page (`book/reference/data`), section "Measurements".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from companion.checks import choice
from companion.datasets.column_kinds import Entries, not_numbers
from companion.datasets.columns import NumberColumn
from companion.datasets.csv_files import CsvFile
from companion.errors import DataError, notice

__all__ = ["Task", "target_columns", "task_of", "task_of_numbers"]

_MOST_CLASSES_OF_NUMBERS = 20
_CLEARLY_CLASSES = 5


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
    rows = len(own.values) - own.gaps
    return task_of_numbers(numbers, rows, f"{name!r} in {file.name}", options=" (companion new: --task {})")


def task_of_numbers(
    numbers: np.ndarray, rows: int, what: str, *, options: str = "", whole_classes: bool = False
) -> Task:
    """Decide whether numbers are classes or measurements, by how many of them are different.

    Parameters
    ----------
    numbers
        Numbers, each at least once.
    rows
        Number of rows that they are from.
    what
        What the sentence calls them.
    options
        Option of a command that decides otherwise, with {} for the task's name.
    whole_classes
        Whether classes have to be whole numbers, so that any fraction tells a measurement.

    Returns
    -------
    Task
        Classes or measurements.

    Warns
    -----
    CompanionWarning
        If it isn't plain which they are.
    """
    different = len(np.unique(numbers))
    fractions = bool((numbers != np.floor(numbers)).any())
    most = _CLEARLY_CLASSES if fractions else _MOST_CLASSES_OF_NUMBERS
    if different > most or 2 * different > max(rows, 4) or (fractions and whole_classes):
        notice(
            f"the numbers of {what} are taken for measurements ({different:,} different ones in {rows:,} rows). If "
            f"they stand for classes, {'number them 0, 1, ... and ' * whole_classes}say task='classes'"
            f"{options.format(Task.CLASSES)}."
        )
        return Task.MEASUREMENTS
    if different > _CLEARLY_CLASSES:
        notice(
            f"the numbers of {what} are taken for {different} classes. If they are measurements, say "
            f"task='measurements'{options.format(Task.MEASUREMENTS)}."
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
        raise DataError(
            f"column {name!r} of {file.name} isn't a measurement: {not_numbers(own)}. Expected numbers, or gaps. "
            "For classes, say task='classes' (companion new: --task classes)."
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
